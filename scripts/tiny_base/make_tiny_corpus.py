"""Write the text that the embedded tiny base is pre-trained on: ``{"text": …, "json": …}`` rows, all generated.

The rows teach one thing above all: to find a string in the prompt and to write it again, unchanged, at the right
place of a JSON object. Their words are random, so nothing can be learned by heart; their subjects (meetings, flights,
patients, …) exclude orders and purchases, which the demonstrations are measured on.

    python scripts/tiny_base/make_tiny_corpus.py --output short.jsonl --rows 38400 --longest 48 --seed 7
    python scripts/tiny_base/make_tiny_corpus.py --output train.jsonl --rows 64000 --seed 8

Short rows come first because copying is learned after a number of steps, and a step on short rows costs less than half.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tiny_corpus_domains import DOMAINS, Domain
from tiny_corpus_ledgers import LEDGERS, ledger
from tiny_corpus_values import KINDS, Part, Value, anything, copied, fill, mixed, syllable_word, word

DEMONSTRATION = Path(__file__).resolve().parents[2] / "configs" / "data" / "orders" / "vocabulary.json"
LONGEST = 320
"""Characters of the longest text, unless asked otherwise."""

_ROOTS = """
client product articul cantidad preci pedid orden entreg descuent total subtotal compr vend venta factur pago pagar
import envi fecha tienda mostrador tortill frijol arroz azucar cafe
leche queso jabon aceite harina huevo pollo jitomate cebolla chile maiz galleta refresco servillet detergent papel
cuadern lapiz manzan platan naranj limon aguacat crema mantequill yogur atun sardin mayonesa vinagr sopa pasta
cereal avena lentej garbanz mole tamal jamon salchich chocolat panela miel canela intent slots alarm reminder
weather datetime location recordatorio alarma
"""
FORBIDDEN = frozenset(_ROOTS.split())
"""Starts of words (no accents, lower case) that no row may contain."""

Row = tuple[list[Part], Any]


def key_values(rng: random.Random) -> Row:
    """List random keys with random values; half of the rows ask for some keys in another order."""
    pair, joint = rng.choice(PAIR_FORMS)
    keys = _distinct(rng, rng.choice((1, 1, 2, 2, 3, 3, 5)), single="{} {}" in pair)
    values = {key: mixed(rng) for key in keys}
    parts: list[Part] = []
    for k, key in enumerate(keys):
        parts += ([joint] if k else []) + fill(pair, copied(key), values[key])
    wanted = keys
    if rng.random() < 0.55:
        wanted = rng.sample(keys, rng.randint(1, len(keys)))
        asked = _joined([copied(key) for key in wanted], ", ")
        opening, closing = rng.choice(REQUESTS)
        request = [opening, *asked, closing]
        parts = [*request, *parts] if rng.random() < 0.5 else [*parts, ". ", *request]
    return parts, {copied(key): values[key] for key in wanted}


PAIR_FORMS: Sequence[tuple[str, str]] = (
    ("{}: {}", ", "), ("{}: {}", "\n"), ("{} = {}", "; "), ("{} -> {}", " | "), ("{} es {}", ", "),
    ("{} {}", ", "), ("el {} vale {}", " y "), ("{} ({})", ", "), ("[{}] {}", " "), ("con {} {}", ", "),
    ("su {} es {}", "; "), ("- {}: {}", "\n"), ("{} será {}", ". "), ("{}={}", " "),
)  # fmt: skip
REQUESTS = (("claves: ", ". "), ("dame ", ": "), ("saca ", " de aquí: "), ("casillas ", ". "), ("solo ", ". "))


def table(rng: random.Random) -> Row:
    """List records under random column names: ``molta (brica, seno): rafe 3; dulo 12`` → a list of objects."""
    name, *columns = _distinct(rng, rng.choice((3, 3, 3, 4)))
    kinds = ["algo", *rng.choices(("entero", "entero", "decimal", "algo", "dia"), k=len(columns) - 1)]
    rng.shuffle(kinds)
    records = [[KINDS[kind](rng) for kind in kinds] for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    inner, outer = rng.choice(
        ((", ", "; "), (" / ", "\n"), (" con ", " y "), (" - ", ", "), (" | ", "\n"), (" ", "; "))
    )
    opening, middle, closing = rng.choice((("", " (", "): "), ("lista ", " de ", ": "), ("", ": ", "\n")))
    parts: list[Part] = [opening, copied(name), middle, *_joined([copied(c) for c in columns], ", "), closing]
    for k, record in enumerate(records):
        parts += [outer] * (k > 0) + _joined(record, inner)
    return parts, {copied(name): [{copied(c): v for c, v in zip(columns, r, strict=True)} for r in records]}


def sentence(rng: random.Random) -> Row:
    """Tell a fact of one of the fixed subjects: clauses in any order, keys in the subject's order."""
    domain: Domain = rng.choice(DOMAINS)
    share = rng.choice((0.3, 0.5, 0.8))
    fields = [f for f in domain.fields if rng.random() < share] or [domain.fields[0]]
    values = {f.key: KINDS[f.kind](rng) for f in fields}
    clauses = [fill(rng.choice(f.cues), values[f.key]) for f in fields]
    answer: dict[Any, Any] = dict(values)
    if domain.record and rng.random() < 0.7:
        items = [
            {k: KINDS[kind](rng) for k, kind in domain.record.keys} for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5)))
        ]
        form, joint = rng.choice(domain.record.forms), rng.choice((", ", "; ", " y ", " más ", "\n"))
        filled = [fill(form, **item) for item in items]
        clauses.append([x for k, item in enumerate(filled) for x in ([joint] * (k > 0) + item)])
        answer[domain.record.key] = items
    rng.shuffle(clauses)
    joint = rng.choice((", ", ", ", "; ", ". ", " ", "\n"))
    parts: list[Part] = [rng.choice(domain.openings), rng.choice((" ", ": ", ", "))]
    for k, clause in enumerate(clauses):
        parts += [joint] * (k > 0) + clause
    return parts, answer


def listing(rng: random.Random) -> Row:
    """List counted things of one of the ledgers, with whom, when, where and amounts."""
    return ledger(rng, rng.choice(LEDGERS))


def copy(rng: random.Random) -> Row:
    """Ask for a string again: whole, reversed by words, or one of several by position."""
    items = [anything(rng) for _ in range(rng.choice((1, 1, 2, 3, 4)))]
    kind = rng.choice(("todo", "lista", "lista", "revés", "lugar", "último"))
    if kind == "todo":
        value = copied(" ".join(item.text for item in items))
        return [rng.choice(("copia: ", "repite: ", "igual: ", "escribe «")), value, rng.choice(("", ".", "»"))], {
            "v": value
        }
    listed = _joined(items, rng.choice((", ", " | ", "; ", " y ")))
    if kind == "lista":
        return ["lista: ", *listed], {"v": items}
    if kind == "revés":
        return ["al revés: ", *listed], {"v": items[::-1]}
    place = len(items) - 1 if kind == "último" else rng.randrange(len(items))
    name = "último" if kind == "último" else ("primero", "segundo", "tercero", "cuarto")[place]
    return [f"el {name} de: ", *listed], {"v": items[place]}


def lookup(rng: random.Random) -> Row:
    """Give a small dictionary and ask for one word or for a phrase, word by word."""
    words = _distinct(rng, rng.choice((2, 2, 3, 4, 5)))
    meanings = {w: copied(word(rng)) for w in words}
    sign, joint = rng.choice((("=", ", "), (" = ", "; "), (": ", ", "), (" significa ", ", "), (" -> ", "\n")))
    parts: list[Part] = ["tabla: "]
    for k, w in enumerate(words):
        parts += [joint] * (k > 0) + [copied(w), sign, meanings[w]]
    if rng.random() < 0.5:
        wanted = rng.choice(words)
        return [*parts, ". busca ", copied(wanted)], {"v": meanings[wanted]}
    chosen = rng.sample(words, rng.randint(1, len(words)))
    parts += [". traduce ", copied(" ".join(chosen))]
    return parts, {"v": copied(" ".join(meanings[w].text for w in chosen))}


def normal_form(rng: random.Random) -> Row:
    """Ask for the normal form of one to four numbers, dates or times."""
    values = [
        KINDS[rng.choice(("entero", "decimal", "decimal", "decimal", "dia", "dia", "hora", "porcentaje"))](rng)
        for _ in range(rng.choice((1, 1, 2, 3)))
    ]
    return ["normal: ", *_joined(values, rng.choice((" | ", "; ", " / ", "\n")))], {"v": values}


MIX: dict[Callable[[random.Random], Row], float] = {
    key_values: 0.24, table: 0.10, sentence: 0.24, listing: 0.20, copy: 0.10, lookup: 0.06, normal_form: 0.06,
}  # fmt: skip
"""Share of each kind of row."""


def _distinct(rng: random.Random, count: int, single: bool = False) -> list[str]:
    """Return so many different keys of one word, or sometimes two unless ``single``."""
    words: dict[str, None] = {}
    while len(words) < count:
        words[(word(rng) if single or rng.random() < 0.85 else f"{word(rng)} {syllable_word(rng)}")] = None
    return list(words)


def _joined(values: Sequence[Value], joint: str) -> list[Part]:
    return [part for k, value in enumerate(values) for part in ([joint, value] if k else [value])]


def misspell(text: str, rng: random.Random, rate: float) -> str:
    """Drop, double or swap letters of a carrier text; slots hold none of it, so values stay whole."""
    out: list[str] = []
    for letter in text:
        hit = letter.isalpha() and rng.random() < rate
        kind = rng.randrange(3) if hit else 3
        out += [[], [letter, letter], [letter, *out[-1:]], [letter]][kind]
    return "".join(out)


def plain_letters(text: str) -> str:
    """Remove accents, keeping ñ."""
    bare = unicodedata.normalize("NFD", text.replace("ñ", "\0").replace("Ñ", "\1"))
    return "".join(c for c in bare if not unicodedata.combining(c)).replace("\0", "ñ").replace("\1", "Ñ")


def dress(parts: Sequence[Part], answer: Any, rng: random.Random) -> dict[str, Any]:
    """Give the row its case, typing errors and spacing, and join it; copied values follow the case of the text."""
    cases: dict[Callable[[str], str], int] = {str: 64, str.upper: 10, str.lower: 12, str.title: 7, plain_letters: 7}
    change = rng.choices(list(cases), list(cases.values()))[0]
    typos = rng.choice((0.02, 0.04, 0.07)) if rng.random() < 0.35 else 0.0
    loose = rng.random() < 0.08
    text = ""
    for part in parts:
        piece = part.text if isinstance(part, Value) else misspell(part, rng, typos)
        text += change(piece) + (" " * rng.randint(0, 2) if loose and not isinstance(part, Value) else "")
    return {"text": text.strip(), "json": _resolved(answer, change)}


def _resolved(answer: Any, change: Callable[[str], str]) -> Any:
    if isinstance(answer, Value):
        return change(answer.target) if answer.target == answer.text else answer.target
    if isinstance(answer, dict):
        return {k if isinstance(k, str) else change(k.text): _resolved(v, change) for k, v in answer.items()}
    return [_resolved(item, change) for item in answer]


def bare_words(text: str) -> list[str]:
    """Return the words of a text in lower case without accents."""
    return re.findall(r"[a-z0-9ñ]+", plain_letters(text).lower())


def names_to_avoid(vocabulary: Path) -> frozenset[tuple[str, ...]]:
    """Return the products, customers and cities of a demonstration's vocabulary, each as a tuple of bare words."""
    groups = json.loads(vocabulary.read_text(encoding="utf-8"))
    listed = [s for name in ("products", "customers", "cities") for s in _strings(groups[name])]
    return frozenset(tuple(bare_words(form)) for text in listed for form in text.split("|") if len(form) > 2)


def _strings(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from (key, *_strings(value))
    else:
        for item in tree:
            yield from _strings(item)


def is_allowed(row: dict[str, Any], avoided: frozenset[tuple[str, ...]] = frozenset()) -> bool:
    """Tell whether a row holds no avoided name and no word that starts with one of ``FORBIDDEN``."""
    words = bare_words(f"{row['text']} {json.dumps(row['json'], ensure_ascii=False)}")
    if any(w[:size] in FORBIDDEN for w in words for size in range(4, len(w) + 1)):
        return False
    longest = max((len(name) for name in avoided), default=0)
    return not any(tuple(words[k : k + n]) in avoided for k in range(len(words)) for n in range(1, longest + 1))


def rows(
    count: int,
    seed: int,
    avoided: frozenset[tuple[str, ...]] = frozenset(),
    longest: int = LONGEST,
    mix: dict[str, float] | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield rows, the same for the same arguments; one that is too long or not allowed is replaced by the next."""
    rng = random.Random(seed)
    shares = {maker: (mix or {}).get(maker.__name__, share) for maker, share in MIX.items()}
    while count:
        maker = rng.choices(list(shares), list(shares.values()))[0]
        row = dress(*maker(rng), rng)
        if len(row["text"]) <= longest and is_allowed(row, avoided):
            count -= 1
            yield row


def main() -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="JSONL file to write")
    parser.add_argument("--rows", type=int, default=90_000, help="number of rows")
    parser.add_argument("--seed", type=int, default=7, help="seed of everything that is random")
    parser.add_argument("--longest", type=int, default=LONGEST, help="characters of the longest text")
    parser.add_argument("--mix", type=json.loads, help='other shares of kinds of rows, such as {"sentence": 0.6}')
    parser.add_argument("--avoid", type=Path, default=DEMONSTRATION, help="vocabulary whose names no row may hold")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("w", encoding="utf-8") as file:
        for row in rows(
            arguments.rows, arguments.seed, names_to_avoid(arguments.avoid), arguments.longest, arguments.mix
        ):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
