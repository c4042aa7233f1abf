"""Calls the command line within this process, and hands back what it said."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from lit_llm.__main__ import main as lit_llm

SPEAKER = "lightning.pytorch.utilities.rank_zero"
"""The logger of what a run says of itself."""


def call(folder: Path, arguments: list[str]) -> tuple[int, str]:
    """Return status and words of a command that is given in a folder."""
    where, said = os.getcwd(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), _heard(said), _unsynced():
            return lit_llm(arguments), said.getvalue()
    except SystemExit as stop:
        return int(stop.code or 0), said.getvalue()
    finally:
        os.chdir(where)


@contextlib.contextmanager
def _unsynced() -> Iterator[None]:
    """Wait for no disk, which would take most of the time: a process that is killed loses nothing by it."""
    real, os.fsync = os.fsync, lambda handle: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.fsync = real


@contextlib.contextmanager
def _heard(said: io.StringIO) -> Iterator[None]:
    """Note what is logged: its handler writes to the stream that it found when it was made."""
    handler, logger = logging.StreamHandler(said), logging.getLogger(SPEAKER)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
