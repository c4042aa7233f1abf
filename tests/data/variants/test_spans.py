"""Reading values back from a text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from lit_llm.data.variants.spans import Stated, leaves, numbers, parse_number


@pytest.mark.parametrize(
    ("token", "locale", "value"),
    [
        ("1250", "es_MX", "1250"),
        ("1,250.50", "es_MX", "1250.5"),
        ("1,250", "es_MX", "1250"),
        ("1250.5", "es_MX", "1250.5"),
        ("1 250.50", "es_MX", "1250.5"),
        ("1\u00a0250", "es_MX", "1250"),
        ("1.250,50", "es_MX", "1250.5"),
        ("12,345,678.9", "es_MX", "12345678.9"),
        ("0.125", "es_MX", "0.125"),
        ("1.250,50", "es_ES", "1250.5"),
        ("1250,5", "es_ES", "1250.5"),
        ("1.250", "es_ES", "1250"),
        ("1,250.50", "es_ES", "1250.5"),
        ("Doce", "es_MX", "12"),
    ],
)
def test_numbers_are_read_as_the_locale_writes_them(token: str, locale: str, value: str) -> None:
    assert parse_number(token, locale) == Decimal(value)


@pytest.mark.parametrize(
    ("token", "locale"),
    [
        ("1.000", "es_MX"),
        ("12.500", "es_MX"),
        ("1,000", "es_ES"),
        ("1,25", "es_MX"),
        ("1250.5", "es_ES"),
        ("12,50,3", "es_MX"),
        ("1.2.3", "es_MX"),
        ("007", "es_MX"),
        ("1,2345.6", "es_MX"),
    ],
)
def test_a_form_with_two_readings_or_none_has_no_value(token: str, locale: str) -> None:
    assert parse_number(token, locale) is None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2 tazas a $1,250.50, total: $2,501.", ["2", "1250.5", "2501"]),
        ("el 15/03/2025 y el 15-03-2025", []),
        ("modelo A-12, GX9, 4K y 60W", []),
        ("dos cajas (12) y una bolsa", ["2", "12", "1"]),
        ("10% y 7.5 %", ["10", "7.5"]),
        ("son 1 250.50 pesos", ["1250.5"]),
        ("a las 10:30", []),
    ],
)
def test_numbers_stand_alone(text: str, values: list[str]) -> None:
    assert [n.value for n in numbers(text, "es_MX")] == [Decimal(v) for v in values]


@pytest.mark.parametrize(
    "written",
    ["5 de marzo de 2025", "05/03/2025", "5/3/25", "05-03-2025", "5.3.2025", "5 de marzo del 2025", "5 mar 2025",
     "2025-03-05", "5 DE MARZO", "5  de marzo"],
)  # fmt: skip
def test_a_day_is_found_however_it_is_written(written: str) -> None:
    text = f"entrega el {written}, gracias"
    (span,) = Stated(text, {"fecha": "2025-03-05"}, "es_MX").strings
    assert text[span.start : span.end] == written


@pytest.mark.parametrize("other", ["15 de marzo de 2025", "03/05/2025", "5 de mayo de 2025", "5/3/2026", "25/3/2025"])
def test_another_day_is_not_taken_for_it(other: str) -> None:
    assert Stated(f"el {other}", {"fecha": "2025-03-05"}, "es_MX").strings == []


def test_strings_have_word_boundaries() -> None:
    stated = Stated("sal y salsa, SAL  fina", ["sal", "sal fina"], "es_MX")
    assert stated.found == {"sal": 2, "sal fina": 1}


@pytest.mark.parametrize("value", [None, True, False, {}, [], "", "  ", {"urgente": True}])
def test_a_value_without_a_text_protects_nothing(value: Any) -> None:
    assert Stated("sí, es urgente", value, "es_MX").protected() == []


def test_true_is_not_the_number_one() -> None:
    assert Stated("quiero una taza", {"regalo": True}, "es_MX").numbers == []


def test_protected_places_hold_digits_of_any_kind_and_do_not_overlap() -> None:
    text = "3 focos de 60 W, clave X-9.1b, el 15/03/2025 a las 10:30"
    stated = Stated(text, {"prod": "focos de 60 W", "cant": 3}, "es_MX")
    places = [text[a:b] for a, b in stated.protected()]
    assert places == ["3", "focos de 60 W", "X-9.1b", "15/03/2025 a las 10:30"]


def test_leaves_repeat() -> None:
    assert list(leaves({"a": [1, {"b": 1}], "c": None})) == [1, 1, None]
