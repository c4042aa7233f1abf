"""Marks between clauses, colons, and the last mark."""

from __future__ import annotations

import itertools
import random
import re

from lit_llm.data.variants.clauses import clauses
from lit_llm.data.variants.spans import Stated

_COLON = re.compile(r"(?<=[^\W\d_]):(?= )")


def repunctuated(text: str, stated: Stated, rng: random.Random) -> str:
    """Write other marks; those between the clauses of one record only, and none that could be read as a sign."""
    spans = stated.protected()
    last = spans[-1].end if spans else 0
    closing = rng.choice(["", ".", "!"]) if not text[last:].strip(" .!\n") else text[last:]
    marks = [(last, len(text), closing)]
    found = clauses(text, stated) or []
    for one, other in itertools.pairwise(found):
        if rng.random() < 0.5:
            marks.append((one.end, other.start, rng.choice([", ", ". ", "; ", "\n"])))
    if rng.random() < 0.5:
        marks += _colons(text[:last], stated, rng.choice(["", " :"]))
    for start, end, mark in sorted(marks, reverse=True):
        text = text[:start] + mark + text[end:]
    return text


def _colons(text: str, stated: Stated, written: str) -> list[tuple[int, int, str]]:
    """Return the places of colons outside of values; one in front of an amount is never left out."""
    strings = stated.strings
    amounts = [span for span in stated.protected() if span not in strings]
    found = []
    for match in _COLON.finditer(text):
        start, end = match.span()
        bound = any(span.start - 3 <= end and start <= span.end for span in amounts)
        if not any(span.start < end and start < span.end for span in stated.protected()):
            found.append((start, end, " :" if bound else written))
    return found
