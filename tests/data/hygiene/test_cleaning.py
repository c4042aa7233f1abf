"""Cleaning of parallel text: what is mended, what stays, what is left out, and that all of it is counted."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest

from lit_llm.data import Cleaner
from lit_llm.data.hygiene.cleaning import FILTERS, MENDS
from lit_llm.errors import ConfigError

MACRONS = "Ōtlācat īpan cē tepitzin āltepētl, in xiuhpan 1900."
SALTILLO = "seki tlaka kintlašilia ' maxada, ka'kopa toꞌkan"


@pytest.mark.parametrize(
    ("step", "text", "mended"),
    [
        ("nfc", unicodedata.normalize("NFD", MACRONS), MACRONS),
        ("mojibake", "EspaÃ±a y maÃ­z Â¿no?", "España y maíz ¿no?"),
        ("mojibake", "Ä\x81ltepÄ\x93tl, Ä«pan, tÅ\x8dnalli, xÅ«", "āltepētl, īpan, tōnalli, xū"),
        ("mojibake", "dijo \x93sí\x94\x85", "dijo “sí”…"),
        ("mojibake", "São Paulo, Ângela, Ã", "São Paulo, Ângela, Ã"),
        ("invisible", "\ufeffcal\u00adli\u200b\x07", "calli"),
        ("invisible", "uno\u2028dos\tтres", "uno dos тres"),
        ("detokenise", "Hola , ¿ qué tal ? ( bien ) : « sí » .", "Hola, ¿qué tal? (bien): «sí»."),
        ("detokenise", "a .5 y 3 .", "a .5 y 3."),
        ("spaces", "  uno \n dos  ", "uno dos"),
    ],
)
def test_each_step(step: str, text: str, mended: str) -> None:
    cleaner = Cleaner(mends=[step])
    assert cleaner.mend(text) == mended
    assert cleaner.counts[step] == (text != mended)
    assert cleaner.mend(mended) == mended, "mending twice changes nothing more"


@pytest.mark.parametrize("text", [MACRONS, SALTILLO, "¿Qué? «Sí»; 1,250.50 (a) ñ ü", "Ꜩ ꜩ ʼ ’"])
def test_letters_and_marks_of_an_orthography_survive(text: str) -> None:
    assert Cleaner().mend(text) == text


@pytest.mark.parametrize(
    ("source", "target", "fault"),
    [
        ("hola", "niltze", None),
        ("", "niltze", "empty"),
        ("hola", "", "empty"),
        ("a" * 601, "b" * 601, "length"),
        ("a" * 600, "b" * 600, None),
        ("a" * 64, "b" * 21, "ratio"),
        ("a" * 63, "b" * 21, None),
        ("a" * 20, "b", None),
        ("Calli", "calli", "copy"),
    ],
)
def test_each_filter(source: str, target: str, fault: str | None) -> None:
    cleaner = Cleaner()
    assert cleaner.fault(source, target) == fault
    assert cleaner.fault(target, source) == fault
    assert sum(cleaner.counts.values()) == (2 if fault else 0)


def test_steps_may_be_left_out() -> None:
    assert Cleaner(mends=[], filters=[]).mend(" a ,") == " a ,"
    assert Cleaner(mends=[], filters=[]).fault("", "") is None
    assert set(Cleaner().mends) == set(MENDS)
    assert set(Cleaner().filters) == set(FILTERS)


@pytest.mark.parametrize("settings", [{"mends": ["nfd"]}, {"filters": ["langid"]}, {"longest": 0}, {"ratio": 0.5}])
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Cleaner(**settings)
