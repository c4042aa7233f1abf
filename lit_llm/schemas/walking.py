"""What of a schema applies to a value and to its parts, behind references and branches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from lit_llm.schemas.compiled import Compiled, look_up
from lit_llm.schemas.patterns import matching
from lit_llm.schemas.validity import fits

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class Node(NamedTuple):
    """A subschema and what its references are relative to."""

    schema: Any
    resolver: Any


class Part(NamedTuple):
    """A keyword that applies to a value, and the subschema that it stands in."""

    keyword: str
    node: Node

    @property
    def argument(self) -> Any:
        """What stands behind the keyword."""
        return self.node.schema[self.keyword]


class Walk:
    """Finds the keywords that apply to values.

    Args:
        schema: a checked schema.
        every: follow each branch of ``anyOf`` and ``oneOf`` that a value fits, not the first alone.
    """

    def __init__(self, schema: Compiled, every: bool = False) -> None:
        self.schema = schema
        self.every = every

    @property
    def root(self) -> list[Node]:
        """The schema as a whole."""
        return [Node(self.schema.root, self.schema.resolver)]

    def parts(self, value: Any, nodes: list[Node]) -> list[Part]:
        """Return the keywords that apply to a value, in the order in which the schema has them."""
        return [part for node in nodes for part in self._parts(value, node, frozenset())]

    def _parts(self, value: Any, node: Node, seen: frozenset[int]) -> Iterator[Part]:
        schema = node.schema
        if not isinstance(schema, dict) or id(schema) in seen:
            return
        here = Node(schema, self.schema.enter(schema, node.resolver))
        for keyword in schema:
            inner = self._in_place(value, keyword, here)
            if inner is None:
                yield Part(keyword, here)
            for other in inner or ():
                yield from self._parts(value, other, seen | {id(schema)})

    def _in_place(self, value: Any, keyword: str, node: Node) -> list[Node] | None:
        """Return the subschemas that a keyword applies to the value itself; None where it is not of that kind."""
        argument = node.schema[keyword]
        if keyword in _REFERENCES:
            resolved = look_up(argument, node.resolver)
            return [Node(resolved.contents, resolved.resolver)]
        if keyword == "allOf":
            return [Node(branch, node.resolver) for branch in argument]
        if keyword in ("anyOf", "oneOf"):
            return self._fitting(value, [Node(branch, node.resolver) for branch in argument])
        if keyword == "if":
            met = fits(value, argument, node.resolver, self.schema)
            then = node.schema.get("then" if met else "else", True)
            return [Node(part, node.resolver) for part in ([argument, then] if met else [then])]
        if keyword == "dependentSchemas":
            return [Node(inner, node.resolver) for key, inner in argument.items() if _has(value, key)]
        return None

    def _fitting(self, value: Any, branches: list[Node]) -> list[Node]:
        if len(branches) == 1:
            return branches
        fitting = (branch for branch in branches if fits(value, branch.schema, branch.resolver, self.schema))
        if self.every:
            return list(fitting) or branches
        first = next(fitting, None)
        return [first] if first else branches

    def of_key(self, parts: list[Part], key: str) -> list[Node]:
        """Return the subschemas of an object's property, from the keywords that apply to the object."""
        return [Node(found, part.node.resolver) for part in parts for found in _of_key(part, key)]

    def of_item(self, parts: list[Part], index: int) -> list[Node]:
        """Return the subschemas of a list's item, from the keywords that apply to the list."""
        old = self.schema.old_arrays
        return [Node(found, part.node.resolver) for part in parts for found in _of_item(part, index, old)]


def _has(value: Any, key: str) -> bool:
    return isinstance(value, dict) and key in value


def _of_key(part: Part, key: str) -> list[Any]:
    named, patterns = part.node.schema.get("properties", {}), part.node.schema.get("patternProperties", {})
    if part.keyword == "properties":
        return [named[key]] if key in named else []
    if part.keyword == "patternProperties":
        return [patterns[pattern] for pattern in matching(key, patterns)]
    if part.keyword == "additionalProperties" and key not in named and not matching(key, patterns):
        return [part.argument]
    return []


def _of_item(part: Part, index: int, old: bool) -> list[Any]:
    first = part.node.schema.get("items" if old else "prefixItems", [])
    first = first if isinstance(first, list) else []
    if part.keyword in ("items", "prefixItems") and isinstance(part.argument, list):
        return first[index : index + 1]
    if part.keyword == "additionalItems":
        return [part.argument] if old and first and index >= len(first) else []
    return [part.argument] if part.keyword == "items" and index >= len(first) else []
