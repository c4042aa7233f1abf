"""Where in a value a grammar stops, and what of the schema stands there."""

from __future__ import annotations

from typing import Any

from lit_llm.schemas.compiled import Schema, compiled
from lit_llm.schemas.walking import Node, Walk
from lit_llm.strict_json import dumps, excerpt

_TELLING = [
    "format",
    "pattern",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "enum",
    "const",
    "type",
]


def explain(value: Any, offset: int, schema: Schema) -> str:
    """Say which part of a value stands at a place of its text, and which keywords apply to it.

    Args:
        value: a JSON value.
        offset: characters of ``dumps(value)`` before the place.
        schema: a JSON schema.

    Returns:
        Such as ``$.fecha: '1/5/2024' under format 'date'``.
    """
    walk = Walk(compiled(schema))
    path, found, nodes = _at(value, offset, "$", walk.root, walk)
    parts = walk.parts(found, nodes)
    said = {part.keyword: part.argument for part in parts if part.keyword in _TELLING}
    named = [f"{name} {excerpt(said[name])}" for name in _TELLING if name in said][:3]
    return f"{path}: {excerpt(found)}" + (f" under {', '.join(named)}" if named else "")


def _at(value: Any, offset: int, path: str, nodes: list[Node], walk: Walk) -> tuple[str, Any, list[Node]]:
    """Return the innermost scalar or empty part that holds an offset, or the object whose key does."""
    if not isinstance(value, dict | list):
        return path, value, nodes
    parts, start = walk.parts(value, nodes), 1
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for place, item in pairs:
        named = isinstance(value, dict)
        begin = start + (len(dumps(place)) + 1 if named else 0)
        end = begin + len(dumps(item))
        if begin <= offset < end:
            inside = walk.of_key(parts, place) if named else walk.of_item(parts, place)
            return _at(item, offset - begin, f"{path}.{place}" if named else f"{path}[{place}]", inside, walk)
        if offset < begin:
            break
        start = end + 1
    return path, value, nodes
