r"""Keywords that are checked otherwise than ``jsonschema`` does: decimals as written, patterns that know ``\p{L}``."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from lit_llm.schemas.patterns import matching, searcher


def _multiple_of(validator: Any, factor: float, value: Any, schema: Any) -> Iterator[Exception]:
    """Check as decimals are written: binary division finds a remainder of 0.07 by 0.01."""
    from jsonschema import ValidationError

    if validator.is_type(value, "number") and Fraction(repr(value)) % Fraction(repr(factor)):
        yield ValidationError(f"{value!r} is not a multiple of {factor!r}")


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[Exception]:
    from jsonschema import ValidationError

    if validator.is_type(value, "string") and not searcher(pattern)(value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: dict[str, Any], value: Any, schema: Any) -> Iterator[Exception]:
    if not validator.is_type(value, "object"):
        return
    for key, inner in value.items():
        for pattern in matching(key, patterns):
            yield from validator.descend(inner, patterns[pattern], path=key, schema_path=pattern)


def _additional_properties(validator: Any, node: Any, value: Any, schema: Any) -> Iterator[Exception]:
    from jsonschema import ValidationError

    if not validator.is_type(value, "object"):
        return
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    extra = [key for key in value if key not in named and not matching(key, patterns)]
    if node is False and extra:
        listed = ", ".join(map(repr, extra))
        yield ValidationError(f"Additional properties are not allowed ({listed} unexpected)")
    elif node is not False:
        for key in extra:
            yield from validator.descend(value[key], node, path=key)


EXACT = {
    "multipleOf": _multiple_of,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
}
"""The functions by keyword, as ``jsonschema.validators.extend`` takes them."""
