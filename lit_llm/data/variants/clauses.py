"""Clauses of an order that may change places, and whether the text is one record to do so in."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any, NamedTuple

from lit_llm.data.variants.amounts import Span
from lit_llm.data.variants.lexicon import WORDS, fold, plain
from lit_llm.data.variants.spans import Stated, leaves, lists

_KINDS = {name: re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") for name, words in WORDS["clauses"].items()}
_PERCENT = re.compile(
    r"(?:ya )?(?:con|incluye|aplica|lleva|trae)(?: un| el)? \d[\d.,]* ?(?:%|por ciento)"
    r"|\d[\d.,]* ?(?:%|por ciento) de (?:descuento|rebaja|promocion|promoción|oferta)",
    re.IGNORECASE,
)
_MORE = re.compile(r"(?:y|e|más|mas|\+|a|con|por|cantidad|precio|costo|de|en|talla|color)\s")
_COST = re.compile(r"(?i)\$|€|\b(?:costo|coste|precio|cuesta|tarifa|flete)")
_CAPITAL = "[A-ZÁÉÍÓÚÑ][a-záéíóúñü]+"
_NAME = re.compile(rf"(?:(?<=\w )(?<!\ben )(?<!\bhacia )|(?<=: )){_CAPITAL}(?: {_CAPITAL})*")
_SMALL = frozenset("a al aqui con de el en es la las lo los me mi para por que se te un una todo favor hola ya".split())  # noqa: SIM905
_CLAUSE_END = re.compile(r"(?<=[\w)%])(?:[;,.]\s+|\s*\n\s*)(?=\S)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]{1,2}|c/u|[Dd]esc|[Aa]v|[Dd]ra|[Cc]ol|[Nn]úm|[Pp]za|[Ii]ng|[Ll]ic|[Tt]el|[Aa]prox|[Mm][aáií]+n"
    r"|[Mm][áa]x|[Ff]echa|[Ss]ra|[Dd]epto|[Ii]nt|[Ee]xt|[Ee]tc|[Ee]j|S\.A)$"
)
_LEANS = re.compile(rf"\b(?:{'|'.join(WORDS['leans'])})\b")
_STRANGE = re.compile(r"[?¿|\t•*]|(?:^|\n)\s*[-–—]\s|\w\s[-–—]\s\w|…|\.\.")


class Clause(NamedTuple):
    """Characters ``start`` to ``end`` of a text, and the kind of its first words, None where they are of none."""

    start: int
    end: int
    kind: str | None


def boundaries(text: str, spans: list[Span]) -> list[re.Match[str]]:
    """Find where clauses end: never inside a value, between digits, or behind an abbreviation."""
    found = []
    for match in _CLAUSE_END.finditer(text):
        before, after = text[: match.start()], text[match.end() : match.end() + 1]
        inside = any(span.start < match.end() and match.start() < span.end for span in spans)
        abbreviated = match.group().startswith(".") and _ABBREVIATION.search(before[-12:])
        if not inside and not abbreviated and not (before[-1].isdigit() and after.isdigit()):
            found.append(match)
    return found


def kinds(text: str) -> set[str]:
    """Return everything that a clause speaks of: an order, a total, a customer, a delivery, a discount."""
    folded = plain(text)
    return {name for name, words in _KINDS.items() if words.search(folded)}


def kind(text: str) -> str | None:
    """Return what a clause is about by its first three words in front of a number.

    Words of single lines of an order (price, quantity, more) are of no kind: such a clause belongs to its neighbour.
    """
    if _PERCENT.match(text):
        return "discount"
    before_values = re.split(r"[$\d,;\n]|\.\s", text[:60], maxsplit=1)[0]
    head = " ".join(re.findall(r"[^\W\d_]+", plain(before_values))[:3])
    first = next((name for name, words in _KINDS.items() if words.search(head)), None)
    return first or ("for" if head.startswith("para") else None)


def clauses(text: str, stated: Stated) -> list[Clause] | None:
    """Return the clauses of a text that is one record and whose parts do not lean on each other, else None.

    A second clause of one kind (two totals, two customers), a negation, a question, a list, or a part that may speak of
    something else leaves the text as it is. A clause of no kind is joined to the one before it.
    """
    bare = _without(text, stated.strings)
    if _STRANGE.search(text) or _LEANS.search(plain(bare)):
        return None
    ends = boundaries(text, stated.protected(stated.blocks()))
    starts, stops = [0, *(m.end() for m in ends)], [*(m.start() for m in ends), len(text.rstrip(" .;!\n"))]
    parts = [Clause(a, b, kind(bare[a:b])) for a, b in zip(starts, stops, strict=True)]
    if not _one_record(text, bare, parts) or len(_NAME.findall(bare)) > 1 or _owners(stated.value) > 1:
        return None
    joined = parts[:1]
    for part in parts[1:]:
        if part.kind is not None:
            joined.append(part)
        elif _goes_on(bare, joined[-1], part, stated):
            joined[-1] = joined[-1]._replace(end=part.end)
        else:
            return None
    return joined


def _owners(value: Any) -> int:
    """Return how many different names the target's lists of objects hold."""
    strings = {leaf for records in lists(value) for leaf in leaves(records) if isinstance(leaf, str)}
    return sum(text[:1].isupper() and not text.isupper() for text in strings)


def _without(text: str, spans: list[Span]) -> str:
    """Return the text with each value of the target written as underscores."""
    for start, end in spans:
        text = text[:start] + "_" * (end - start) + text[end:]
    return text


def _one_record(text: str, bare: str, parts: list[Clause]) -> bool:
    """Whether nothing is spoken of in two clauses, but for a place and a day of delivery."""
    counts: Counter[str] = Counter()
    for start, end, about in parts:
        words, dated = kinds(bare[start:end]), re.search(r"\d", text[start:end]) is not None
        if about == "for":
            words.add("delivery" if dated and ":" not in bare[start:end] else "who")
        counts.update(words - {"order", "delivery"})
        counts["order"] += "order" in words and about in ("order", None)
        if "delivery" in words and about != "order":
            counts["day" if dated else "place"] += 1 + bool(_COST.search(bare[start:end]))
    return max(counts.values(), default=0) < 2


def _goes_on(bare: str, before: Clause, part: Clause, stated: Stated) -> bool:
    """Whether a clause of no kind plainly belongs to the one before it: the next line of an order, or mere manners."""
    start, end, _ = part
    places = [*stated.strings, *(run.span for run in stated.runs)]
    if not any(start <= span.start < end for span in places):
        return not re.search(r"(?<!^)[A-ZÁÉÍÓÚÑ]", bare[start:end]) and not bare[start : start + 1].isupper()
    head = bare[before.start : before.end]
    lists = before.kind in ("order", None) or "order" in kinds(head) or ":" in head
    return lists and (
        _MORE.match(bare[start:end].casefold()) is not None or any(span.start == start for span in places)
    )


def reordered(text: str, stated: Stated, rng: random.Random) -> str | None:
    """Swap whole clauses, each with its values; marks between clauses stay where they are. None if unsure."""
    found = clauses(text, stated)
    if found is None:
        return None
    fixed = 0 if found[0].kind else 1
    moved = found[fixed:]
    if len(moved) < 2:
        return text
    while moved == found[fixed:]:
        rng.shuffle(moved)
    stops = [*(part.start for part in found[1:]), len(text)]
    marks = [text[part.end : stop] for part, stop in zip(found, stops, strict=True)]
    values = {text[span.start : span.end] for span in stated.strings}
    written = [
        _recased(text[part.start : part.end], before, values)
        for part, before in zip([*found[:fixed], *moved], ["\n", *marks], strict=False)
    ]
    return "".join(clause + mark for clause, mark in zip(written, marks, strict=True))


def _recased(clause: str, before: str, values: set[str]) -> str:
    """Begin a clause with a capital behind a full stop and without one behind a comma, unless a value does."""
    first = re.match(r"[^\W\d_]*", clause)
    word = first.group() if first else ""
    if any(clause.startswith(value) for value in values) or (len(word) > 1 and word.isupper()):
        return clause
    if "." in before or "\n" in before:
        return clause[:1].upper() + clause[1:]
    plain = kinds(word) or fold(word) in _SMALL
    return clause[:1].lower() + clause[1:] if plain else clause
