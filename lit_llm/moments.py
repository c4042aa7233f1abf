"""Days that a Spanish text names from where it stands: ``mañana``, ``el viernes``, ``en 3 días``, ``16 de enero``."""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import NamedTuple

WEEKDAYS = ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo")
MONTHS = (
    *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
    *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
)
_NUMBERS = ("un", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce")

FARTHEST = 400
"""Days, weeks, months or years that are counted at most; more is no way to name a day."""


class Mention(NamedTuple):
    """A day that a text names.

    Attributes:
        start: where it begins.
        end: where it ends.
        day: which day it is.
    """

    start: int
    end: int
    day: date


def weekday(day: date) -> str:
    """Return the Spanish name of a day of the week."""
    return WEEKDAYS[day.weekday()]


def mentions(text: str, today: date, day_first: bool = True) -> Iterator[Mention]:
    """Yield the days that a text names in words or without a year, as they are meant on a day.

    A day of the week is the next one, never that same day unless ``este`` stands before it; a day without a year is the
    next such day, that same one included. Left out is what is seldom a day: ``mañana`` behind ``la`` or ``esta``, days
    that come again (``cada lunes``), working days, streets, and 3/4 without a word of dates before it.

    Args:
        text: in any case, with or without accents.
        today: the day on which it was written.
        day_first: 3/5 is the third of May.
    """
    plain = _plain(text)
    taken = 0
    for match in _ANY.finditer(plain):
        kind = next(name for name, found in match.groupdict().items() if found is not None and name in _READ)
        try:
            day = _READ[kind](match, today, day_first)
        except (ValueError, OverflowError):
            continue
        around = plain[: match.start()], plain[match.end() :]
        if day is not None and match.start() >= taken and not _is_other(kind, match, *around):
            taken = match.end()
            yield Mention(match.start(), match.end(), day)


def resolved(text: str, today: date, day_first: bool = True) -> date | None:
    """Return the day that a text as a whole names; None where it names none, or says more."""
    stripped = unicodedata.normalize("NFC", text).strip()
    # As a whole, 3/4 is a day without a word that says so.
    stripped = f"el {stripped}" if re.fullmatch(r"\d{1,2}/\d{1,2}", stripped) else stripped
    found = list(mentions(stripped, today, day_first))
    return found[0].day if len(found) == 1 and found[0][:2] == (0, len(stripped)) else None


def phrases(day: date, today: date) -> list[str]:
    """Return ways to name a day from another one, each of which ``resolved`` reads as that day."""
    apart = (day - today).days
    said = {-2: ["antier"], -1: ["ayer"], 0: ["hoy"], 1: ["mañana"], 2: ["pasado mañana"]}.get(apart, [])
    if 1 <= apart <= 7:
        said += [f"el {weekday(day)}", f"el próximo {weekday(day)}"]
    if 2 <= apart <= 20:
        said += [f"en {_NUMBERS[apart - 1] if apart <= 12 else apart} días"]
    if apart > 0 and apart % 7 == 0 and apart <= 28:
        said += ["en una semana"] if apart == 7 else [f"en {_NUMBERS[apart // 7 - 1]} semanas"]
    said += [f"el {day.day} de {MONTHS[day.month - 1]}"]
    return [phrase for phrase in said if resolved(phrase, today) == day]


def _plain(text: str) -> str:
    """Return a text in lower case without accents, letter for letter; ``ñ`` stays."""
    found = []
    for letter in text:
        low = letter.lower()
        base = low if low == "ñ" else unicodedata.normalize("NFD", low)[:1]
        found.append(base if len(base) == 1 else letter)
    return "".join(found)


def _spelled(words: tuple[str, ...]) -> str:
    return "|".join(sorted(map(_plain, words), key=len, reverse=True))


_COUNT = rf"(?:\d{{1,3}}|una|uno|{_spelled(_NUMBERS)})"
_UNIT = r"(?:dias?|semanas?|mes(?:es)?|años?)"
_ANY = re.compile(
    r"(?<!\w)(?:"
    r"(?P<after_tomorrow>pasado\s+mañana)"
    r"|(?P<before_yesterday>antier|anteayer|antes\s+de\s+ayer)"
    r"|(?P<tomorrow>(?<!la )mañana)|(?P<today>hoy)|(?P<yesterday>ayer)"
    rf"|(?P<ahead>(?:en|dentro\s+de)\s+(?P<ahead_count>{_COUNT})\s+(?P<ahead_unit>{_UNIT}))"
    rf"|(?P<ago>hace\s+(?P<ago_count>{_COUNT})\s+(?P<ago_unit>{_UNIT}))"
    rf"|(?P<dated>(?:el\s+)?(?:(?:{_spelled(WEEKDAYS)}),?\s+)?(?:dia\s+)?(?P<dated_day>\d{{1,2}})\s+(?:de\s+)?(?P<dated_month>{_spelled(MONTHS)}|setiembre)"
    r"(?:\s+(?:del?\s+)?(?P<dated_year>\d{4}))?)"
    rf"|(?P<numeric>(?:(?:el|al|del)\s+)(?:(?:{_spelled(WEEKDAYS)}),?\s+)?(?:dia\s+)?(?P<one>\d{{1,2}})/(?P<other>\d{{1,2}})(?![\d/]|[.-]\d))"
    rf"|(?P<named>(?:(?P<before>el\s+proximo|el\s+pasado|proximo|este|el)\s+)?(?P<name>{_spelled(WEEKDAYS)})"
    r"(?:\s+(?P<behind>pasado|que\s+viene|proximo|de\s+la\s+(?:proxima\s+semana|semana\s+que\s+viene)))?)"
    r"|(?P<month_end>(?:(?:a\s+)?fin(?:es)?|(?:a\s+)?finales)\s+de\s+mes)"
    r")(?!\w)"
)


_OTHER_BEFORE = {
    "tomorrow": re.compile(r"\b(?:la|las|esta|media|de|cada)\s+$"),
    "named": re.compile(r"\b(?:cada|los|a|de|santo|san|sr\.?|sra\.?|don|doña)\s+$"),
    "dated": re.compile(r"\b(?:calle|av\.?|avenida|calz\.?|calzada|col\.?|colonia|plaza|blvd\.?|de\s+la)\s+$"),
}
"""What makes something else of a word: ``por la mañana``, ``cada lunes``, ``Santo Domingo``, ``Av. 5 de Mayo``."""

_OTHER_BEHIND = {
    "ahead": re.compile(r"\s+(?:habil|laboral)"),
    "tomorrow": re.compile(r"\s+en\s+ocho\b"),
    "dated": re.compile(r"\s+(?:#|no\.\s*)?\d|\s+del?\s+(?:año\s+)?\d"),
}


def _is_other(kind: str, match: re.Match[str], before: str, behind: str) -> bool:
    """Whether what stands around makes something else of what looks like a day."""
    if kind == "dated" and match["dated_year"] and not 1900 <= int(match["dated_year"]) <= 2100:
        return True
    found = _OTHER_BEFORE.get(kind), _OTHER_BEHIND.get(kind)
    return bool((found[0] and found[0].search(before)) or (found[1] and found[1].match(behind)))


def _counted(word: str) -> int:
    number = int(word) if word.isdigit() else 1 if word in ("una", "uno") else _NUMBERS.index(word) + 1
    if number > FARTHEST:
        raise ValueError(word)
    return number


def _moved(today: date, count: int, unit: str) -> date:
    if unit.startswith("dia"):
        return today + timedelta(days=count)
    if unit.startswith("semana"):
        return today + timedelta(weeks=count)
    months = today.year * 12 + today.month - 1 + count * (12 if unit.startswith("año") else 1)
    year, month = divmod(months, 12)
    return date(year, month + 1, min(today.day, calendar.monthrange(year, month + 1)[1]))


def _named(match: re.Match[str], today: date, day_first: bool) -> date:
    number = [_plain(name) for name in WEEKDAYS].index(match["name"])
    behind = " ".join((match["behind"] or "").split())
    if behind == "pasado" or (match["before"] or "").endswith("pasado"):
        return today - timedelta(days=(today.weekday() - number - 1) % 7 + 1)
    if behind.startswith("de la"):
        return today + timedelta(days=7 - today.weekday() + number)
    ahead = (number - today.weekday()) % 7
    return today + timedelta(days=ahead if ahead or match["before"] == "este" else 7)


def _dated(match: re.Match[str], today: date, day_first: bool) -> date:
    name = match["dated_month"].replace("setiembre", "septiembre")
    day, month = int(match["dated_day"]), MONTHS.index(name) + 1
    return date(int(match["dated_year"]), month, day) if match["dated_year"] else _next(day, month, today)


def _numeric(match: re.Match[str], today: date, day_first: bool) -> date:
    day, month = (match["one"], match["other"]) if day_first else (match["other"], match["one"])
    return _next(int(day), int(month), today)


def _next(day: int, month: int, today: date) -> date:
    """Return the next such day, today included; the 29th of February may be years ahead."""
    for year in range(today.year, today.year + 9):
        if day <= calendar.monthrange(year, month)[1] and (found := date(year, month, day)) >= today:
            return found
    raise ValueError(f"{day}/{month}")


_READ: dict[str, Callable[[re.Match[str], date, bool], date | None]] = {
    "after_tomorrow": lambda match, today, first: today + timedelta(days=2),
    "before_yesterday": lambda match, today, first: today - timedelta(days=2),
    "tomorrow": lambda match, today, first: today + timedelta(days=1),
    "today": lambda match, today, first: today,
    "yesterday": lambda match, today, first: today - timedelta(days=1),
    "ahead": lambda match, today, first: _moved(today, _counted(match["ahead_count"]), match["ahead_unit"]),
    "ago": lambda match, today, first: _moved(today, -_counted(match["ago_count"]), match["ago_unit"]),
    "dated": _dated,
    "numeric": _numeric,
    "named": _named,
    "month_end": lambda match, today, first: today.replace(day=calendar.monthrange(today.year, today.month)[1]),
}
