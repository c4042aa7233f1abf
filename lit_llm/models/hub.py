"""Whether the hub answers, asked once, so that a machine without a network is told at once and not after retries."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PATIENCE = 4.0
"""Seconds in which a hub has to answer."""


def settings(name: str) -> dict[str, bool]:
    """Return what the loaders of a model are to be told besides its name: not to ask a hub that does not answer.

    Args:
        name: hub id or folder. What was downloaded earlier is found all the same.
    """
    from huggingface_hub import constants

    away = not Path(name).exists() and (constants.HF_HUB_OFFLINE or not answers(endpoint()))
    return {"local_files_only": True} if away else {}


def endpoint() -> str:
    """Return the address of the hub, or of the mirror that ``HF_ENDPOINT`` names."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


@cache
def answers(address: str) -> bool:
    """Return whether anything answers at an address, within ``PATIENCE`` seconds; an error page is an answer."""
    found: list[bool] = []

    # A resolver without a network may take longer than any timeout of a connection.
    asking = Thread(target=lambda: found.append(_ask(address)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    return bool(found and found[0])


def _ask(address: str) -> bool:
    try:
        with urlopen(Request(address, method="HEAD"), timeout=PATIENCE):
            return True
    except HTTPError:
        return True
    except URLError as error:
        # Certificates are judged by those who download.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False
