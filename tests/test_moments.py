"""Days that a text names from where it stands."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from lit_llm.moments import mentions, phrases, resolved, weekday

TODAY = date(2024, 2, 28)  # a Wednesday before a leap day


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("hoy", "2024-02-28"),
        ("Mañana", "2024-02-29"),
        ("MAÑANA", "2024-02-29"),
        ("pasado mañana", "2024-03-01"),
        ("ayer", "2024-02-27"),
        ("antier", "2024-02-26"),
        ("antes de ayer", "2024-02-26"),
        ("en 3 días", "2024-03-02"),
        ("dentro de tres dias", "2024-03-02"),
        ("en una semana", "2024-03-06"),
        ("en dos meses", "2024-04-28"),
        ("en un año", "2025-02-28"),
        ("hace 2 semanas", "2024-02-14"),
        ("viernes", "2024-03-01"),
        ("el viernes", "2024-03-01"),
        ("el próximo miércoles", "2024-03-06"),
        ("miércoles", "2024-03-06"),
        ("este miercoles", "2024-02-28"),
        ("el martes pasado", "2024-02-27"),
        ("miércoles pasado", "2024-02-21"),
        ("el lunes de la próxima semana", "2024-03-04"),
        ("el domingo de la semana que viene", "2024-03-10"),
        ("el sábado que viene", "2024-03-02"),
        ("16 de enero", "2025-01-16"),
        ("el 28 de febrero", "2024-02-28"),
        ("29 de febrero", "2024-02-29"),
        ("el día 5 de marzo de 2023", "2023-03-05"),
        ("3 de setiembre del 2024", "2024-09-03"),
        ("5/3", "2024-03-05"),
        ("27/02", "2025-02-27"),
        ("fin de mes", "2024-02-29"),
        ("el lunes 5 de marzo", "2024-03-05"),
        ("el pasado lunes", "2024-02-26"),
        ("man\u0303ana", "2024-02-29"),
        ("a finales de mes", "2024-02-29"),
    ],
)
def test_days_are_read(text: str, day: str) -> None:
    assert resolved(text, TODAY) == date.fromisoformat(day)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "por la mañana",
            "mañana o pasado",
            "antes del viernes",
            "el 31 de abril",
            "en 999 días",
            "5/13",
            "5/3/2024",
        ),
        *(
            "5/3/2024",
            "1.5/3",
            "viernes 13 panes",
            "hoyo",
            "ayeres",
            "enero",
            "16",
            "en dos",
            "0 de enero",
            "2024-03-05",
        ),
    ],
)
def test_other_texts_name_no_day(text: str) -> None:
    assert resolved(text, TODAY) is None


@pytest.mark.parametrize(
    "text",
    [
        *("lo pedí esta mañana", "a media mañana", "muy de mañana", "por la  mañana", "cada lunes", "los lunes"),
        *("de lunes a viernes", "Santo Domingo", "Sr. Domingo pide", "en 3 días hábiles", "tubos de 3/4", "1/2 kg"),
        *("Av. 5 de Mayo 20", "calle 16 de septiembre", "5 de mayo 1500 tornillos", "5 de marzo de 24", "10/12 piezas"),
        "5 de marzo del año 2025",
    ],
)
def test_what_is_seldom_a_day_is_none(text: str) -> None:
    assert not list(mentions(text, TODAY))


@pytest.mark.parametrize(
    "text", ["antes del viernes", "a partir del viernes", "para el 1/3", "al 1/3", "hasta el viernes 1/3"]
)
def test_days_behind_words_of_dates_are_read(text: str) -> None:
    assert [mention.day for mention in mentions(text, TODAY)] == [date(2024, 3, 1)]


def test_months_come_first_where_they_do() -> None:
    assert resolved("3/5", TODAY, day_first=False) == date(2024, 3, 5)
    assert resolved("2/29", date(2025, 1, 1), day_first=False) == date(2028, 2, 29)


def test_all_days_of_a_text_are_found_with_their_places() -> None:
    text = "Pedí ayer; lo quiero MAÑANA por la mañana, o el próximo lunes. El 3 de mayo no."
    found = [(text[start:end], day.isoformat()) for start, end, day in mentions(text, TODAY)]
    assert found == [
        ("ayer", "2024-02-27"),
        ("MAÑANA", "2024-02-29"),
        ("el próximo lunes", "2024-03-04"),
        ("El 3 de mayo", "2024-05-03"),
    ]


def test_every_phrase_names_its_day() -> None:
    rng = random.Random(0)
    seen = set()
    for _ in range(2000):
        today = date(2020, 1, 1) + timedelta(days=rng.randrange(3000))
        day = today + timedelta(days=rng.randint(-5, 400))
        for phrase in phrases(day, today):
            assert resolved(phrase, today) == day
            seen.add(phrase.split()[0] + " " + str((day - today).days))
    assert {"hoy 0", "mañana 1", "el 7", "en 14", "ayer -1"} <= seen
    assert weekday(TODAY) == "miércoles"


def test_places_are_those_of_the_text_whatever_its_letters() -> None:
    text = "İ ﬁn e\u0301 el viernes"
    (found,) = mentions(text, TODAY)
    assert text[found.start : found.end] == "el viernes"
