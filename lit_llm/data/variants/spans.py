"""Where a text states the values of its target: strings, numbers in one locale, and days written out."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from lit_llm.data.variants.amounts import Run, Span, mentioned, runs, untouchable
from lit_llm.moments import mentions

SEPARATORS = {"es_MX": (",", "."), "es_ES": (".", ",")}
"""Grouping and decimal mark of each locale."""

NUMBER_WORDS = {"un": 1, "una": 1, "uno": 1} | {
    word: number
    for number, word in enumerate(
        ["dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce"], start=2
    )
}
_MONTHS = ["enero", "febrero", "marzo", "abril", "mayo", "junio"]
_MONTHS += ["julio", "agosto", "sept?iembre", "octubre", "noviembre", "diciembre"]
_SPACE = " \u00a0\u202f"
_NUMBER = re.compile(
    rf"(?<![\w/-])(?<!\d[.,:])\d+(?:[.,]\d+|[{_SPACE}]\d{{3}}(?!\d))*(?![\w/]|[-:]\d|[.,]\d)"
    rf"|(?<!\w)(?:{'|'.join(NUMBER_WORDS)})(?!\w)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\s;()]+")
_CODE = re.compile(r"[\d@/_#\\]|www\.")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


class Number(NamedTuple):
    """A number in a text and its value, None where its form can be read in two ways (``1.000``)."""

    span: Span
    value: Decimal | None


def leaves(value: Any) -> Iterator[Any]:
    """Yield every scalar of a JSON value, repeated ones too."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        yield value
        return
    for inner in value:
        yield from leaves(inner)


def keys(value: Any) -> Iterator[str]:
    """Yield every key of a JSON value, those of inner objects too."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(inner)
    if isinstance(value, dict):
        yield from map(str, value)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in their order, overlapping ones as one."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.start < found[-1].end:
            found[-1] = Span(found[-1].start, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def outside(text: str, spans: Sequence[Span], edit: Callable[[str], str]) -> str:
    """Apply ``edit`` to each part of the text between the spans."""
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(edges)]
    return "".join(part if k % 2 else edit(part) for k, part in enumerate(parts))


@lru_cache(maxsize=20_000)
def parse_number(token: str, locale: str) -> Decimal | None:
    """Read digits with separators as the locale writes them.

    Accepts plain digits, the locale's grouping, grouping by (no-break) spaces, and both marks together in either
    locale's order, because that has one reading only.

    Returns:
        The value, or None where the form is ambiguous (``1.000`` in es_MX) or no number (``1,25`` in es_MX, ``007``).
    """
    if (word := NUMBER_WORDS.get(token.casefold())) is not None:
        return Decimal(word)
    group, mark = SEPARATORS[locale]
    token = re.sub(f"[{_SPACE}]", " ", token)
    if re.fullmatch(rf"[1-9]\d{{0,2}}{re.escape(mark)}\d{{3}}", token):
        return None
    whole = r"(0|[1-9]\d*|[1-9]\d{0,2}(?:%s\d{3})+)"
    for grouping, decimal in ((group, mark), (" ", mark), (mark, group)):
        pattern = whole % re.escape(grouping) + rf"(?:{re.escape(decimal)}(\d+))?"
        needs_both = grouping == mark and not (group in token and mark in token)
        if not needs_both and (match := re.fullmatch(pattern, token)):
            return Decimal(f"{match[1].replace(grouping, '')}.{match[2] or '0'}")
    return None


def numbers(text: str, locale: str) -> list[Number]:
    """Find all numbers that stand alone, as digits or as the words from one to twelve; none in dates or codes."""
    return [Number(Span(*m.span()), parse_number(m.group(), locale)) for m in _NUMBER.finditer(text)]


def _string_pattern(value: str) -> str:
    words = r"\s+".join(re.escape(word) for word in unicodedata.normalize("NFC", value).split())
    return rf"(?<!\w){words}(?!\w)"


def _date_pattern(year: str, month: str, day: str) -> str:
    name = _MONTHS[int(month) - 1]
    number = f"0?{int(day)}"
    written = rf"{number}\s+(?:de\s+)?(?:{name}|{name[:3]}\.?)(?:\s+(?:del?\s+)?{year})?"
    numeric = rf"{number}([/.-])0?{int(month)}\1(?:{year}|{year[2:]})"
    return rf"(?<![\w/.-])(?:{numeric}|{written}|{year}-{month}-{day})(?![\w/]|-\d)"


@lru_cache(maxsize=20_000)
def _pattern(value: str) -> re.Pattern[str]:
    iso = _ISO.fullmatch(value)
    dated = iso is not None and 1 <= int(iso[2]) <= 12
    return re.compile(_date_pattern(*iso.groups()) if iso and dated else _string_pattern(value), re.IGNORECASE)


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, int | float | Decimal) and not isinstance(leaf, bool)


def lists(value: Any) -> Iterator[list[Any]]:
    """Yield every list of two or more objects."""
    if isinstance(value, list) and sum(isinstance(inner, dict) for inner in value) > 1:
        yield value
    inner_values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for inner in inner_values:
        yield from lists(inner)


def _covers(spans: Iterable[Span], span: Span) -> bool:
    return any(s.start < span.end and span.start < s.end for s in spans)


def as_written(text: str, value: Any) -> Any:
    """Return the value with each string that the text holds in another case written as it stands there.

    A string that the text also holds as it is, a day and a string that it does not hold at all stay as they are.
    """
    if isinstance(value, dict):
        return {key: as_written(text, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_written(text, inner) for inner in value]
    if not isinstance(value, str) or not value.strip() or _ISO.fullmatch(value):
        return value
    forms = [" ".join(match.group().split()) for match in _pattern(value).finditer(text)]
    return value if value in forms or not forms else forms[0]


class Stated:
    """What a text states of a target value.

    Args:
        text: the source text, in Unicode NFC.
        value: the target; booleans, null and strings that the text does not hold have no place in it.
        locale: ``es_MX`` or ``es_ES``.
        day: on which it was written, so that ``mañana`` states the day after; None where nobody knows.

    Attributes:
        value: the target.
        locale: how the text writes numbers.
        day: as above.
        strings: places of the target's strings and days, in the text's order.
        numbers: places of numbers equal to one of the target's, outside ``strings``.
        found: how often each value is stated; equal counts before and after an edit mean that nothing was lost.
    """

    def __init__(self, text: str, value: Any, locale: str, day: date | None = None) -> None:
        scalars = list(leaves(value))
        self.value, self.locale, self.day = value, locale, day
        named = list(mentions(text, day)) if day else []
        # A set of strings: equal ones share their places, and each place is to be found once.
        self.strings: list[Span] = []
        self.found: Counter[str | Decimal] = Counter()
        self._places: dict[str, list[Span]] = {}
        for leaf in {leaf for leaf in scalars if isinstance(leaf, str) and leaf.strip()}:
            spans = [Span(*m.span()) for m in _pattern(leaf).finditer(text)]
            more = [Span(*mention[:2]) for mention in named if mention.day.isoformat() == leaf]
            self._places[leaf] = spans = spans + [span for span in more if not _covers(spans, span)]
            self.strings += spans
            self.found[leaf] += len(spans)
        self.strings.sort()
        wanted = {Decimal(str(leaf)) for leaf in scalars if _is_number(leaf)}
        alone = [n for n in numbers(text, locale) if not _covers(self.strings, n.span)]
        self.numbers = [n for n in alone if n.value in wanted]
        self.found.update(n.value for n in self.numbers if n.value is not None)
        self._text, self._wanted = text, wanted

    @property
    def runs(self) -> tuple[Run, ...]:
        """Places of all amounts in digits and words, of the target or not."""
        return runs(self._text)

    def blocks(self) -> list[Span]:
        """Return the place from the first to the last value of each list of several objects: they stay together."""
        found = []
        for records in lists(self.value):
            inner = list(leaves(records))
            places = [span for leaf in inner if isinstance(leaf, str) for span in self._places.get(leaf, [])]
            sizes = {Decimal(str(leaf)) for leaf in inner if _is_number(leaf)}
            places = places or [number.span for number in self.numbers if number.value in sizes]
            if places:
                found.append(Span(min(places).start, max(span.end for span in places)))
        return found

    def unstated(self) -> list[Decimal]:
        """Return the target's numbers that the text states in no reading, by their size without the sign."""
        return sorted(number for number in self._wanted if abs(number) not in mentioned(self._text))

    def days(self) -> list[tuple[Span, date]]:
        """Return the places of the target's days, and which days they are."""
        found = []
        for leaf, spans in self._places.items():
            if _ISO.fullmatch(leaf):
                with suppress(ValueError):
                    found += [(span, date.fromisoformat(leaf)) for span in spans]
        return sorted(found)

    def holds_number(self, span: Span) -> bool:
        """Whether a number of the target may stand in a part of the text."""
        return bool(self._wanted & mentioned(self._text[span.start : span.end]))

    def protected(self, more: Iterable[Span] = ()) -> list[Span]:
        """Return the merged places that no edit may touch.

        They are the values, all amounts, signs, comparisons and negations, and every word that holds a digit or is an
        address.

        Args:
            more: other places to protect.
        """
        words = [m for m in _WORD.finditer(self._text) if _CODE.search(m.group())]
        codes = [Span(m.start(), m.start() + len(m.group().rstrip(".,:!?"))) for m in words]
        return merged([*self.strings, *(n.span for n in self.numbers), *codes, *untouchable(self._text), *more])
