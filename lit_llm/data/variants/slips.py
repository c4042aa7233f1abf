"""Slips of the keyboard in words that carry no value, no unit and no name."""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable

from lit_llm.data.variants.amounts import Span, Token, tokens
from lit_llm.data.variants.clauses import kinds
from lit_llm.data.variants.lexicon import FROZEN, fold, near, numeral
from lit_llm.data.variants.spans import Stated, outside

KEYBOARD = ("qwertyuiop", "asdfghjklñ", "zxcvbnm")
"""Rows of a Spanish keyboard, whose neighbours are hit by mistake."""

_ENDS = frozenset(".;\n|")


def without_accents(word: str) -> str:
    """Return a word as it is typed on a keyboard without accents; ñ is a letter of its own."""
    return "".join(c if c in "ñÑ" else unicodedata.normalize("NFD", c)[0] for c in word)


def slip(word: str, rng: random.Random) -> str:
    """Swap two letters, leave one out, write it twice, hit the key beside it, or cut the word short."""
    if rng.random() < 0.2 and len(word) > 5:
        return word[: max(4, len(word) - rng.choice([2, 3]))]
    at = rng.randrange(1, len(word) - 1)
    one, other = word[at], word[at + 1]
    row = next((row for row in KEYBOARD if one.casefold() in row), "")
    beside = row[max(0, row.find(one.casefold()) - 1) :][:3].replace(one.casefold(), "") or one
    key = rng.choice(beside)
    written = rng.choice([other + one, other, one + one + other, (key.upper() if one.isupper() else key) + other])
    return word[:at] + written + word[at + 2 :]


def mistyped(text: str, stated: Stated, rng: random.Random, known: frozenset[str]) -> str:
    """Mistype half of the longer words that say nothing by themselves, and half of the time leave out accents.

    Args:
        text: the text.
        stated: what it states.
        rng: decides all draws.
        known: words that are no names although a sentence begins with them.
    """
    bare = rng.random() < 0.5
    others = {fold(token.text) for token in tokens(text) if token.text.isalpha()}
    kept = stated.protected(_carriers(text, stated, known))

    def mistype(match: re.Match[str]) -> str:
        """Draw whether a word is mistyped; a slip that could be read as another word is not made."""
        word = match.group()
        if len(word) > 4 and rng.random() < 0.5:
            slipped = slip(word, rng)
            word = word if _mistakable(slipped, word, others) else slipped
        return word

    text = outside(text, kept, lambda part: re.sub(r"[^\W\d_]+", mistype, part))
    plain = Stated(text, stated.value, stated.locale).protected()
    return outside(text, plain, without_accents) if bare else text


def _mistakable(slipped: str, word: str, others: Iterable[str]) -> bool:
    """Whether a slip is, or is close to, a word that carries a value or another word of the text."""
    short, own = fold(slipped), fold(word)
    if short in FROZEN or numeral(short) or any(len(short) > 4 and near(short, frozen) for frozen in FROZEN):
        return True
    return any(
        other != own and (near(short, other) or (len(short) < 5 and other.startswith(short))) for other in others
    )


def _carriers(text: str, stated: Stated, known: frozenset[str]) -> list[Span]:
    """Return the words beside an amount, names, and words that no slip may touch."""
    words = tokens(text)
    spans = [token.span for token in words if fold(token.text) in FROZEN]
    for k, token in enumerate(words):
        folded = fold(token.text)
        if token.text[0].isupper() and not (folded in known or kinds(folded)):
            spans.append(token.span)
        if token.amount:
            spans += _beside(words, k, -1) + _beside(words, k, 1)
    return spans


def _beside(words: tuple[Token, ...], at: int, step: int) -> list[Span]:
    """Return the next longer word on one side, unless a clause ends before it."""
    at += step
    while 0 <= at < len(words) and words[at].text not in _ENDS:
        if words[at].text.isalpha() and len(words[at].text) > 3:
            return [words[at].span]
        at += step
    return []
