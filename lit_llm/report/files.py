"""Files that the verbs leave behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lit_llm.errors import ConfigError


def refuse_existing(path: Path, option: str, overwrite: bool | None = None) -> None:
    """Refuse to write over what is there.

    Args:
        path: what is to be written.
        option: that names it.
        overwrite: whether its user lets it be replaced; None where that cannot be asked for.

    Raises:
        ConfigError: if it exists.
    """
    if path.exists() and not overwrite:
        remedy = "remove it" if overwrite is None else "add --overwrite to replace it"
        raise ConfigError(f"{option}: {path} exists already; name another or {remedy}")


def write_report(path: Path, found: Any) -> None:
    """Write what a verb found as JSON, its folder made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON lines, their folder made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return names without the folders that all paths have in common."""
    common = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    return {path: os.path.relpath(path, common) for path in paths}
