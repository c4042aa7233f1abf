"""JSON as RFC 8259 has it: numbers keep their digits, and errors say where in the value and what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

MAX_DEPTH = 64
"""Deepest nesting that is read; far deeper ones would exhaust the stack of whatever walks the value later."""

_EXCERPT = 60


class JSONError(ValueError):
    """Text or a value that is not strict JSON.

    Attributes:
        message: what is wrong and the remedy.
        where: path of the value in question, such as ``json.items[0].price``; empty where it cannot be told.
    """

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where


class JSONSyntaxError(JSONError):
    """Text that no JSON reader would accept, such as a truncated object."""


class Written(float):
    """A number with the digits it was written with, where Python would write others: ``0.00001``, ``1.50``.

    It computes and compares as the float that it is; ``repr`` and ``dumps`` give its digits.

    Args:
        digits: the number as JSON writes it.
    """

    digits: str

    def __new__(cls, digits: str) -> Written:
        """Return a number that ``float(digits)`` can hold."""
        number = super().__new__(cls, digits)
        number.digits = digits
        return number

    def __repr__(self) -> str:
        return self.digits

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[Written], tuple[str]]:
        return Written, (self.digits,)


@dataclass(frozen=True)
class _Flaw:
    """Stands in a parsed value in place of what JSON does not allow, until its path is known."""

    message: str
    key: str = ""


def loads(text: str) -> Any:
    """Parse strict JSON; a number that Python would write otherwise becomes a ``Written``.

    Raises:
        JSONSyntaxError: the text is not JSON.
        JSONError: also for what ``json.loads`` accepts: NaN, Infinity, numbers too large or too small for a float, one
            key twice in an object, lone surrogates, and nesting deeper than ``MAX_DEPTH``.
    """
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)
    except json.JSONDecodeError as error:
        raise JSONSyntaxError(
            f"is not JSON: {error.msg} at column {error.pos + 1}, {_around(text, error.pos)}"
        ) from error
    except RecursionError as error:
        raise JSONError(f"is nested deeper than {MAX_DEPTH} levels; flatten it") from error
    except ValueError as error:
        raise JSONError(f"holds a number that cannot be read: {error}") from error
    check_json(value)
    return value


def dumps(value: Any, *, sort_keys: bool = False, default: Callable[[Any], Any] | None = None) -> str:
    """Write a JSON value without white space, characters as they are and numbers as they were written.

    Args:
        value: what to write.
        sort_keys: whether keys come in alphabetical order, not in their own.
        default: makes what JSON has not into what it has; without it that is a TypeError.
    """
    if isinstance(value, str):
        # DEL may stand in a string as it is, yet readers and grammars exist that take it for a control character.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    write = partial(dumps, sort_keys=sort_keys, default=default)
    if isinstance(value, dict):
        keys = sorted(value) if sort_keys else value
        return "{" + ",".join(f"{dumps(str(key))}:{write(value[key])}" for key in keys) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(write, value)) + "]"
    return repr(value) if isinstance(value, Written) else json.dumps(value, default=default, ensure_ascii=False)


def check_json(value: Any, where: str = "", depth: int = 0) -> None:
    """Raise a JSONError for the first thing in ``value`` that strict JSON cannot hold.

    Args:
        value: any object.
        where: its path, for the error.
        depth: levels above it.
    """
    if depth >= MAX_DEPTH and isinstance(value, dict | list):
        raise JSONError(f"is nested deeper than {MAX_DEPTH} levels; flatten it", where.partition(".")[0])
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, where)
            check_json(item, _join(where, key), depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check_json(item, f"{where}[{index}]", depth + 1)
    elif isinstance(value, _Flaw):
        raise JSONError(value.message, _join(where, value.key) if value.key else where)
    else:
        _check_scalar(value, where)


def json_type(value: Any) -> str:
    """Name the type of a value with its article, as JSON's users call it."""
    if isinstance(value, bool):
        return "the boolean"
    if isinstance(value, int | float):
        return "the number"
    names = {str: "the string", dict: "an object", list: "an array", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def excerpt(value: Any, limit: int = _EXCERPT) -> str:
    """Write a value on one line of at most ``limit`` characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Flaw:
    # Python keeps the last of two equal keys and says nothing.
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            return _Flaw("occurs twice in one object; keep one of the two", key)
        seen[key] = value
    return seen


def _constant(name: str) -> _Flaw:
    return _Flaw(f"{name} is not JSON; use null or leave the key out")


def _number(digits: str) -> float | _Flaw:
    value = float(digits)
    if not math.isfinite(value):
        return _Flaw(f"{excerpt(digits)} is too large for a float; write it as a string")
    if value == 0 and digits.lower().partition("e")[0].strip("-0."):
        return _Flaw(f"{excerpt(digits)} is too small for a float; write it as a string, or 0")
    return value if repr(value) == digits else Written(digits)


def _check_scalar(value: Any, where: str) -> None:
    if isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise JSONError(f"{value} is not JSON; use null or leave the key out", where)
    elif not isinstance(value, int | float | None):
        raise JSONError(f"{json_type(value)} {excerpt(value)} is not JSON; write it as a string", where)


def _check_text(text: str, where: str) -> None:
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise JSONError("holds half of a surrogate pair, which is no character; write the character itself", where)


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _around(text: str, position: int) -> str:
    begin, end = max(0, position - _EXCERPT // 2), position + _EXCERPT // 2
    return f"near {'…' if begin else ''}{text[begin:end]!r}{'…' if end < len(text) else ''}"
