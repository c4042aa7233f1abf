"""Whether a value satisfies a schema, and where it does not."""

from __future__ import annotations

from typing import Any

from lit_llm.errors import DataError
from lit_llm.schemas.compiled import Compiled, compiled


def first_fault(value: Any, schema: Any) -> str | None:
    """Say where and why ``value`` fails ``schema``; None where it does not.

    ``multipleOf`` counts in decimal: 0.07 is a multiple of 0.01.

    Raises:
        DataError: the schema itself is broken.
    """
    try:
        fault = next(compiled(schema).validator.iter_errors(value), None)
    except RecursionError as error:
        raise DataError("meta.schema: refers to itself without end; let $ref stand under properties") from error
    return f"at {fault.json_path}: {fault.message[:200]}" if fault else None


def fits(value: Any, node: Any, resolver: Any, schema: Compiled) -> bool:
    """Whether a value satisfies a subschema."""
    return next(schema.validator.descend(value, node, resolver=resolver), None) is None
