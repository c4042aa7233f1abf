"""What a schema says of the texts at a field, whatever stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lit_llm.schemas.compiled import Schema, compiled
from lit_llm.schemas.validity import fits
from lit_llm.schemas.walking import Node, Walk

_INSIDE = ("properties", "patternProperties", "additionalProperties", "items", "prefixItems", "additionalItems")
"""Keywords that tell what is in a value."""


def has_field(schema: Schema, path: Sequence[str | None]) -> bool:
    """Whether a schema has a field; one that says nothing of what is in a value has any.

    Args:
        schema: a JSON schema.
        path: keys, and None for any item of a list.
    """
    return _nodes(schema, path) is not None


def refused_texts(schema: Schema, path: Sequence[str | None], texts: Sequence[str]) -> list[str]:
    """Return the texts that the schema does not allow at a field."""
    whole, nodes = compiled(schema), _nodes(schema, path) or []
    return [text for text in texts if not all(fits(text, node.schema, node.resolver, whole) for node in nodes)]


def _nodes(schema: Schema, path: Sequence[str | None]) -> list[Node] | None:
    """Return the subschemas of a field; None where there is none."""
    walk = Walk(compiled(schema), every=True)
    values: list[Any] = ["text"]
    for step in reversed(path):
        values.insert(0, [values[0]] if step is None else {step: values[0]})
    nodes = walk.root
    for step, value in zip(path, values, strict=False):
        parts = walk.parts(value, nodes)
        nodes = walk.of_item(parts, 0) if step is None else walk.of_key(parts, step)
        is_told = any(part.keyword in _INSIDE for part in parts)
        if is_told and all(node.schema is False for node in nodes):
            return None
    return nodes
