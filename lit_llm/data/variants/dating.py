"""Days named from the day on which a text was written: ``el 5 de marzo de 2024`` becomes ``el martes``."""

from __future__ import annotations

import random
import re

from lit_llm.data.variants.spans import Stated
from lit_llm.moments import WEEKDAYS, phrases

_ARTICLE = re.compile(rf"\b(?:el\s+)?(?:(?:{'|'.join(WEEKDAYS)}),?\s+)?(?:d[ií]a\s+)?$", re.IGNORECASE)
_BEFORE = re.compile(r"\b(del|al|de|a|para|por)\s+$", re.IGNORECASE)
_YEAR = re.compile(r"\s+(?:del?\s+)?(?:año\s+)?\d")
_CONTRACTED = {"de": "del", "a": "al"}


def redated(text: str, stated: Stated, rng: random.Random) -> str:
    """Return a text whose days are named from its own day, as far as there are ways to; it stays where nobody knows it.

    What stands before a day goes with it: its article and its weekday. A day with a number of the target, or with
    another figure behind it, stays as it is.
    """
    if stated.day is None:
        return text
    days = stated.days()
    for span, day in reversed(days):
        overlaps = sum(other.start < span.end and span.start < other.end for other, _ in days) > 1
        ways = [] if overlaps or stated.holds_number(span) or _YEAR.match(text, span.end) else phrases(day, stated.day)
        before = text[: span.start]
        article = _ARTICLE.search(before)
        begin = article.start() if article and article[0] else span.start
        if joined := _joined(text[:begin], ways):
            text = rng.choice(joined) + text[span.end :]
    return text


def _joined(before: str, ways: list[str]) -> list[str]:
    """Return what stands before a day with each way to name it, contracted as Spanish does: ``del viernes``."""
    word = _BEFORE.search(before)
    if word is None:
        return [before + way for way in ways]
    preposition = word[1].lower()
    found = []
    for way in ways:
        named = way.removeprefix("el ")
        if preposition in ("del", "al"):
            found += [before + named] if named != way else []
        elif preposition in _CONTRACTED and named != way:
            found.append(f"{before[: word.start(1)]}{_CONTRACTED[preposition]} {named}")
        elif not way.startswith("en "):
            found.append(before + way)
    return found
