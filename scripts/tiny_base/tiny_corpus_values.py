"""The values of the tiny base's pre-training text: invented words, names and codes, numbers, dates and times.

A value knows how the text writes it and what the answer holds; nothing here is taken from a list of real names.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tiny_corpus_words import ADJECTIVES, FIRST_NAMES, LAST_NAMES, NOUNS, PLACES


def _words(text: str) -> list[str]:
    return text.split()


MONTHS = _words("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre")
UNITS = _words(
    """cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis
diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete
veintiocho veintinueve"""
)
TENS = _words("treinta cuarenta cincuenta sesenta setenta ochenta noventa")
HUNDREDS = _words(
    "ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
)
ONSETS = _words(
    "b c d f g j l m n p r s t v b c d l m n p r s t c m p t ch h ll ñ qui z br cr dr fr gr pr tr bl cl fl pl"
)
CODAS = [""] * 12 + _words("n r s l n r s m z")
ENDINGS = _words("ado ada illo illa ero era ito ita ción dad mente oso ez al ar or ano ina ente ura ista ólogo ía")
NAHUATL_ONSETS = _words("tl tz c ch hu k m n p t x y cu l w m n t c p")
NAHUATL_CODAS = [""] * 8 + _words("n c h l tz uh x n")
LINKS = ["de", "de", "de", "con", "sin", "para", "en", "la", "el", "del", "al"]
ACCENTS = dict(zip("aeiou", "áéíóú", strict=True))


@dataclass(frozen=True)
class Value:
    """A part of the text that the answer holds: as it stands (``target`` equals ``text``) or normalised."""

    text: str
    target: Any


Part = str | Value
"""A piece of a text: words that only carry it, or a value."""


def fill(form: str, *values: Part | list[Part], **named: Part | list[Part]) -> list[Part]:
    """Put values, each one part or several, in the slots ``{}`` and ``{name}`` of a form."""
    queue, parts = iter(values), list[Part]()
    for k, piece in enumerate(re.split(r"\{(\w*)\}", form)):
        value = piece if k % 2 == 0 else named[piece] if piece else next(queue)
        parts += value if isinstance(value, list) else [value]
    return parts


def copied(text: str) -> Value:
    """Return a value that the answer repeats letter by letter."""
    return Value(text, text)


def syllable_word(rng: random.Random) -> str:
    """Return an invented word of Spanish or Nahuatl sound, sometimes accented, of two to about five syllables."""
    nahuatl = rng.random() < 0.15
    onsets, codas = (NAHUATL_ONSETS, NAHUATL_CODAS) if nahuatl else (ONSETS, CODAS)
    vowels = "aeio" if nahuatl else "aaeeiou"
    stem = "".join(
        (rng.choice(onsets) if k or rng.random() < 0.85 else "") + rng.choice(vowels) + rng.choice(codas)
        for k in range(rng.choice((1, 1, 2, 2, 2, 3)))
    )
    if nahuatl:
        return stem + rng.choice(("tli", "tl", "li", "tzin", "pan", "co", "meh", "ni", "ti", "z", "c"))
    word = stem + rng.choice((rng.choice(ONSETS) + rng.choice("aeo"), rng.choice(ONSETS) + rng.choice(ENDINGS), ""))
    if rng.random() < 0.15:
        spot = rng.choice([k for k, letter in enumerate(word) if letter in "aeiou"] or [0])
        word = word[:spot] + ACCENTS.get(word[spot], word[spot]) + word[spot + 1 :]
    return word + rng.choice(("", "", "", "", "s"))


def code(rng: random.Random) -> str:
    """Return letters and digits as in a reference number: ``A7-K92``, ``mx2041``, ``QZ/11b``."""
    alphabet = rng.choice(("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"))
    groups = [
        "".join(rng.choice(rng.choice((alphabet, "0123456789"))) for _ in range(rng.randint(1, 4)))
        for _ in range(rng.randint(1, 3))
    ]
    groups[0] = rng.choice(alphabet) + groups[0]
    return rng.choice(("-", "-", "/", ".", "", "_", "#")).join(groups)


def letters(rng: random.Random) -> str:
    """Return random letters, so that no spelling is strange to the model."""
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyzñáéíóúü") for _ in range(rng.randint(2, 9)))


def word(rng: random.Random) -> str:
    """Return an invented word in lower, title or upper case."""
    made = letters(rng) if rng.random() < 0.1 else syllable_word(rng)
    kind = rng.random()
    return made if kind < 0.72 else made.capitalize() if kind < 0.94 else made.upper()


def phrase(rng: random.Random) -> Value:
    """Return one to five words, some linked (``molteca de rifán``), some with a number or a code."""
    words = [word(rng)]
    for _ in range(rng.choice((0, 0, 0, 0, 1, 1, 2, 3))):
        if rng.random() < 0.4:
            words.append(rng.choice(LINKS))
        words.append(word(rng) if rng.random() < 0.9 else rng.choice((code(rng), str(rng.randint(1, 999)))))
    return copied(" ".join(words))


def person(rng: random.Random) -> Value:
    """Return a name of one to four parts, invented or not: ``Rafena Costillez``, ``Aída Nava``."""
    if rng.random() < 0.5:
        parts = [rng.choice(FIRST_NAMES), *rng.sample(LAST_NAMES, rng.choice((1, 1, 1, 2)))]
        return copied(" ".join(parts[rng.random() < 0.05 :]))
    parts = [syllable_word(rng).capitalize() for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    if len(parts) > 1 and rng.random() < 0.12:
        parts.insert(1, rng.choice(("de", "del", "de la")))
    title = rng.choice(("Dr. ", "Dra. ", "Sra. ", "Ing. ")) if rng.random() < 0.1 else ""
    return copied(title + " ".join(parts))


def place(rng: random.Random) -> Value:
    """Return the name of a town, invented or not: ``San Morica``, ``Tlepan``, ``Cuenca``."""
    if rng.random() < 0.5:
        return copied(rng.choice(PLACES))
    name = " ".join(syllable_word(rng).capitalize() for _ in range(rng.choice((1, 1, 1, 2))))
    before = rng.choice(("San ", "Santa ", "Villa ", "El ", "La ")) if rng.random() < 0.12 else ""
    after = f" de {syllable_word(rng).capitalize()}" if rng.random() < 0.06 else ""
    return copied(before + name + after)


def thing(rng: random.Random) -> Value:
    """Return a noun with its attributes, invented or not: ``braldes``, ``molas de rifa X4``, ``barcas de cedro``."""
    real = rng.random() < 0.6
    words = [_plural(rng, rng.choice(NOUNS)) if real else syllable_word(rng)]
    for _ in range(rng.choice((0, 0, 1, 1, 1, 1, 2))):
        linked = rng.random() < 0.55
        words += [rng.choice(("de", "de", "de", "para", "con", "sin", "en"))] if linked else []
        kind = rng.random()
        if kind < 0.8:
            words.append(rng.choice(NOUNS if linked else ADJECTIVES) if real else syllable_word(rng))
        else:
            words.append(word(rng) if kind < 0.9 else attribute(rng))
    return copied(" ".join(words))


def _plural(rng: random.Random, noun: str) -> str:
    """Return a noun as it is, or in the plural as often."""
    if rng.random() < 0.5 or noun.endswith(("s", "z", "í", "ú")):
        return noun
    if noun[-1] in "aeioué":
        return f"{noun}s"
    return noun[:-2] + noun[-2].translate(str.maketrans("áéíóú", "aeiou")) + noun[-1] + "es"


def attribute(rng: random.Random) -> str:
    """Return a number with a measure, or a code: ``40 W``, ``26``, ``4K``."""
    measured = f"{rng.randint(2, 99)} {rng.choice(('W', 'cm', 'V', 'mm'))}"
    return rng.choice((measured, str(rng.randint(2, 99)), code(rng)))


def count(rng: random.Random) -> Value:
    """Return how many of something: a word up to twelve one time in three, else digits."""
    if rng.random() < 0.35:
        number = rng.randint(1, 12)
        return Value(rng.choice(("un", "una")) if number == 1 else UNITS[number], number)
    number = rng.choice((rng.randint(1, 30), rng.randint(2, 99), rng.randint(2, 99), 50 * rng.randint(1, 20)))
    return Value(str(number), number)


def money(rng: random.Random) -> Value:
    """Return an amount with or without its currency: ``$1,250.50``, ``300 pesos``, ``99.90 MXN``."""
    amount = decimal(rng)
    form = rng.choice(("${}", "${}", "${}", "{} pesos", "{} pesos", "${} MXN", "{}"))
    return Value(form.format(amount.text.lstrip("$ ")), amount.target)


def anything(rng: random.Random) -> Value:
    """Return a string of any of the kinds above."""
    return rng.choice((phrase, phrase, phrase, person, lambda r: copied(code(r)), lambda r: copied(letters(r))))(rng)


def spelled(number: int) -> str:
    """Return a whole number from 0 to 999 in Spanish words."""
    if number < 30:
        return UNITS[number]
    if number < 100:
        tens, unit = divmod(number, 10)
        return TENS[tens - 3] + (f" y {UNITS[unit]}" if unit else "")
    head = "cien" if number == 100 else HUNDREDS[number // 100 - 1]
    return head + (f" {spelled(number % 100)}" if number % 100 else "")


def integer(rng: random.Random) -> Value:
    """Return a whole number, one in seven in words."""
    number = rng.choice((rng.randint(0, 12), rng.randint(0, 99), rng.randint(0, 99), rng.randint(100, 999)))
    return Value(spelled(number), number) if rng.random() < 0.15 else Value(str(number), number)


def decimal(rng: random.Random) -> Value:
    """Return an amount in one of the ways to write it: ``1,250.50``, ``1.250,50``, ``$1 250.5``, ``12,5``."""
    whole = rng.choice((rng.randint(0, 99), rng.randint(0, 999), rng.randint(1000, 99999)))
    cents = rng.choice(("", "", "5", "50", "00", f"{rng.randint(0, 99):02d}", f"{rng.randint(0, 99):02d}"))
    group, point = rng.choice(((",", "."), (",", "."), (".", ","), (" ", "."), ("", "."), ("", ".")))
    text = f"{whole:,}".replace(",", group) + (point + cents if cents else "")
    number = float(f"{whole}.{cents or 0}")
    sign = rng.choice(("", "", "", "$", "$ "))
    return Value(sign + text, int(number) if number.is_integer() else number)


def percentage(rng: random.Random) -> Value:
    """Return a percentage, written in digits or words."""
    number = rng.randint(1, 100)
    if rng.random() < 0.2:
        return Value(f"{spelled(number)} por ciento", number)
    half = rng.random() < 0.15
    text = f"{number}{rng.choice('.,')}5" if half else str(number)
    return Value(text + rng.choice(("%", " %", "%", " por ciento")), number + 0.5 if half else number)


def day(rng: random.Random) -> Value:
    """Return a date in words or digits; the answer holds it as ISO 8601."""
    year, month, date = rng.randint(1990, 2039), rng.randint(1, 12), rng.randint(1, 28)
    name = MONTHS[month - 1]
    forms = (
        f"{date} de {name} de {year}",
        f"{date} de {name} de {year}",
        f"{date} de {name} del {year}",
        f"{date:02d}/{month:02d}/{year}",
        f"{date}/{month}/{year}",
        f"{date:02d}-{month:02d}-{year}",
        f"{year}-{month:02d}-{date:02d}",
        f"{date} {name[:3]} {year}",
        f"{name} {date}, {year}",
    )
    return Value(rng.choice(forms), f"{year}-{month:02d}-{date:02d}")


def hour(rng: random.Random) -> Value:
    """Return a time of day; the answer holds it as ``HH:MM``."""
    hours, minutes = rng.randint(0, 23), rng.choice((0, 0, 15, 30, 45, rng.randint(0, 59)))
    forms = (f"{hours}:{minutes:02d}", f"{hours:02d}:{minutes:02d} h", f"{hours}.{minutes:02d} horas")
    return Value(rng.choice(forms), f"{hours:02d}:{minutes:02d}")


def yes_no(rng: random.Random) -> Value:
    """Return yes or no, as a JSON boolean in the answer."""
    answer = rng.random() < 0.5
    return Value("sí" if answer else "no", answer)


KINDS: dict[str, Callable[[random.Random], Value]] = {
    "frase": phrase,
    "nombre": person,
    "codigo": lambda rng: copied(code(rng)),
    "entero": integer,
    "decimal": decimal,
    "porcentaje": percentage,
    "dia": day,
    "hora": hour,
    "sino": yes_no,
    "algo": anything,
    "lugar": place,
    "cosa": thing,
    "cuenta": count,
    "monto": money,
}


def mixed(rng: random.Random) -> Value:
    """Return a value of any kind, copied strings twice in three."""
    if rng.random() < 0.66:
        return anything(rng)
    return KINDS[rng.choice(("entero", "entero", "decimal", "decimal", "dia", "porcentaje", "hora", "sino"))](rng)
