"""A wrong decoding undone, whatever it was, and text that was never decoded in a wrong way left alone."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from lit_llm.data.hygiene.cleaning import Cleaner
from lit_llm.data.hygiene.mojibake import mend

WINDOWS = {code: bytes([code]).decode("cp1252", "ignore") or chr(code) for code in range(0x80, 0xA0)}


def latin(text: str) -> str:
    return text.encode().decode("latin-1")


def windows(text: str) -> str:
    """As browsers read Windows-1252, whose five empty places stand for themselves."""
    return latin(text).translate(WINDOWS)


def apart(text: str) -> str:
    return unicodedata.normalize("NFD", text)


def as_latin(text: str) -> str:
    """Windows-1252 read as Latin-1, where the text can be written in it."""
    try:
        return text.encode("cp1252").decode("latin-1")
    except UnicodeEncodeError:
        return text


PATHS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "Latin-1": latin,
    "Windows-1252": windows,
    "Latin-1 twice": lambda text: latin(latin(text)),
    "Windows-1252 twice": lambda text: windows(windows(text)),
    "Latin-1, then Windows-1252": lambda text: windows(latin(text)),
    "Windows-1252, then Latin-1": lambda text: latin(windows(text)),
    "decomposed, Latin-1": lambda text: latin(apart(text)),
    "decomposed, Windows-1252": lambda text: windows(apart(text)),
    "decomposed, Windows-1252 twice": lambda text: windows(windows(apart(text))),
    "Windows-1252, then decomposed": lambda text: apart(windows(text)),
    "the reverse": as_latin,
}
TEXTS = [
    "toꞌkan, Ꞌa, kaʼkopa, ka’kopa, ʻa, aʔ",
    "“sí” – dijo — ‘no’… 5 €, n.º 3.ª, 10 × 5, 36,5 °C",
    "Ōtlācat īpan cē āltepētl; TĒUCTLI, ŌME, ĪXTLI, ŪPAN, Ā",
    "ē", "ī", "Ō", "ȳ", "ñ̄ ḿ ī̄ tla͞", "šiteččiwilikan, ɨ, ː, ł, Å, œ, Ÿ",
    "LLEGÓ EL NIÑO: CANCIÓN, AQUÍ ALLÁ, COMPRÓ", "¿Ñandú? ¡Pingüino!", "São Paulo, NÃO, Ângela", "😀 を नक्ष",
]  # fmt: skip
CLEAN = [
    "«CAFÉ» “CAFÉ” ‘Ñ’", "está…”", "está»…", "“café”… y “avión”", "«IRMû", "“VOCÊ”", "Ã", "Â", "São Paulo NÃO",
    "se ve como â€ y como “â€”", "à la carte", "É…", "él–", "NIÑO… ÑU’", "café…¿Y", "menú”…", "José’s", "ó…”’",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("text", TEXTS)
def test_every_wrong_decoding_is_undone(text: str, path: str) -> None:
    cleaner = Cleaner(mends=["mojibake", "nfc"])
    spoilt = PATHS[path](unicodedata.normalize("NFC", text))
    assert cleaner.mend(spoilt) == unicodedata.normalize("NFC", text)
    assert cleaner.mend(f"{spoilt} {text}").endswith(unicodedata.normalize("NFC", text)), "beside what is right too"


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_a_wrong_decoding_is_left_alone(text: str) -> None:
    assert mend(text) == text
    assert mend(as_latin(text)) == text, "and so where its marks were read as Latin-1"
    assert mend(apart(text)) == apart(text)


def test_real_texts_come_back_cell_for_cell() -> None:
    root = os.environ.get("LIT_LLM_REAL_DATA")
    folder = Path(root or ".") / "data" / "translation"
    if not root or not folder.exists():
        pytest.skip("LIT_LLM_REAL_DATA names no texts")
    cells = set()
    for name in ("americasnlp_dev", "synthetic_wiki_macrons"):
        for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            cells |= {
                unicodedata.normalize("NFC", v) for k, v in json.loads(line).items() if k in ("es", "nah", "es_bt")
            }
    assert len(cells) > 1500
    for name, path in PATHS.items():
        wrong = [cell for cell in cells if unicodedata.normalize("NFC", mend(path(cell))) != cell]
        # A lone letter of another alphabet stays: É” is one, and is what ends a quotation too.
        assert len(wrong) <= 2, (name, wrong)
        assert name not in ("as it is", "the reverse") or not wrong
