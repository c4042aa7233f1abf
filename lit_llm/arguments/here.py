"""``{here}`` and ``~`` in run files: a path begins at the folder of the file that says so, or at the user's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lit_llm.arguments.yaml_text import loader
from lit_llm.paths import at_home

HERE = "{here}"


def resolved(value: Any, folder: Path) -> Any:
    """Return a value of a run file in which each string ``{here}``, ``{here}/…`` or ``~/…`` is an absolute path.

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
    return at_home(value) if isinstance(value, str) else value


def teach_jsonargparse() -> None:
    """Let jsonargparse resolve it in every run file and fragment that it reads."""
    from jsonargparse import get_loader, set_loader
    from yaml import YAMLError

    plain = loader(get_loader("yaml"))
    # While a file is read, jsonargparse's working folder is the file's.
    set_loader("yaml", lambda stream: resolved(plain(stream), Path.cwd()), exceptions=(YAMLError,))
