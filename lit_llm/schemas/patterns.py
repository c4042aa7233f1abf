r"""Regular expressions of schemas, those with ``\p{L}`` among them, which Python's own module does not know."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from lit_llm.errors import DataError

Search = Callable[[str], Any]


@lru_cache(maxsize=1024)
def searcher(pattern: str) -> Search:
    """Return a function that finds a pattern anywhere in a text.

    Raises:
        DataError: it is no regular expression.
    """
    try:
        return re.compile(pattern).search
    except re.error:
        import regex

    try:
        found: Search = regex.compile(pattern).search
    except regex.error as error:
        raise DataError(f"meta.schema: pattern {pattern!r} is no regular expression ({error}); mend it") from error
    return found


def check_patterns(node: Any) -> None:
    """Refuse what stands under ``pattern`` or ``patternProperties`` anywhere in a schema and is no pattern."""
    if isinstance(node, list):
        for inner in node:
            check_patterns(inner)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("pattern"), str):
        searcher(node["pattern"])
    if isinstance(node.get("patternProperties"), dict):
        for pattern in node["patternProperties"]:
            searcher(pattern)
    for name, inner in node.items():
        if name not in ("const", "enum", "default", "examples"):
            check_patterns(inner)


def matching(key: str, patterns: dict[str, Any]) -> list[str]:
    """Return the patterns that a key matches."""
    return [pattern for pattern in patterns if searcher(pattern)(key)]
