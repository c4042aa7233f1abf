"""Days named from the day on which a text was written: ``el 5 de marzo de 2024`` becomes ``el martes``."""

from __future__ import annotations

import random
import re

from lit_llm.data.variants.spans import Stated
from lit_llm.moments import phrases

_ARTICLE = re.compile(r"\b(?:el\s+)?(?:d[ií]a\s+)?$", re.IGNORECASE)


def redated(text: str, stated: Stated, rng: random.Random) -> str:
    """Return a text whose days are named from its own day, as far as there are ways to; it stays where nobody knows it.

    An article before a day goes with it.
    """
    if stated.day is None:
        return text
    for span, day in reversed(stated.days()):
        ways = phrases(day, stated.day)
        if ways:
            before = text[: span.start]
            article = _ARTICLE.search(before)
            begin = article.start() if article and article[0] else span.start
            text = text[:begin] + rng.choice(ways) + text[span.end :]
    return text
