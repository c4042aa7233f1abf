"""The day on which a text was written, from which ``mañana`` and ``el viernes`` are counted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from lit_llm.moments import weekday

LINE = "Hoy es {weekday} {date}."
"""What tells a model the day, unless the data says otherwise."""


def written_on(meta: Mapping[str, Any]) -> date | None:
    """Return the day on which a row was written; None where nobody knows."""
    said = meta.get("reference_date")
    return date.fromisoformat(said) if said else None


def read_day(value: str) -> date:
    """Return the day of an ISO date or date-time.

    Raises:
        ValueError: if it is neither, with the remedy.
    """
    try:
        return datetime.fromisoformat(value.strip()).date()
    except ValueError:
        raise ValueError(f"{value!r} is no date: write it as 2024-03-05") from None


def day_line(line: str, day: date) -> str:
    """Return a line that tells a day, from a text with places for ``{date}`` and ``{weekday}``."""
    return line.replace("{date}", day.isoformat()).replace("{weekday}", weekday(day))
