"""From generated text to a JSON value: strictly, and with what can be recovered from around it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

MAX_DEPTH = 64
"""Deeper values are refused: they come from degenerate repetition, and would exhaust Python's stack."""

_FENCE = re.compile(r"```[\w-]*\s*(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[\[{]")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


class InvalidJSONError(ValueError):
    """Text that ``json`` would read but that is no certain value, such as a duplicate key, NaN or half a character."""


@dataclass(frozen=True)
class Parsed:
    """What was read from a generated text.

    Attributes:
        value: the JSON value; None where nothing was found (and where the text is ``null``: see ``found``).
        strict: the whole text is one JSON value.
        error: why it is not; empty where ``strict``.
        found: there is a value, be it strict or recovered.
    """

    value: Any
    strict: bool
    error: str = ""
    found: bool = True


def parse_json(text: str) -> Parsed:
    """Read ``text`` strictly, else recover the content of the first code fence, else the first object in it.

    Strict is RFC 8259: NaN, Infinity, numbers too large for a float, duplicate keys and lone surrogates are errors.
    A truncated value is never completed, nor is a complete part of a truncated value taken for the answer.
    """
    try:
        return Parsed(loads(text), strict=True)
    except ValueError as error:
        reason = str(error)
    for candidate in _candidates(text):
        try:
            return Parsed(loads(candidate), strict=False, error=reason)
        except json.JSONDecodeError:
            continue
        except ValueError:
            break
    return Parsed(None, strict=False, error=reason, found=False)


def loads(text: str) -> Any:
    """``json.loads`` without its leniencies.

    Raises:
        ValueError: the text is not one JSON value (``JSONDecodeError``), or an ambiguous one (``InvalidJSONError``).
    """
    if _depth(text) > MAX_DEPTH:
        raise InvalidJSONError(f"nested deeper than {MAX_DEPTH} levels")
    value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidJSONError(f"lone surrogate {error.object[error.start]!r}, which UTF-8 cannot hold") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        raise InvalidJSONError(f"duplicate key {next(key for key in keys if keys.count(key) > 1)!r}")
    return value


def _constant(name: str) -> NoReturn:
    raise InvalidJSONError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise InvalidJSONError(f"number {text} is too large")
    return value


def _depth(text: str) -> int:
    """Return the deepest nesting of brackets outside of strings."""
    openings = text.count("[") + text.count("{")
    if openings <= MAX_DEPTH:
        return openings
    depth = deepest = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += _step(match[0])
        deepest = max(deepest, depth)
    return deepest


def _step(token: str) -> int:
    return 1 if token in "[{" else -1 if token in "]}" else 0


def _candidates(text: str) -> Iterator[str]:
    if fence := _FENCE.search(text):
        yield fence[1]
    spans = list(_balanced(text))
    yield from sorted(spans, key=lambda span: span[0] == "[")


def _balanced(text: str) -> Iterator[str]:
    """Yield the outermost balanced bracket spans; quotes count inside of them only, so prose may hold any."""
    position = 0
    while opening := _OPENING.search(text, position):
        depth, end = 0, len(text)
        for match in _STRING_OR_BRACKET.finditer(text, opening.start()):
            depth += _step(match[0])
            if depth == 0 and match[0] in "]}":
                end = match.end()
                yield text[opening.start() : end]
                break
        position = end
