"""Values written as a grammar made from the schema writes them: keys in its order, numbers in its form."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from lit_llm.schemas.compiled import Schema, compiled
from lit_llm.schemas.patterns import matching
from lit_llm.schemas.walking import Node, Part, Walk
from lit_llm.strict_json import Written

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def in_schema_form(value: Any, schema: Schema) -> Any:
    """Return an equal value in the one form that a grammar of the schema allows.

    Keys come as the schema names them, through references and branches: those of ``properties``, then required ones
    that it does not name, then those of ``patternProperties``, then others, each kind in the value's own order. What
    equals a member of ``enum`` or ``const`` is written as that. Numbers stay as they were written but where the
    schema's own keywords forbid it: 50.0 under ``integer`` becomes 50, 1e-05 under ``minimum`` 0.00001.

    Args:
        value: satisfies the schema.
        schema: a JSON schema.

    Raises:
        DataError: the schema itself is broken.
    """
    walk = Walk(compiled(schema))
    return _written(value, walk.root, walk) if isinstance(value, dict | list | float) else value


def _written(value: Any, nodes: list[Node], walk: Walk) -> Any:
    parts = walk.parts(value, nodes)
    if isinstance(value, float):
        return _plain(value) if any(_forbids(part, value) for part in parts) else value
    members = [(member, part.node.resolver) for part in parts if (member := _member(part, value)) is not None]

    def inside(place: Any, found: list[Node]) -> Any:
        """Return a part of the value in its form, from the subschemas found for it and from what it equals."""
        if not isinstance(value[place], dict | list | float):
            return value[place]
        equal = [Node({"const": member[place]}, resolver) for member, resolver in members]
        return _written(value[place], [*found, *equal], walk)

    if isinstance(value, list):
        return [inside(k, walk.of_item(parts, k)) for k in range(len(value))]
    return {key: inside(key, walk.of_key(parts, key)) for key in _order(value, parts)}


def _order(value: dict[str, Any], parts: list[Part]) -> list[str]:
    """Return the keys of an object in the order of its schema."""
    named: dict[str, None] = {}
    required: dict[str, None] = {}
    patterns: dict[str, Any] = {}
    for part in parts:
        if part.keyword == "properties":
            named |= dict.fromkeys(part.argument)
        elif part.keyword == "required" and isinstance(part.argument, list):
            required |= dict.fromkeys(part.argument)
        elif part.keyword == "patternProperties":
            patterns |= part.argument
        elif (member := _member(part, value)) is not None:
            named |= dict.fromkeys(member)
    first = [key for key in named | required if key in value]
    rest = [key for key in value if key not in named and key not in required]
    matched = [key for key in rest if matching(key, patterns)]
    return [*first, *matched, *(key for key in rest if key not in matched)]


def _member(part: Part, value: Any) -> Any:
    """Return the member of an ``enum`` or ``const`` that equals a value; None without one."""
    if part.keyword == "const":
        return part.argument if _same(part.argument, value) else None
    members = part.argument if part.keyword == "enum" else []
    return next((member for member in members if _same(member, value)), None)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON: ``True`` is not 1, and 1.0 is."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _forbids(part: Part, number: float) -> bool:
    """Whether a keyword's grammar cannot write a number as it is written."""
    digits, argument = repr(number).lower(), part.argument
    if part.keyword == "type":
        return argument == "integer" or (isinstance(argument, list) and "number" not in argument)
    if part.keyword in ("const", "enum"):
        return True
    if part.keyword == "multipleOf":
        return "e" in digits or _decimals(digits) > _decimals(repr(_plain(argument)))
    if part.keyword not in _BOUNDS:
        return False
    # A bound cuts the decimals of its own whole number short, and those of zero.
    near = int(number) in (0, int(argument))
    return "e" in digits or (number == 0 and digits[0] == "-") or (near and "." in digits and digits[-1] == "0")


def _decimals(digits: str) -> int:
    return len(digits.partition(".")[2])


def _plain(number: float) -> int | float:
    """Return a number without an exponent, and without zeros that say nothing."""
    decimal = Decimal(repr(number))
    if decimal == int(decimal):
        return int(decimal)
    digits = f"{decimal:f}".rstrip("0")
    return float(digits) if repr(float(digits)) == digits else Written(digits)
