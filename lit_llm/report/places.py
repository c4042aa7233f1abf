"""Paths in a run's config.yaml, found again from another folder than the one in which the run was started."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
"""Where the tiny base lies."""

NAMED = ("backbone", "tokenizer", "adaptor_from", "schema", "chat_template", "clips", "train", "valid", "predict")
"""Keys whose values are paths, or hub ids, also where they are one word."""


def located(config: dict[str, Any], run: Path) -> dict[str, Any]:
    """Return a configuration whose relative paths are absolute where something lies at them.

    They are looked for in the folder that the run was started in, as ``trainer.default_root_dir`` tells where the run
    still lies as that names it, or else ``lit_llm.json`` beside its weights; then in the current folder, in each folder
    above the run's, and in that of the project.

    Args:
        config: as it was saved.
        run: folder of the run.
    """
    roots = list(dict.fromkeys([*_started_in(config, run), Path.cwd(), *run.resolve().parents, PROJECT]))
    return {key: _resolved(value, key, roots) for key, value in config.items()}


def _started_in(config: dict[str, Any], run: Path) -> list[Path]:
    named = Path((config.get("trainer") or {}).get("default_root_dir") or ".")
    parts, own = tuple(part for part in named.parts if part != "."), run.resolve().parts
    found = []
    if parts and not named.is_absolute() and ".." not in parts and own[-len(parts) :] == parts:
        found.append(Path(*own[: -len(parts)]))
    for file in (run / "adapter/lit_llm.json", run / "model/lit_llm.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            found.append(Path(json.loads(file.read_text(encoding="utf-8"))["started_in"]))
    return found


def _resolved(value: Any, key: str, roots: list[Path]) -> Any:
    if isinstance(value, dict):
        inner = key if key == "test" else ""
        return {name: _resolved(each, inner or str(name), roots) for name, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, key, roots) for each in value]
    return _found(value, roots) if isinstance(value, str) and _is_path(value, key) else value


def _is_path(value: str, key: str) -> bool:
    """Whether a text may be a path; a word such as ``data`` is one under some keys alone."""
    fits = 0 < len(value) < 4096 and not Path(value).is_absolute() and not set(value) & set("\n\0")
    return fits and (key in (*NAMED, "test") or "/" in value or Path(value).suffix != "")


def _found(value: str, roots: list[Path]) -> str:
    # Of parallel files that a pattern names, the folder must do.
    shown = value.partition("{")[0]
    for root in roots:
        path = root / (shown if shown == value else Path(shown + "x").parent)
        try:
            there = path.exists()
        except OSError:
            return value
        if there:
            return str(root / value)
    return value
