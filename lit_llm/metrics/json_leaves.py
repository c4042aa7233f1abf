"""When two JSON values count as equal: their leaves in a form that can be compared. Pure functions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple, TypeAlias

from lit_llm.catalogues.catalogue import plainly
from lit_llm.catalogues.paths import Place, path_name
from lit_llm.errors import DataError
from lit_llm.moments import resolved
from lit_llm.strict_json import loads

Path: TypeAlias = Place

_NUMERIC_DATE = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})")
_DAY, _CLOCK = r"\d{4}-\d\d-\d\d|\d{8}", r"\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
_ISO: dict[type[date] | type[time], re.Pattern[str]] = {
    date: re.compile(_DAY, re.ASCII),
    datetime: re.compile(rf"(?:{_DAY})[Tt ]{_CLOCK}", re.ASCII | re.IGNORECASE),
    time: re.compile(_CLOCK, re.ASCII | re.IGNORECASE),
}
"""Whole forms alone: Python also reads 2024-05 as the time 20:24 five hours west of Greenwich."""


@dataclass(frozen=True)
class Rules:
    """When two values count as equal.

    Attributes:
        ignore_null: a field that is ``null`` is the same as one that is missing.
        number_tolerance: largest absolute difference of two equal numbers, in decimal (0.31 − 0.30 is 0.01).
        dates: fields such as ``items[].due`` whose text is compared as a date or time.
        day_first: 03/05/2024 is the third of May.
        today: the day from which ``mañana`` and days without a year are counted in those fields; None reads none.
        verbatim: texts are compared as written, not by NFC, case folding and collapsed white space.
        type_lenient: ``"50"`` equals 50, and ``"true"`` equals true.
    """

    ignore_null: bool = True
    number_tolerance: float = 0.0
    dates: frozenset[str] = frozenset()
    day_first: bool = True
    today: date | None = None
    verbatim: bool = False
    type_lenient: bool = False


DEFAULT_RULES = Rules()
EXACT_RULES = Rules(ignore_null=False, verbatim=True)


class Leaf(NamedTuple):
    """A scalar or an empty container, in a form in which equal values are equal tuples.

    The kind keeps ``True`` apart from 1, which Python holds to be equal.
    """

    kind: str
    value: Any


Node: TypeAlias = "dict[str, Node] | list[Node] | Leaf"


def canonical(value: Any, rules: Rules, path: Path = ()) -> Node | None:
    """Return the value's tree with comparable leaves; None where it is missing.

    Raises:
        DataError: it holds something that JSON has not.
    """
    if isinstance(value, dict):
        children = {key: canonical(child, rules, (*path, key)) for key, child in value.items()}
        return {key: node for key, node in children.items() if node is not None} or Leaf("object", None)
    if isinstance(value, list):
        items = (canonical(child, rules, (*path, 0)) for child in value)
        return [node for node in items if node is not None] or Leaf("array", None)
    if value is None:
        return None if rules.ignore_null else Leaf("null", None)
    if isinstance(value, bool):
        return Leaf("boolean", value)
    if isinstance(value, int):
        return Leaf("number", value)
    if isinstance(value, float) and math.isfinite(value):
        # As decimals: two numbers of twenty digits may be one float.
        return Leaf("number", Decimal(repr(value)))
    if isinstance(value, str):
        return _text_leaf(value, rules, path)
    raise DataError(f"{path_name(path)}: {value!r} is a {type(value).__name__}, not a JSON value; convert it")


def same(gold: Leaf, prediction: Leaf, rules: Rules) -> bool:
    """Whether two leaves are equal under the rules."""
    if gold.kind == prediction.kind == "number" and rules.number_tolerance:
        difference = abs(_fraction(gold.value) - _fraction(prediction.value))
        return difference <= _fraction(rules.number_tolerance)
    if gold == prediction or not rules.type_lenient or gold.kind == prediction.kind:
        return gold == prediction
    return same(_untyped(gold), _untyped(prediction), replace(rules, type_lenient=False))


def _fraction(number: int | float | Decimal) -> Fraction:
    """Return the decimal that was written, exactly: in binary, 0.31 − 0.30 is more than 0.01."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def _untyped(leaf: Leaf) -> Leaf:
    """Read the number or boolean that a text spells."""
    if leaf.kind != "string":
        return leaf
    try:
        value = loads(leaf.value)
    except ValueError:
        return leaf
    return canonical(value, EXACT_RULES) if isinstance(value, int | float) else leaf  # type: ignore[return-value]


def _text_leaf(text: str, rules: Rules, path: Path) -> Leaf:
    if rules.dates and path_name(path, field=True) in rules.dates:
        moment = _moment(text.strip(), rules.day_first)
        if moment is None and rules.today:
            moment = resolved(text, rules.today, rules.day_first)
        if moment is not None:
            return Leaf(type(moment).__name__, moment)
    if rules.verbatim:
        return Leaf("string", text)
    return Leaf("string", plainly(text))


def _moment(text: str, day_first: bool) -> date | time | None:
    """Read an ISO date, time or date-time, or a numeric date such as 3/5/2024; a month or a year alone is none."""
    if match := _NUMERIC_DATE.fullmatch(text):
        first, second, year = (int(part) for part in match.groups())
        day, month = (first, second) if day_first else (second, first)
        text = f"{year:04}-{month:02}-{day:02}"
    kind = next((kind for kind, form in _ISO.items() if form.fullmatch(text)), None)
    try:
        return kind.fromisoformat(text) if kind else None
    except ValueError:
        return None
