"""Which parts of a value a schema calls dates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lit_llm.schemas.compiled import Schema, compiled
from lit_llm.schemas.walking import Node, Walk

_FORMATS = ("date", "date-time", "time")


def date_paths(value: Any, schema: Schema) -> set[tuple[str | int, ...]]:
    """Return where a value has strings whose ``format`` is ``date``, ``date-time`` or ``time``.

    A schema that refers to itself has no end of such places; a value has.

    Returns:
        Paths of keys and positions, such as ``("items", 1, "due")``.

    Raises:
        DataError: the schema itself is broken.
    """
    walk = Walk(compiled(schema), every=True)
    return set(_dates(value, (), walk.root, walk))


def _dates(value: Any, path: tuple[str | int, ...], nodes: list[Node], walk: Walk) -> Iterator[tuple[str | int, ...]]:
    if not isinstance(value, dict | list | str):
        return
    parts = walk.parts(value, nodes)
    if isinstance(value, str):
        if any(part.keyword == "format" and part.argument in _FORMATS for part in parts):
            yield path
        return
    children: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for place, child in children:
        inside = walk.of_key(parts, place) if isinstance(value, dict) else walk.of_item(parts, place)
        if inside:
            yield from _dates(child, (*path, place), inside, walk)
