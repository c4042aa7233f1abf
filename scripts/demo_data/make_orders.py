"""Write the demo data: Spanish (Mexican) orders as text and as JSON, the same bytes for the same seed.

Texts are composed of clauses (who orders what, for whom, when, where, discount, total) whose wordings, products and
customers come from ``vocabulary.json`` beside the output. Wordings are divided into groups before any row is made:
``train``, ``valid`` and ``heldout`` share none. Nothing in a target is computed; the text states every value.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "data" / "orders"
MONTHS = ["enero", "febrero", "marzo", "abril", "mayo", "junio"]
MONTHS += ["julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"]
WORDS = ["", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce"]

Pieces = list[tuple[str, bool]]
"""Text in parts; the flag tells a part that states a value (never misspelt) from its carrier words."""


@dataclass(frozen=True)
class Split:
    """What one file is drawn from: its size and the groups of wordings, products and customers."""

    rows: int
    wordings: str = "train"
    names: str = "train"
    noisy: bool = False


SPLITS = {
    "train": Split(2400),
    "valid": Split(150, wordings="train+valid"),
    "test_known": Split(200),
    "test_phrasings": Split(200, wordings="heldout"),
    "test_products": Split(200, names="heldout"),
    "test_noisy": Split(200, noisy=True),
}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "cliente": {"type": "string", "minLength": 1, "maxLength": 60},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 6,
            "items": {
                "type": "object",
                "properties": {
                    "cant": {"type": "integer", "minimum": 1, "maximum": 9999},
                    "unidad": {"type": "string", "minLength": 1, "maxLength": 20},
                    "prod": {"type": "string", "minLength": 1, "maxLength": 60},
                    "precio": {"type": "number", "minimum": 0, "maximum": 999999, "multipleOf": 0.01},
                },
                "required": ["cant", "prod"],
                "additionalProperties": False,
            },
        },
        "entrega": {
            "type": "object",
            "properties": {
                "fecha": {"type": "string", "pattern": "^20[0-9]{2}-[01][0-9]-[0-3][0-9]$"},
                "ciudad": {"type": "string", "minLength": 1, "maxLength": 40},
            },
            "additionalProperties": False,
        },
        "desc": {"type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.5},
        "total": {"type": "number", "minimum": 0, "maximum": 99999999, "multipleOf": 0.01},
    },
    "required": ["items"],
    "additionalProperties": False,
}


def fill(template: str, values: Mapping[str, Pieces]) -> Pieces:
    """Put values into a template such as ``"a nombre de {cliente}"``."""
    pieces: Pieces = []
    for literal, name, _, _ in string.Formatter().parse(template):
        pieces += [(literal, False)] if literal else []
        pieces += values[name] if name else []
    return pieces


def number(cents: int) -> int | float:
    """The JSON number of an amount in cents: an integer where it has no decimals."""
    return cents // 100 if cents % 100 == 0 else cents / 100


def mexican(rng: random.Random, cents: int) -> str:
    """Write an amount as es_MX does: ``1,250.50``, or ``1,250`` where it has no decimals."""
    decimals = 2 if cents % 100 or rng.random() < 0.15 else 0
    return f"{cents / 100:,.{decimals}f}"


def foreign(rng: random.Random, cents: int) -> str:
    """Write an amount in another way that can be read in one way only (a lone comma is never a decimal mark)."""
    exact = f"{cents / 100:,.2f}"
    forms = [exact, exact.replace(",", "")]
    if cents % 10 == 0 and cents % 100:
        forms += [exact[:-1], exact[:-1].replace(",", "")]
    if cents >= 100_000:
        forms += [exact.replace(",", " "), exact.translate(str.maketrans(",.", ".,"))]
    return rng.choice(forms)


class Writer:
    """Makes one order and its text from one group of wordings and one group of names."""

    def __init__(self, rng: random.Random, vocabulary: dict[str, Any], wordings: str, names: str, noisy: bool) -> None:
        self.rng = rng
        self.clauses: dict[str, list[str]] = vocabulary["clauses"][wordings]
        self.greetings: list[str] = vocabulary["greetings"][wordings]
        self.products = vocabulary["products"][names]
        self.customers = vocabulary["customers"][names]
        self.cities: list[str] = vocabulary["cities"]
        self.units = {unit.split("|")[0]: unit.split("|") for unit in vocabulary["units"]}
        self.amount: Callable[[random.Random, int], str] = foreign if noisy and rng.random() < 0.6 else mexican

    def chance(self, probability: float) -> bool:
        """Draw true with that probability."""
        return self.rng.random() < probability

    def clause(self, kind: str, **values: Pieces) -> Pieces:
        """Draw a wording of that kind and fill it."""
        return fill(self.rng.choice(self.clauses[kind]), values)

    def money(self, cents: int) -> Pieces:
        """Write an amount with its currency."""
        form = self.rng.choice(["${}"] * 6 + ["{} pesos"] * 3 + ["${} MXN"])
        before, after = form.split("{}")
        return [(before, False), (self.amount(self.rng, cents), True), (after, False)]

    def cents(self, cheap: bool) -> int:
        """Draw a unit price in cents."""
        low, high = self.rng.choice([(8, 99), (100, 480)] if cheap else [(60, 99), (100, 999), (1000, 9800)])
        return self.rng.randint(low, high) * 100 + self.rng.choice([0] * 6 + [50, 50, 90, 25])

    def quantity(self) -> tuple[int, bool]:
        """Draw a quantity and whether it is written as a word."""
        if self.chance(0.35):
            return self.rng.randint(1, 12), True
        return self.rng.choice([self.rng.randint(1, 30), self.rng.randint(2, 99), 50 * self.rng.randint(1, 5)]), False

    def product(self, quantity: int) -> tuple[str, str, str]:
        """Draw a product: its name for that quantity, its unit (or nothing) and the gender of what is counted."""
        if self.chance(0.6):
            noun, modifiers = self.rng.choice(list(self.products["counted"].items()))
            modifier = self.rng.choice(modifiers).split("|")
            single, plural, gender = noun.split("|")
            name = f"{single} {modifier[0]}" if quantity == 1 else f"{plural} {modifier[-1]}"
            return name.strip(), "", gender
        units, names = self.rng.choice(list(self.products["bulk"].items()))
        single, plural, gender = self.units[self.rng.choice(units.split("|"))]
        return str(self.rng.choice(names)), single if quantity == 1 else plural, gender

    def item(self, priced: bool) -> tuple[dict[str, Any], Pieces, int]:
        """Draw one line of an order: its target, its text, and what it costs in cents."""
        quantity, in_words = self.quantity()
        name, unit, gender = self.product(quantity)
        template = self.rng.choice(self.clauses["item"])
        word = {1: "un" if gender == "m" else "una"}.get(quantity, WORDS[quantity]) if in_words else str(quantity)
        counted = word if "{nu_de}" in template or not in_words else str(quantity)
        amount: Pieces = [(counted, True), *([(" ", False), (unit, True)] if unit else [])]
        of = " de " if unit else " "
        pieces = fill(template, {"nu_de": [*amount, (of, False)], "nu": amount, "p": [(name, True)]})
        target: dict[str, Any] = {"cant": quantity, **({"unidad": unit} if unit else {}), "prod": name}
        cents = self.cents(cheap=bool(unit) or quantity > 30)
        if priced:
            target["precio"] = number(cents)
            agreement = {"g": "o" if gender == "m" else "a", "s": "s", "v": "n"}
            endings = {k: [(v if quantity > 1 or k == "g" else "", False)] for k, v in agreement.items()}
            pieces += self.clause("price", m=self.money(cents), **endings)
        return target, pieces, cents * quantity

    def items(self) -> tuple[list[dict[str, Any]], Pieces, int]:
        """Draw all lines, joined as one enumeration, and their sum in cents."""
        count = self.rng.choice([1] * 16 + [2] * 3 + [3])
        priced = self.chance(0.4)
        drawn: dict[str, tuple[dict[str, Any], Pieces, int]] = {}
        while len(drawn) < count:
            line = self.item(priced and self.chance(0.92))
            drawn.setdefault(line[0]["prod"], line)
        lines = list(drawn.values())
        last = self.rng.choice(self.clauses["last_joiner"])
        middle = self.rng.choice([", ", ", ", ", ", "; ", " + "])
        joiners = [middle] * (count - 2) + ([last] if middle == ", " else [middle])
        pieces = lines[0][1]
        for joiner, (_, text, _) in zip(joiners, lines[1:], strict=False):
            pieces = [*pieces, (joiner, False), *text]
        return [line[0] for line in lines], pieces, sum(line[2] for line in lines)

    def customer(self) -> str:
        """Draw a person or, one time in eight, a company."""
        if self.chance(0.12):
            return str(self.rng.choice(self.customers["companies"]))
        return f"{self.rng.choice(self.customers['first'])} {self.rng.choice(self.customers['last'])}"

    def date(self) -> tuple[str, str]:
        """Draw a day: ISO, and as the text writes it."""
        year, month, day = self.rng.choice([2024, 2025, 2025, 2026]), self.rng.randint(1, 12), self.rng.randint(1, 28)
        text = self.rng.choice(
            [f"{day} de {MONTHS[month - 1]} de {year}"] * 6
            + [f"{day} de {MONTHS[month - 1]} del {year}", f"{day:02}/{month:02}/{year}", f"{day:02}/{month:02}/{year}"]
            + [f"{day}/{month}/{year}", f"{day:02}-{month:02}-{year}"]
        )
        return f"{year}-{month:02}-{day:02}", text

    def order(self) -> tuple[dict[str, Any], Pieces]:
        """Draw a whole order: its target and its text."""
        lines, listed, cents = self.items()
        target: dict[str, Any] = {"items": lines}
        rest: list[Pieces] = []
        first = self.clause("order", items=listed)
        if self.chance(0.75):
            name = self.customer()
            target = {"cliente": name, **target}
            if self.chance(0.35):
                first = self.clause("order_client", items=listed, cliente=[(name, True)])
            else:
                rest.append(self.clause("client", cliente=[(name, True)]))
        rest += self.delivery(target)
        if self.chance(0.2):
            target["desc"] = self.rng.choice([5, 10, 15, 20, 25, 30, self.rng.randint(2, 60), 12.5, 7.5])
            rest.append(self.clause("discount", descuento=[(str(target["desc"]), True)]))
        if self.chance(0.25):
            cents = cents * (1000 - int(target.get("desc", 0) * 10)) // 1000
            target["total"] = number(cents)
            rest.append(self.clause("total", total=self.money(cents)))
        return target, self.joined(first, rest)

    def delivery(self, target: dict[str, Any]) -> list[Pieces]:
        """Draw day and city, each of which may be left out, together or apart."""
        iso, written = self.date()
        city = self.rng.choice(self.cities)
        values: dict[str, Pieces] = {"fecha": [(written, True)], "ciudad": [(city, True)]}
        kinds = self.rng.choice([["date"]] * 5 + [["city"]] * 3 + [["date_city"]] * 3 + [["date", "city"]] + [[]] * 10)
        stated = {"fecha": iso} if any("date" in kind for kind in kinds) else {}
        stated |= {"ciudad": city} if any("city" in kind for kind in kinds) else {}
        if stated:
            target["entrega"] = stated
        return [self.clause(kind, **values) for kind in kinds]

    def joined(self, first: Pieces, rest: list[Pieces]) -> Pieces:
        """Put the clauses in an order and sentences around them."""
        if self.chance(0.5):
            self.rng.shuffle(rest)
        clauses = [first, *rest]
        if self.chance(0.25):
            self.rng.shuffle(clauses)
        text: Pieces = [(self.rng.choice(self.greetings), False)] if self.chance(0.25) else []
        usual = self.rng.choice([", ", ", ", ". ", ". ", "; ", "\n"])
        for position, clause in enumerate(clauses):
            mark = usual if self.chance(0.8) else self.rng.choice([", ", ". "])
            text += [(mark, False)] if position else []
            text += sentence(clause) if not text or text[-1][0] in (". ", "\n") else clause
        closing: Pieces = [("." if usual != "\n" and self.chance(0.6) else "", False)]
        return sentence(text) + closing


def sentence(pieces: Pieces) -> Pieces:
    """Begin with a capital, unless a value stands first."""
    (head, is_value), *tail = pieces
    start = 1 if head.startswith("¿") else 0
    return pieces if is_value else [(head[:start] + head[start : start + 1].upper() + head[start + 1 :], False), *tail]


def misspell(rng: random.Random, word: str) -> str:
    """Mistype one word: two letters swapped, one missing, one doubled, or one replaced."""
    at = rng.randint(1, len(word) - 2)
    return rng.choice(
        [
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + rng.choice("aeiosrnl") + word[at + 1 :],
        ]
    )


def without_accents(text: str) -> str:
    """Drop accents but keep ñ, as hurried typing does."""
    kept = text.replace("ñ", "\0")
    plain = "".join(c for c in unicodedata.normalize("NFD", kept) if not unicodedata.combining(c))
    return plain.replace("\0", "ñ")


def noisy_carrier(rng: random.Random, text: str, abbreviations: Mapping[str, str], spoil_accents: bool) -> str:
    """Misspell and abbreviate carrier words and double some of their spaces."""

    def spoil(match: re.Match[str]) -> str:
        word = match.group()
        if rng.random() < 0.1 and word.casefold() in abbreviations:
            return abbreviations[word.casefold()]
        return misspell(rng, word) if len(word) > 3 and rng.random() < 0.1 else word

    text = re.sub(r"por favor|[^\W\d_]+", spoil, text)
    text = without_accents(text) if spoil_accents else text
    return re.sub(r" (?=\S)", lambda _: "  " if rng.random() < 0.08 else " ", text)


def make_noise(rng: random.Random, pieces: Pieces, abbreviations: Mapping[str, str]) -> str:
    """Write an order carelessly: carriers misspelt, values whole; one text in four is all upper, lower or title."""
    spoil_accents = rng.random() < 0.5
    parts = [t if is_value else noisy_carrier(rng, t, abbreviations, spoil_accents) for t, is_value in pieces]
    casing = rng.choice([str] * 15 + [str.upper] * 2 + [str.lower] * 2 + [str.title])
    return casing("".join(parts))


def same(text: str) -> str:
    """The form in which two texts count as duplicates."""
    return " ".join(text.casefold().split())


class Earlier:
    """The 5-grams of the texts of earlier files."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.holders: dict[str, list[int]] = {}

    @staticmethod
    def grams(text: str) -> set[str]:
        """Return the 5-grams of a text, case and punctuation aside."""
        plain = " ".join(re.findall(r"\w+", text.casefold()))
        return {plain[k : k + 5] for k in range(max(1, len(plain) - 4))}

    def add(self, text: str) -> None:
        """Remember a text."""
        for gram in self.grams(text):
            self.holders.setdefault(gram, []).append(len(self.sizes))
        self.sizes.append(len(self.grams(text)))

    def has_near(self, text: str) -> bool:
        """Tell whether an earlier text has a Jaccard similarity of two thirds or more with this one."""
        mine, shared = self.grams(text), Counter[int]()
        for gram in mine:
            shared.update(self.holders.get(gram, ()))
        return any(3 * both >= 2 * (len(mine) + self.sizes[k] - both) for k, both in shared.items())


def make_split(
    name: str, seed: int, vocabulary: dict[str, Any], seen: set[str], earlier: Earlier
) -> list[dict[str, Any]]:
    """Make the rows of one file; texts and targets in ``seen`` never come again, nor texts near ``earlier`` ones."""
    split, rng = SPLITS[name], random.Random(f"{seed} {name}")
    groups = split.wordings.split("+")
    rows: list[dict[str, Any]] = []
    while len(rows) < split.rows:
        # a third of the validation rows has wordings of its own, to tune on without looking at a test
        wordings = groups[-1] if len(rows) % 3 == 2 else groups[0]
        target, pieces = Writer(rng, vocabulary, wordings, split.names, split.noisy).order()
        text = "".join(part for part, _ in pieces)
        if split.noisy:
            text = make_noise(rng, pieces, vocabulary["abbreviations"])
        keys = {same(text), json.dumps(target, sort_keys=True)}
        if not keys & seen and not earlier.has_near(text):
            seen |= keys
            rows.append({"id": f"{name}-{len(rows):04}", "text": text, "json": target})
    return rows


def make_orders(folder: Path, vocabulary_file: Path, seed: int) -> dict[str, int]:
    """Write every split and the schema into ``folder``; returns the number of rows of each file."""
    vocabulary = json.loads(vocabulary_file.read_text(encoding="utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    seen: set[str] = set()
    earlier = Earlier()
    for name in SPLITS:
        rows = make_split(name, seed, vocabulary, seen, earlier)
        for row in rows:
            earlier.add(row["text"])
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")
    schema = json.dumps(SCHEMA, ensure_ascii=False, indent=2) + "\n"
    (folder / "schema.json").write_text(schema, encoding="utf-8", newline="\n")
    return {name: split.rows for name, split in SPLITS.items()}


def main() -> None:
    """Read the arguments and write the files."""
    parser = argparse.ArgumentParser(description="Write the demo data of Spanish orders.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the files go")
    parser.add_argument("--vocabulary", type=Path, default=FOLDER / "vocabulary.json", help="wordings and names")
    parser.add_argument("--seed", type=int, default=2025, help="decides every draw")
    arguments = parser.parse_args()
    for name, rows in make_orders(arguments.folder, arguments.vocabulary, arguments.seed).items():
        print(f"{arguments.folder / name}.jsonl: {rows} rows")


if __name__ == "__main__":
    main()
