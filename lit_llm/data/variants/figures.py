"""A number written in another form of its locale."""

from __future__ import annotations

import random
import re

from lit_llm.data.variants.lexicon import NAMING, fold
from lit_llm.data.variants.spans import NUMBER_WORDS, SEPARATORS, Number, Stated

_UNITS_OF_MONEY = re.compile(r"\s*(?:(?:pesos|mxn|euros|eur|mn)\b|€|m\.n\.)", re.IGNORECASE)
_OTHER_MEASURES = re.compile(r"\s*(?:%|por\s+ciento|\.|,\d|pesos|mxn|euros|eur|€)", re.IGNORECASE)
_WORDS = {number: word for word, number in NUMBER_WORDS.items() if number > 1}
_HALF = re.compile(r"\s+(?:[^\W\d_]+\s+)?y\s+(?:medi[oa]|cuarto|tercio|pico|tres\s+cuartos)", re.IGNORECASE)
_MONTH = re.compile(r"\s+de\s+(?:ene|feb|mar|abr|may|jun|jul|ago|sep|set|oct|nov|dic)", re.IGNORECASE)


def reformatted(text: str, stated: Stated, rng: random.Random) -> str:
    """Write the target's numbers in other forms of the locale; no other number is touched."""
    for number in reversed(stated.numbers):
        if rng.random() < 0.7:
            written = rng.choice(forms(text, number, stated))
            text = text[: number.span.start] + written + text[number.span.end :]
    return text


def _alone(text: str, number: Number, stated: Stated) -> bool:
    """Whether a number stands by itself: no part of a longer one, of a range, a sum, a list, a date or a name."""
    (start, end), _ = number
    before, after = text[:start].rstrip(), text[end:]
    if not any(run.span == number.span for run in stated.runs) or before[-1:] in set("-−–+±<>≤≥≈~=/*×'’"):
        return False
    word = re.search(r"([^\W\d_]+)[.:º°]?$", before)
    if (word and fold(word[1]) in NAMING) or _HALF.match(after) or _MONTH.match(after):
        return False
    return re.search(r"\d[ \u00a0\u202f,;]*$", before) is None and re.match(r"[ \u00a0\u202f,;]*\d", after) is None


def forms(text: str, number: Number, stated: Stated) -> list[str]:
    """List the ways to write a number at its place; the parser reads every one of them."""
    (start, end), value = number
    old, before, after = text[start:end], text[:start].rstrip(), text[end:]
    if value is None or not _alone(text, number, stated):
        return [old]
    money = before.endswith(("$", "€")) or _UNITS_OF_MONEY.match(after) is not None
    if old.casefold() in NUMBER_WORDS:
        return [old, str(int(value))] if value > 1 else [old]
    group, mark = SEPARATORS[stated.locale]
    whole, _, decimals = f"{value.normalize():f}".partition(".")
    if not money and not decimals and 1900 <= int(whole) <= 2100:
        return [old]
    endings = {decimals, decimals.ljust(2, "0")} if decimals or money else {""}
    wholes = [whole, *(f"{int(whole):,}".replace(",", separator) for separator in (group, " "))]
    ways = [w + (mark + e if e else "") for w in dict.fromkeys(wholes) for e in sorted(endings)]
    if value in _WORDS and not money and before[-1:] not in ("(", "x", ":") and re.match(r"\s+[^\W\d_]{3}", after):
        ways += [] if _OTHER_MEASURES.match(after) else [_WORDS[int(value)]]
    return ways
