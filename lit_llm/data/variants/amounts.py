"""Where a text states amounts, in digits and in words, and the signs and comparisons that belong to them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from lit_llm.data.variants.lexicon import (
    CARDINALS,
    COLLECTIVES,
    FRACTIONS,
    MARKS,
    ORDINALS,
    RANKS,
    SCALES,
    fold,
    numeral,
    worth,
)

_TOKEN = re.compile(r"\d+(?:[.,:/'’-]?\d+)*|[^\W\d_]+|[^\w\s]")
_JOINERS = frozenset("y e i o u a de del con punto coma por x entre menos mas al las los la".split())  # noqa: SIM905
_BEFORE = re.compile(r"[-−–+±<>≤≥≈~$€£¥#(]+[ \u00a0\u202f]?$")
_BEHIND = re.compile(r"[ \u00a0\u202f]?(?:[%‰°º€$)]+[^\W\d_]?|[^\W\d_]{1,4}(?:/[^\W\d_]{1,4})?[²³]?)(?!\w)")
_UPPER_ROMAN = re.compile(r"(?<![\w])[IVXLCDM]+(?![\w'’])")
_GLUED = re.compile(r"(?<![^\W_])\d[\d.,]*[^\W\d_]{1,5}(?:/[^\W\d_]+)?(?!\w)")
_COMMON = frozenset(
    "de y o a al el en la lo le un una con por que su mi se me te no ni si e u x del los las para cada".split()  # noqa: SIM905
)


class Span(NamedTuple):
    """Characters ``start`` to ``end`` of a text."""

    start: int
    end: int


class Token(NamedTuple):
    """A word, digits with the marks among them, or one mark."""

    span: Span
    text: str

    @property
    def amount(self) -> bool:
        """Whether it is digits, or a word of a number or a slip of one."""
        return self.text[0].isdigit() or (self.text.isalpha() and numeral(self.text) is not None)


class Run(NamedTuple):
    """Tokens of amounts that belong together, such as ``treinta y dos mil`` or ``de 3 a 5``."""

    span: Span
    tokens: tuple[Token, ...]


@lru_cache(maxsize=512)
def tokens(text: str) -> tuple[Token, ...]:
    """Split a text into words, digits and marks."""
    return tuple(Token(Span(*m.span()), m.group()) for m in _TOKEN.finditer(text))


def _joined(found: tuple[Token, ...], at: int) -> int:
    """Return the place of the next token of the run that holds token ``at``, 0 where the run ends."""
    for step in (1, 2, 3):
        if at + step >= len(found):
            return 0
        after = found[at + step]
        if after.amount:
            return at + step
        scale = step == 1 and after.text.casefold() in SCALES and found[at].text[0].isdigit()
        if scale:
            return at + 1
        if fold(after.text) not in _JOINERS and after.text not in "-–−/+*×":
            return 0
    return 0


@lru_cache(maxsize=512)
def runs(text: str) -> tuple[Run, ...]:
    """Find the amounts of a text; numbers with only small words between them are one run."""
    found, at, made = tokens(text), 0, []
    while at < len(found):
        if not found[at].amount:
            at += 1
            continue
        last = at
        while after := _joined(found, last):
            last = after
        made.append(Run(Span(found[at].span.start, found[last].span.end), found[at : last + 1]))
        at = last + 1
    return tuple(made)


def _widened(text: str, span: Span) -> Span:
    before, behind = _BEFORE.search(text, 0, span.start), _BEHIND.match(text, span.end)
    start = before.start() if before else span.start
    end = span.end
    if behind and fold(behind.group().strip()) not in _COMMON:
        end = behind.end()
    return Span(start, end)


_HALF = re.compile(r"[^\W\d_]+\s+y\s+(?:medi[oa]s?|pico|cuarto|tercio|tres\s+cuartos)(?!\w)", re.IGNORECASE)


@lru_cache(maxsize=512)
def untouchable(text: str) -> tuple[Span, ...]:
    """Return the places of amounts with their signs, symbols and halves, and of words that negate or compare."""
    spans = [_widened(text, run.span) for run in runs(text)]
    spans += [Span(*m.span()) for m in _HALF.finditer(text)]
    spans += [token.span for token in tokens(text) if fold(token.text) in MARKS]
    spans += [Span(*m.span()) for m in re.finditer(r"[-−–+±<>≤≥≈~]+\s*(?=[\d$€£.,])", text)]
    return tuple(spans)


def symbols(text: str) -> list[Span]:
    """Return the places of what changes with its case: ``m`` and ``M``, ``mW`` and ``MW`` behind digits; ``XIV``."""
    spans = [Span(*m.span()) for pattern in (_UPPER_ROMAN, _GLUED) for m in pattern.finditer(text)]
    for match in re.finditer(r"(?<=\d)[ \u00a0\u202f]?[^\W\d_]{1,4}(?:/[^\W\d_]{1,4})?[²³]?(?!\w)", text):
        if fold(match.group().strip()) not in _COMMON:
            spans.append(Span(*match.span()))
    return spans


def facts(text: str, amounts: bool = True) -> list[str]:
    """Return what a text states, in its order: every amount as it is written, and every sign and comparison.

    Args:
        text: the text.
        amounts: with False, signs and comparisons alone, for texts whose numbers take another form.
    """
    found, stated = tokens(text), []
    for k, token in enumerate(found):
        folded = fold(token.text)
        number = token.amount or (folded in SCALES and k > 0 and found[k - 1].text[0].isdigit())
        if (number and amounts) or (not number and (folded in MARKS or token.text in "<>≤≥±≈~%−")):
            stated.append(folded)
        elif token.text in "-–+" and k + 1 < len(found) and found[k + 1].text[0] in "$€£0123456789":
            stated.append("-")
    return stated


@lru_cache(maxsize=20_000)
def mentioned(text: str) -> frozenset[Decimal]:
    """Return every value that a text may be read to state, without its sign, in each reading of its marks.

    It is generous, so that only a number that is nowhere counts as not stated.
    """
    values: set[Decimal] = set()
    for match in re.finditer(r"\d+(?:[.,' \u00a0\u202f]\d+)*", text):
        values |= _readings(match.group())
        for part in re.findall(r"\d+", match.group()):
            values.add(Decimal(part))
    for run in runs(text):
        for start in range(len(run.tokens)):
            values |= _worded(run.tokens[start:])
    for match in _HALF.finditer(text):
        head = re.split(r"\s+", match.group())[0]
        values |= {Decimal("1.5") * (worth(fold(head)) or 1)}
        values |= {value + Decimal("0.5") for value in list(values)}
    return frozenset(values | {value / 100 for value in values})


def _readings(token: str) -> set[Decimal]:
    """Read digits with every mark as grouping and with the last one as decimal mark."""
    bare = re.sub(r"\D", "", token)
    last = max(token.rfind("."), token.rfind(","))
    decimal = re.sub(r"\D", "", token[:last]) + "." + token[last + 1 :] if last > 0 else bare
    return {Decimal(bare)} | ({Decimal(decimal)} if re.fullmatch(r"\d+(\.\d+)?", decimal) else set())


def _worded(words: Sequence[Token]) -> set[Decimal]:
    """Read number words from the left, and yield the value after each of them."""
    total, current, last = Decimal(0), Decimal(0), Decimal(1)
    values: set[Decimal] = set()
    for token in words:
        word = numeral(token.text) if token.text[0].isalpha() else None
        word = word or token.text.casefold()
        if token.text[0].isdigit():
            values |= (read := _readings(token.text))
            current += min(read)
        elif word in CARDINALS:
            current += CARDINALS[word]
        elif word in SCALES:
            last = Decimal(SCALES[word])
            scaled = (current or 1) * last if last == 1000 else (total + current or Decimal(1)) * last
            total, current = (total + scaled if last == 1000 else scaled), Decimal(0)
        elif word in COLLECTIVES:
            last = Decimal(COLLECTIVES[word])
            current = (current or 1) * last
        elif word in FRACTIONS:
            current += Decimal(FRACTIONS[word]) * last
        if word in ORDINALS:
            values |= {Decimal(rank) for head, rank in RANKS.items() if word.startswith(head)}
        values.add(total + current)
    return values
