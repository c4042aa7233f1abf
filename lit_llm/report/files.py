"""Files that the verbs leave behind."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_llm.errors import ConfigError, UserError
from lit_llm.strict_json import dumps


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
    lines = [f"{dumps(row)}\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def write_together(files: Mapping[Path, Iterable[dict[str, Any]]], gone: Iterable[Path] = ()) -> None:
    """Write files of JSON lines that belong together; what was there goes when all of them are whole.

    Args:
        files: the rows of each file.
        gone: files that are removed then.

    Raises:
        UserError: if one cannot be written, as on a full disk; nothing has changed then.
    """
    parts = {path.with_name(f".{path.name}.part"): path for path in files}
    try:
        for part, path in parts.items():
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{dumps(row)}\n" for row in files[path])
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        for part in parts:
            part.unlink(missing_ok=True)
        reason = error.strerror or error
        raise UserError(f"{path}: cannot be written: {reason}; files that were there are as they were") from error
    for part, path in parts.items():
        part.replace(path)
    for path in gone:
        path.unlink(missing_ok=True)


def short_names(paths: Sequence[str]) -> dict[str, str]:
    """Return names without the folders that all paths have in common."""
    common = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    return {path: os.path.relpath(path, common) for path in paths}
