"""From generated text to a JSON value: strictly, and with what can be recovered from around it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lit_llm.strict_json import JSONError, JSONSyntaxError, loads
from lit_llm.thoughts import after_thoughts, unfinished

_FENCE = re.compile(r"```[\w-]*\s*(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[\[{]")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    """What was read from a generated text.

    Attributes:
        value: the JSON value; None where nothing was found (and where the text is ``null``: see ``found``).
        strict: the whole text is one JSON value, but for thoughts before it.
        error: why it is not; empty where ``strict``.
        found: there is a value, be it strict or recovered.
    """

    value: Any
    strict: bool
    error: str = ""
    found: bool = True


def parse_json(text: str) -> Parsed:
    """Read ``text`` strictly, else recover the content of the first code fence, else the first object in it.

    Strict is RFC 8259: NaN, Infinity, numbers beyond a float, duplicate keys and lone surrogates are errors. Thoughts
    (``<think>…</think>``) are no part of the answer, and one that does not end leaves none behind it. A truncated value
    is never completed, nor is a complete part of a truncated value taken for the answer.
    """
    rest, reason = text, ""
    for rest in (text, *after_thoughts(text)):
        try:
            return Parsed(loads(rest), strict=True)
        except JSONError as error:
            reason = str(error)
    begin = _unfinished(rest)
    if begin is not None:
        rest, reason = rest[:begin], "the thought does not end, so there is no answer"
    return _recovered(rest, reason)


def behind_thoughts(text: str) -> str | None:
    """Return what ``parse_json`` reads strictly: a whole text, or what stands behind its thoughts; else None."""
    for rest in (text, *after_thoughts(text)):
        with suppress(JSONError):
            loads(rest)
            return rest
    return None


def _recovered(text: str, reason: str) -> Parsed:
    for candidate in _candidates(text):
        try:
            return Parsed(loads(candidate), strict=False, error=reason)
        except JSONSyntaxError:
            continue
        except JSONError:
            break
    return Parsed(None, strict=False, error=reason, found=False)


def _unfinished(text: str) -> int | None:
    """Return where a thought begins that does not end; a value may hold the word for it."""
    begin = unfinished(text)
    inside = begin is not None and any(a <= begin < b for a, b in _spans(text))
    return None if inside else begin


def _step(token: str) -> int:
    return 1 if token in "[{" else -1 if token in "]}" else 0


def _candidates(text: str) -> Iterator[str]:
    if fence := _FENCE.search(text):
        yield fence[1]
    spans = [text[a:b] for a, b in _spans(text)]
    yield from sorted(spans, key=lambda span: span[0] == "[")


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the outermost balanced bracket spans begin and end; only inside of them do quotes count."""
    position = 0
    while opening := _OPENING.search(text, position):
        depth, end = 0, len(text)
        for match in _STRING_OR_BRACKET.finditer(text, opening.start()):
            depth += _step(match[0])
            if depth == 0 and match[0] in "]}":
                end = match.end()
                yield opening.start(), end
                break
        position = end
