"""What the values of a column must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lit_llm.data.records.json_rows import single_quotes
from lit_llm.strict_json import JSONError, excerpt, json_type, loads

Kind = Literal["text", "json", "id", "any"]
"""``text``: a string that is not blank; ``json``: an object or array, or text of one; ``id``: a string or integer;
``any``: whatever a cell or JSON holds."""


@dataclass(frozen=True)
class Column:
    """A field to read.

    Attributes:
        name: as the file calls it.
        kind: what its values must be.
        required: whether every record must have a value.
        expected: whether the file must have the column, though not every record a value.
        lenient: whether a record whose value cannot be used is kept without it, which its ``notes`` say.
    """

    name: str
    kind: Kind = "text"
    required: bool = True
    expected: bool = False
    lenient: bool = False


class ValueFault(ValueError):
    """A value that its column does not allow.

    Attributes:
        message: what is wrong and the remedy.
        where: the column, or the path within its JSON value.
    """

    def __init__(self, message: str, where: str) -> None:
        super().__init__(message)
        self.message, self.where = message, where


def converted(value: Any, column: Column) -> Any:
    """Return the value of a column; None where an optional one has none.

    Raises:
        ValueFault: if it is not of the column's kind, or missing where it is required.
    """
    if column.kind == "any":
        return value
    blank = value == "" or (column.kind == "text" and isinstance(value, str) and not value.strip())
    if value is None or (blank and not column.required):
        if column.required:
            raise ValueFault("is null; give it a value or remove the record", column.name)
        return None
    try:
        return _CONVERT[column.kind](value)
    except JSONError as error:
        remedy = single_quotes(value) if isinstance(value, str) else ""
        raise ValueFault(error.message + remedy, f"{column.name}.{error.where}".rstrip(".")) from None
    except ValueError as error:
        raise ValueFault(str(error), column.name) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, got {json_type(value)} {excerpt(value)}")
    if not value.strip():
        raise ValueError("is blank; give it a value or remove the record")
    return value


def _id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"must be a string or an integer, got {json_type(value)} {excerpt(value)}")
    return _text(value)


def _json(value: Any) -> Any:
    if isinstance(value, str):
        value = loads(_text(value))
    if not isinstance(value, dict | list):
        raise ValueError(f"must be a JSON object or array, got {json_type(value)} {excerpt(value)}")
    return value


_CONVERT: dict[Kind, Callable[[Any], Any]] = {"text": _text, "json": _json, "id": _id, "any": lambda value: value}
