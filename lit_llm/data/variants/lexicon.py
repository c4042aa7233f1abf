"""Spanish words that carry a value, a sign, a comparison, a negation, a day or a unit, without accents."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from functools import lru_cache
from importlib import resources
from typing import Any

_UNITS = "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete"
_UNITS += " dieciocho diecinueve veinte veintiuno veintidos veintitres veinticuatro veinticinco veintiseis veintisiete"
_UNITS += " veintiocho veintinueve"
_TENS = "treinta cuarenta cincuenta sesenta setenta ochenta noventa"
_HUNDREDS = "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"

CARDINALS: dict[str, int] = {word: number for number, word in enumerate(_UNITS.split())}
CARDINALS |= {word: 10 * number for number, word in enumerate(_TENS.split(), start=3)}
CARDINALS |= {word: 100 * number for number, word in enumerate(_HUNDREDS.split(), start=1)}
CARDINALS |= {word[:-2] + "as": number for word, number in CARDINALS.items() if number > 199}
CARDINALS |= {"un": 1, "una": 1, "cien": 100, "veintiun": 21, "veintiuna": 21}

SCALES = {"mil": 10**3, "miles": 10**3, "millar": 10**3, "millares": 10**3, "millon": 10**6, "millones": 10**6}
SCALES |= {"billon": 10**12, "billones": 10**12, "trillon": 10**18, "trillones": 10**18, "mdp": 10**6, "k": 10**3}
SCALES |= {"mm": 10**6, "m": 10**6}
"""Words that multiply what stands before them; ``k``, ``m`` and ``mm`` only do so behind digits."""

COLLECTIVES = {"par": 2, "pares": 2, "trio": 3, "decena": 10, "docena": 12, "quincena": 15, "veintena": 20}
COLLECTIVES |= {"centena": 100, "centenar": 100, "gruesa": 144, "pareja": 2, "doble": 2, "triple": 3}
COLLECTIVES |= {word + ("es" if word[-1] == "r" else "s"): number for word, number in COLLECTIVES.items()}

FRACTIONS = {"medio": "0.5", "media": "0.5", "medios": "0.5", "medias": "0.5", "mitad": "0.5", "cuarto": "0.25"}
FRACTIONS |= {"cuartos": "0.25", "tercio": "0.33", "tercios": "0.33", "quinto": "0.2", "quintos": "0.2"}
FRACTIONS |= {"octavo": "0.125", "octavos": "0.125", "decimo": "0.1", "decimos": "0.1", "decimas": "0.1"}

_ORDINALS = "primer primero segundo tercer tercero cuarto quinto sexto septimo octavo noveno decimo undecimo duodecimo"
_ORDINALS += " vigesimo trigesimo centesimo milesimo ultimo penultimo unico"
ORDINALS = {word[: len(word) - (word[-1] == "o")] + end for word in _ORDINALS.split() for end in ("o", "a", "os", "as")}
ORDINALS |= {"primer", "tercer"}
RANKS = {"prim": 1, "seg": 2, "ter": 3, "cuart": 4, "quint": 5, "sext": 6, "sept": 7, "oct": 8, "nov": 9, "dec": 10}
"""Beginnings of ordinals and what they are worth."""

NUMERALS = frozenset([*CARDINALS, *SCALES, *COLLECTIVES, *FRACTIONS, *ORDINALS, "ciento", "pico", "porciento"]) - {
    "k", "m", "mm"
}  # fmt: skip
"""Words of numbers of every kind."""

WORDS: dict[str, Any] = json.loads((resources.files(__package__) / "words_es.json").read_text(encoding="utf-8"))
MARKS: frozenset[str] = frozenset(WORDS["marks"])
"""Words that negate, compare, or give a sign: another word in their place changes what a number states."""
NAMING: frozenset[str] = frozenset(WORDS["names"])
"""Words behind which a number is a name, an hour or a year and has one form."""
FROZEN = NUMERALS.union(MARKS, *(WORDS[name] for name in ("days", "measures", "small", "directions")))
"""Words that are never mistyped."""


@lru_cache(maxsize=50_000)
def fold(word: str) -> str:
    """Return a word in lower case without accents; ñ becomes n. Words are remembered."""
    return plain(word)


def plain(text: str) -> str:
    """Return a text of any length in lower case without accents; ñ becomes n."""
    return "".join(c for c in unicodedata.normalize("NFD", text.casefold()) if not unicodedata.combining(c))


def near(one: str, other: str) -> bool:
    """Whether one letter put in, left out, changed or swapped with the next turns one word into the other."""
    if one == other:
        return True
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    a, b = one[start:], other[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[1::-1] == b[:2] and a[2:] == b[2:])


_LONG = [
    word for word in [*CARDINALS, "millon", "millones", "billon", "billones", "docena", "docenas"] if len(word) > 3
]
_HEADS = ("treinta", "cuarent", "cincuent", "sesent", "setent", "ochent", "novent", "veinti", "dieci")
_TAILS = ("cientos", "cientas", "sientos", "sientas", "illones", "illon", "iyones")


@lru_cache(maxsize=50_000)
def numeral(word: str) -> str | None:
    """Return the number word that a word is, or is a slip of: ``trecientos`` for trescientos; None for other words.

    Words that only look like one (``nuevo``) count too: who asks wants to leave numbers alone.
    """
    folded = fold(word)
    if folded in NUMERALS:
        return folded
    if len(folded) < 4:
        return None
    close = next((known for known in _LONG if near(folded, known)), None)
    return close or (folded if folded.startswith(_HEADS) or folded.endswith(_TAILS) else None)


def worth(word: str) -> Decimal | None:
    """Return the value of a number word that stands alone, None for a slip of several and for ordinals."""
    for table in (CARDINALS, SCALES, COLLECTIVES, FRACTIONS):
        if word in table:
            return Decimal(table[word])
    return None
