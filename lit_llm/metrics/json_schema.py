"""What a JSON schema says about a value: whether it is valid, and which of its fields are dates."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from typing import Any

from lit_llm.errors import DataError
from lit_llm.metrics.json_leaves import Path, path_name

_DATE_FORMATS = ("date", "date-time", "time")
_BRANCHES = ("anyOf", "oneOf", "allOf")


def first_fault(value: Any, schema: dict[str, Any] | bool) -> str | None:
    """Say where and why ``value`` fails ``schema`` (Draft 2020-12 unless it names another); None where it does not.

    ``format`` is an annotation there, hence not checked. ``multipleOf`` counts in decimal: 0.07 is a multiple of 0.01.
    References to other documents are never fetched.

    Raises:
        DataError: the schema itself is broken.
    """
    from referencing.exceptions import Unresolvable

    try:
        fault = next(_validator(json.dumps(schema, sort_keys=True)).iter_errors(value), None)
    except Unresolvable as error:
        raise DataError(f"meta.schema: reference {error.ref!r} is not in the schema; copy it under $defs") from error
    return f"at {fault.json_path}: {fault.message[:200]}" if fault else None


@lru_cache(maxsize=4096)
def _validator(schema_text: str) -> Any:
    from jsonschema import Draft202012Validator, SchemaError, validators
    from referencing import Registry

    schema = json.loads(schema_text)
    kind: Any = validators.validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise DataError(f"meta.schema: {error.json_path}: {error.message}; mend the JSON schema") from error
    exact: Any = validators.extend  # jsonschema's own hints leave it untyped
    return exact(kind, {"multipleOf": _multiple_of})(schema, registry=Registry())


def _multiple_of(validator: Any, factor: float, value: Any, schema: Any) -> Iterator[Exception]:
    """Check as decimals are written: binary division finds a remainder of 0.07 by 0.01."""
    from jsonschema import ValidationError

    if validator.is_type(value, "number") and Fraction(repr(value)) % Fraction(repr(factor)):
        yield ValidationError(f"{value!r} is not a multiple of {factor!r}")


def date_fields(schema: dict[str, Any] | bool) -> frozenset[str]:
    """Return the fields (``items[].due``) whose ``format`` is ``date``, ``date-time`` or ``time``.

    Raises:
        DataError: the schema itself is broken.
    """
    return _date_fields(json.dumps(schema, sort_keys=True))


@lru_cache(maxsize=4096)
def _date_fields(schema_text: str) -> frozenset[str]:
    schema = _validator(schema_text).schema
    return frozenset(path_name(path, field=True) for path in _dates(schema, (), schema, frozenset()))


def _dates(node: Any, path: Path, root: Any, seen: frozenset[str]) -> Iterator[Path]:
    """Walk ``node``; ``seen`` holds the references followed on the way, so that recursive schemas end."""
    if not isinstance(node, dict):
        return
    if node.get("format") in _DATE_FORMATS:
        yield path
    ref = node.get("$ref")
    if isinstance(ref, str) and ref not in seen:
        yield from _dates(_resolve(root, ref), path, root, seen | {ref})
    for branch in (part for name in _BRANCHES for part in node.get(name, [])):
        yield from _dates(branch, path, root, seen)
    for key, child in node.get("properties", {}).items():
        yield from _dates(child, (*path, key), root, seen)
    yield from _dates(node.get("items"), (*path, 0), root, seen)


def _resolve(root: Any, ref: str) -> Any:
    """Follow a JSON pointer (``#/$defs/item``) inside of ``root``; None where it leads nowhere."""
    if ref != "#" and not ref.startswith("#/"):
        return None
    node = root
    for part in ref.split("/")[1:]:
        node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node
