"""Texts with the parts marked in which they differ."""

from __future__ import annotations

import json
from collections.abc import Collection
from difflib import SequenceMatcher
from typing import Any

from markupsafe import Markup, escape

LONGEST = 4000
"""Characters of a text that are shown."""


def shortened(text: str, most: int = LONGEST) -> str:
    """Return a text, or its beginning and how much follows."""
    return text if len(text) <= most else f"{text[:most]} … and {len(text) - most:,} characters more"


def marked_json(value: Any, wrong: Collection[str], indent: int = 0) -> Markup:
    """Return a JSON value over several lines, the values at some paths marked.

    Args:
        value: parsed JSON.
        wrong: paths as ``differing_paths`` names them.
        indent: spaces before the first line.
    """
    return _json(value, (), frozenset(wrong), indent)


def marked_words(reference: str, prediction: str) -> tuple[Markup, Markup]:
    """Return two texts, each with the words marked that the other lacks at that place."""
    left, right = shortened(reference).split(), shortened(prediction).split()
    old, new = [], []
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        old += [_words(left[a:b], kind != "equal")]
        new += [_words(right[c:d], kind != "equal")]
    return Markup(" ").join(filter(None, old)), Markup(" ").join(filter(None, new))


def _words(words: list[str], differ: bool) -> Markup:
    text = escape(" ".join(words))
    return Markup(f"<mark>{text}</mark>") if differ and words else text


def _json(value: Any, path: tuple[str | int, ...], wrong: frozenset[str], indent: int) -> Markup:
    from lit_llm.catalogues import path_name

    pad, deeper = " " * indent, " " * (indent + 2)
    if isinstance(value, dict) and value:
        parts = [
            escape(f"{deeper}{json.dumps(key, ensure_ascii=False)}: ") + _json(child, (*path, key), wrong, indent + 2)
            for key, child in value.items()
        ]
        return Markup("{\n") + Markup(",\n").join(parts) + f"\n{pad}}}"
    if isinstance(value, list) and value:
        parts = [escape(deeper) + _json(child, (*path, i), wrong, indent + 2) for i, child in enumerate(value)]
        return Markup("[\n") + Markup(",\n").join(parts) + f"\n{pad}]"
    shown = escape(shortened(json.dumps(value, ensure_ascii=False)))
    return Markup(f"<mark>{shown}</mark>") if path_name(path) in wrong else shown
