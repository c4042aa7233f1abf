"""A second reading of Spanish texts, which shares nothing with the package: what a rewritten text may not change.

It lists the amounts of a text in their order, in digits and words, with sign, comparison, unit and the words beside
them, and compares two texts under what the edit is allowed to do.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_ONES = {"cero": 0, "un": 1, "uno": 1, "una": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "seis": 6, "siete": 7}
_ONES |= {"ocho": 8, "nueve": 9}
_TEENS = {"diez": 10, "once": 11, "doce": 12, "trece": 13, "catorce": 14, "quince": 15, "dieciseis": 16}
_TEENS |= {"diecisiete": 17, "dieciocho": 18, "diecinueve": 19, "veinte": 20}
_TEENS |= {"veinti" + word: 20 + value for word, value in _ONES.items() if value}
_TENS = dict(zip("treinta cuarenta cincuenta sesenta setenta ochenta noventa".split(), range(30, 100, 10), strict=True))  # noqa: SIM905
_HUNDREDS = {"cien": 100, "ciento": 100, "quinientos": 500, "quinientas": 500}
for _k, _stem in {2: "dos", 3: "tres", 4: "cuatro", 6: "seis", 7: "sete", 8: "ocho", 9: "nove"}.items():
    _HUNDREDS |= {_stem + "cientos": 100 * _k, _stem + "cientas": 100 * _k}
_SCALES = {"mil": 1000, "millon": 10**6, "millones": 10**6, "billon": 10**12, "billones": 10**12}
_SINGLE = {"medio": Fraction(1, 2), "media": Fraction(1, 2), "tercio": Fraction(1, 3), "tercios": Fraction(1, 3)}
_SINGLE |= {"cuarto": Fraction(1, 4), "cuartos": Fraction(1, 4), "docena": Fraction(12), "docenas": Fraction(12)}
_SINGLE |= {"par": Fraction(2), "decimas": Fraction(1, 10), "doble": Fraction(2), "triple": Fraction(3)}
_SINGLE |= {"mitad": Fraction(1, 2), "primer": Fraction(1), "primero": Fraction(1), "segundo": Fraction(2)}
_LEVELS = [(_ONES, 1), (_TEENS, 2), (_TENS, 3), (_HUNDREDS, 4)]
_WORDS = {word: (value, level) for table, level in _LEVELS for word, value in table.items()}
_COMPARE = {
    "mas",
    "menos",
    "mayor",
    "menor",
    "superior",
    "superiores",
    "inferior",
    "inferiores",
    "maximo",
    "maxima",
    "minimo",
    "minima",
    "hasta",
    "desde",
    "entre",
    "tope",
    "limite",
    "partir",
    "casi",
    "cerca",
    "antes",
    "despues",
    "debajo",
    "encima",
    "sobre",
    "bajo",
    "negativo",
    "negativos",
    "excede",
    "supera",
    "pase",
    "porciento",
    "solo",
    "mucho",
    "igual",
    "apenas",
}
_NEGATE = set("no sin ni nunca jamas ningun ninguno ninguna nada salvo excepto tampoco nadie".split())  # noqa: SIM905
_LABELS = {
    "total",
    "subtotal",
    "importe",
    "saldo",
    "abono",
    "pedido",
    "cliente",
    "mesa",
    "sucursal",
    "tienda",
    "paciente",
    "lote",
    "sala",
    "dia",
    "cuenta",
    "socio",
    "habitacion",
    "muestra",
    "toma",
    "tramo",
    "punto",
    "tornillo",
    "deposito",
    "orden",
    "sensor",
    "sonda",
    "factura",
    "fecha",
    "precio",
    "gol",
}
_PERSONS = {
    "ana",
    "luis",
    "juan",
    "eva",
    "maria",
    "pedro",
    "rosa",
    "beto",
    "caro",
    "tere",
    "lalo",
    "nora",
    "hugo",
    "marta",
    "sergio",
    "rita",
    "tino",
    "memo",
    "luz",
    "omar",
    "raul",
    "ines",
    "iker",
    "ane",
    "unai",
    "pepe",
    "lola",
    "jordi",
    "pilar",
    "sara",
    "noa",
    "inma",
    "quim",
    "blas",
    "nico",
    "vera",
    "alba",
    "gonzalo",
    "gema",
    "toluca",
    "pumas",
    "ramirez",
    "ochoa",
    "betis",
    "sevilla",
    "osasuna",
    "getafe",
}
_SHORT = set("de y o a al el en la lo le un una con por que su mi se me te no ni si e u x del los las".split())  # noqa: SIM905
_TOKEN = re.compile(r"\d+(?:[.,:/]\d+)*|[^\W\d_]+|[^\w\s]|\n")


class Amount(NamedTuple):
    """A number of a text: value and sign, its unit, the longer words beside it and the marks of comparison before."""

    value: Fraction | str
    sign: str
    unit: str
    before: str
    behind: str
    compared: tuple[str, ...]
    broken: bool


def bare(word: str) -> str:
    """Lower case, no accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", word.lower()) if unicodedata.category(c) != "Mn")


_HEARD = [("h", ""), ("v", "b"), ("z", "s"), ("c(?=[ei])", "s"), ("qu|k", "c"), ("ll", "y"), (r"(.)\1", r"\1")]


def _sound(word: str) -> str:
    """Write a word as it is heard in Mexico."""
    for pattern, heard in [
        ("h", ""),
        ("v", "b"),
        ("z", "s"),
        ("c(?=[ei])", "s"),
        ("qu|k", "c"),
        ("ll", "y"),
        (r"(.)\1", r"\1"),
    ]:
        word = re.sub(pattern, heard, word)
    return word


_SOUNDS = {_sound(word): word for word in [*_WORDS, *_SCALES] if len(word) > 3}


@lru_cache(maxsize=100_000)
def _number_word(word: str) -> str | None:
    """The number word that a word is, or that it sounds like: ``beinte``, ``trecientos``."""
    if word in _WORDS or word in _SCALES or word in _SINGLE:
        return word
    return _SOUNDS.get(_sound(word))


def _grouped(text: str) -> str:
    """Take the spaces out of 1 250.50, unless another number stands before it, which makes it two numbers."""
    return re.sub(
        r"(?<![\d,.])(?<!\d[ ])\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?!\d|[ ]\d)", lambda m: re.sub(r"\s", "", m[0]), text
    )


def _digits(token: str, locale: str) -> Fraction | str:
    group, mark = (",", ".") if locale == "es_MX" else (".", ",")
    if re.fullmatch(rf"\d{{1,3}}(?:\{group}\d{{3}})*(?:\{mark}\d+)?|\d+(?:\{mark}\d+)?", token):
        return Fraction(token.replace(group, "").replace(mark, "."))
    return token


class _Reader:
    """Reads the numbers of a list of tokens from left to right."""

    def __init__(self, tokens: list[str], locale: str) -> None:
        self.tokens, self.locale = tokens, locale

    def read(self, at: int) -> tuple[Fraction | str, int] | None:
        """The number that begins at a token and the place behind it, None if none does."""
        token = self.tokens[at]
        if token[0].isdigit():
            value = _digits(token, self.locale)
            scale = _SCALES.get(bare(self.tokens[at + 1])) if at + 1 < len(self.tokens) else None
            return (value * scale, at + 2) if scale and isinstance(value, Fraction) else (value, at + 1)
        word = _number_word(bare(token)) if token.isalpha() else None
        if word in _SINGLE:
            return _SINGLE[word], at + 1
        return self._words(at) if word else None

    def _words(self, at: int) -> tuple[Fraction, int]:
        total, part, level = 0, 0, 9
        while at < len(self.tokens):
            step = 1 if bare(self.tokens[at]) == "y" and 3 in (level, 2) else 0
            word = _number_word(bare(self.tokens[at + step])) if at + step < len(self.tokens) else None
            if word in _SCALES and not step:
                thousand = _SCALES[word] == 1000
                total = total + max(part, 1) * 1000 if thousand else max(total + part, 1) * _SCALES[word]
                part, level = 0, 9
            elif word in _WORDS and _WORDS[word][1] < level:
                part, level = part + _WORDS[word][0], _WORDS[word][1]
            else:
                break
            at += step + 1
        return Fraction(total + part), at


@lru_cache(maxsize=2_000)
def amounts(text: str, locale: str) -> list[Amount]:
    """List the amounts of a text in their order."""
    tokens = _TOKEN.findall(_grouped(text))
    reader, found, at, last = _Reader(tokens, locale), [], 0, 0
    while at < len(tokens):
        read = reader.read(at)
        if read is None:
            at += 1
            continue
        value, end = read
        between = tokens[last:at]
        words = [bare(token) for token in [*between[-4:], "|", *tokens[end : end + 2]]]
        found.append(
            Amount(
                value,
                _sign(tokens, at, end),
                _unit(tokens, end),
                _beside(tokens[:at][::-1]),
                _beside(tokens[end:]),
                tuple(word for word in words if word in _COMPARE or word in _NEGATE or word in "<>≤≥"),
                any(token in ".;\n" for token in between),
            )
        )
        at = last = end
    return found


def _sign(tokens: list[str], at: int, end: int) -> str:
    before = [t for t in tokens[max(0, at - 2) : at] if t not in "$€"]
    if before and before[-1] in "-−–+":
        return before[-1]
    return "menos" if before and bare(before[-1]) == "menos" else ""


def _unit(tokens: list[str], end: int) -> str:
    """The word or symbol behind a number; the case of a symbol behind digits counts: mW is not MW."""
    unit = tokens[end] if end < len(tokens) else ""
    plain = "".join(c for c in unicodedata.normalize("NFKD", unit) if unicodedata.category(c) != "Mn")
    if not unit.isalpha():
        return unit if unit in ("%", "€", "°", "º") else ""
    return plain if len(plain) < 4 and plain.lower() not in _SHORT else plain.lower()


def _beside(tokens: list[str]) -> str:
    """The first longer word that is no number."""
    for token in tokens:
        word = bare(token)
        if len(word) > 3 and word.isalpha() and not _number_word(word):
            return word
    return ""


@lru_cache(maxsize=2_000)
def several(text: str) -> bool:
    """Whether a text seems to speak of more than one record: a label twice, or two people."""
    words = Counter(re.findall(r"[^\W\d_]+", bare(text)))
    return any(words[label] > 1 for label in _LABELS) or sum(word in words for word in _PERSONS) > 1


def faults(before: str, after: str, strategy: str, locale: str) -> list[str]:
    """Name everything that an edit of this kind changed although it may not."""
    old, new = amounts(before, locale), amounts(after, locale)
    if strategy == "word_order" and not several(before):
        return _moved(before, after, old, new)
    if [(a.value, a.sign) for a in old] != [(a.value, a.sign) for a in new]:
        return [f"amounts {[(str(a.value), a.sign) for a in old]} became {[(str(a.value), a.sign) for a in new]}"]
    found = []
    for a, b in zip(old, new, strict=True):
        if a.compared != b.compared:
            found.append(f"{a.compared} became {b.compared}")
        beside = [(a.unit, b.unit), (a.before, b.before), (a.behind, b.behind)]
        found += [f"{one} became {other}" for one, other in beside if _other(one, other, before, strategy)]
    if several(before) and [a.broken for a in old] != [a.broken for a in new]:
        found.append("records were joined or parted")
    if _said(before) != _said(after):
        found.append(f"{_said(before)} became {_said(after)}")
    return found


def _said(text: str) -> list[str]:
    return [word for word in re.findall(r"[^\W\d_]+|[<>≤≥]", bare(text)) if word in _COMPARE or word in _NEGATE]


def _other(old: str, new: str, text: str, strategy: str) -> bool:
    """Whether a word beside a number names something else now."""
    if old == new:
        return False
    words = set(re.findall(r"[^\W\d_]+", bare(text)))
    if strategy == "synonyms":
        return new in words or new in _COMPARE
    if strategy == "misspelling":
        alike = difflib.SequenceMatcher(None, old, new).ratio()
        return alike < 0.6 or any(difflib.SequenceMatcher(None, word, new).ratio() > alike for word in words)
    return True


def _moved(before: str, after: str, old: list[Amount], new: list[Amount]) -> list[str]:
    """Compare texts whose clauses may stand in another order: each clause must still be there, word for word."""
    split = r"[;.,]\s+|\n|[.;,!]\s*$"
    one, other = (
        Counter(bare(part).strip() for part in re.split(split, side) if part.strip()) for side in (before, after)
    )
    found = [] if one == other else [f"clauses {one - other} became {other - one}"]
    if Counter((str(a.value), a.sign, a.unit) for a in old) != Counter((str(a.value), a.sign, a.unit) for a in new):
        found.append("amounts changed")
    return found
