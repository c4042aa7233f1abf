"""``{here}`` in run files: a path that starts with it is relative to the folder of the file that says so.

Importing this module lets jsonargparse resolve it in every run file and fragment that is read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jsonargparse import get_loader, set_loader
from yaml import YAMLError

HERE = "{here}"


def resolved(value: Any, folder: Path) -> Any:
    """Return a value of a run file in which each string ``{here}`` or ``{here}/…`` is an absolute path.

    Args:
        value: as YAML has it; strings inside lists and mappings are looked at too.
        folder: what ``{here}`` stands for.
    """
    if isinstance(value, dict):
        return {key: resolved(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, folder) for item in value]
    if isinstance(value, str) and (value == HERE or value.startswith(f"{HERE}/")):
        return os.path.normpath(f"{folder.absolute()}/{value.removeprefix(HERE)}")
    return value


_plain = get_loader("yaml")


def _load(stream: str) -> Any:
    # While a file is read, jsonargparse's working folder is the file's.
    return resolved(_plain(stream), Path.cwd())


set_loader("yaml", _load, exceptions=(YAMLError,))
