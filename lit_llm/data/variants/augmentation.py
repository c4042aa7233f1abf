"""Seven ways to write a text differently while it still states every value of its target.

Each strategy edits outside the places where values stand, then the values are read again; an edit after which one is
missing, or stated a different number of times, is thrown away and counted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from lit_llm.data.variants.spans import NUMBER_WORDS, SEPARATORS, Number, Span, Stated, as_written
from lit_llm.errors import ConfigError, DataError

STRATEGIES = ("word_order", "synonyms", "number_format", "punctuation", "misspelling", "case", "white_space")
"""All strategies, in the order in which they are applied."""

_CUE = re.compile(
    r"\b(?:agrega|anota|aplica|apúntame|artículos|atención|cargo|ciudad|cliente|comprador|cuenta|deseo|descuento|destino"
    r"|dieron|domicilio|día|encargo|entrega|entregar|entrégalo|enviar|envíalo|envíen|envío|espero|estamos|factura"
    r"|facturar|favor|fecha|gustaría|hazme|importe|llamo|llega|llegue|llevarlo|lugar|manda|monto|mándalo|mándame"
    r"|necesita|necesito|nombre|ocupa|ocupo|oferta|orden|ordena|ordenar|pagaré|para|pedido|pedimos|pide|ponme|prepárame"
    r"|productos|programado|promoción|quedan|quiero|quisiera|rebaja|recibirlo|recoge|registrado|solicitamos|solicito"
    r"|soy|sucursal|suma|sumando|tardar|total)\b"
)
"""Words that begin a clause which keeps its meaning wherever it stands; a clause without one stays with the last.

Words of single lines of an order (price, quantity, more, also) are left out: such a clause belongs to its neighbour.
"""

_PERCENT = re.compile(r"(?:ya )?(?:con|menos)(?: un| el)? \d[\d.,]* ?(?:%|por ciento)", re.IGNORECASE)
_CLAUSE_END = re.compile(r"(?<=[\w)%])(?:[;,.]\s+|\s*\n\s*)(?=\S)")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[^\W\d_]{1,2}|c/u|[Dd]esc|[Aa]v|[Dd]ra|[Cc]ol|[Nn]úm|[Pp]za|[Ii]ng|[Ll]ic|[Tt]el|S\.A)$"
)
_UNITS_OF_MONEY = re.compile(r"\s*(?:(?:pesos|mxn|euros|eur|mn)\b|€|m\.n\.)", re.IGNORECASE)
_OTHER_MEASURES = re.compile(r"\s*(?:%|por\s+ciento|\.|,\d|pesos|mxn|euros|eur|€)", re.IGNORECASE)
_WORDS = {number: word for word, number in NUMBER_WORDS.items() if number > 1}

KEYBOARD = ("qwertyuiop", "asdfghjklñ", "zxcvbnm")
"""Rows of a Spanish keyboard, whose neighbours are hit by mistake."""

Strategy = Callable[[str, Stated, random.Random], str]


def _outside(text: str, spans: Sequence[Span], edit: Callable[[str], str]) -> str:
    """Apply ``edit`` to each part of the text between the spans."""
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(edges)]
    return "".join(part if k % 2 else edit(part) for k, part in enumerate(parts))


def _like(model: str, text: str) -> str:
    """Give ``text`` the case of the words that it replaces."""
    if model.isupper() and len(model) > 1:
        return text.upper()
    return text[:1].upper() + text[1:] if model[:1].isupper() else text


def _boundaries(text: str, spans: Sequence[Span]) -> list[re.Match[str]]:
    """Find where clauses end: never inside a value, between digits, or behind an abbreviation."""
    found = []
    for match in _CLAUSE_END.finditer(text):
        before, after = text[: match.start()], text[match.end() : match.end() + 1]
        inside = any(span.start < match.end() and match.start() < span.end for span in spans)
        abbreviated = match.group().startswith(".") and _ABBREVIATION.search(before)
        if not inside and not abbreviated and not (before[-1].isdigit() and after.isdigit()):
            found.append(match)
    return found


def _without_accents(word: str) -> str:
    """Return a word as it is typed on a keyboard without accents; ñ is a letter of its own."""
    return "".join(c if c in "ñÑ" else unicodedata.normalize("NFD", c)[0] for c in word)


def _mistyped(word: str, rng: random.Random) -> str:
    """Swap two letters, leave one out, write it twice, hit the key beside it, or cut the word short as ``prec.``."""
    if rng.random() < 0.2:
        return word[: rng.choice([3, 4])] + "."
    at = rng.randrange(len(word) - 1)
    one, other = word[at], word[at + 1]
    row = next((row for row in KEYBOARD if one.casefold() in row), "")
    beside = row[max(0, row.find(one.casefold()) - 1) :][:3].replace(one.casefold(), "") or one
    key = rng.choice(beside)
    written = rng.choice([other + one, other, one + one + other, (key.upper() if one.isupper() else key) + other])
    return word[:at] + written + word[at + 2 :]


class Augmenter:
    """Rewrites training texts in Spanish without changing what they state.

    Which edits a row gets depends on seed, epoch, row and variant alone, never on workers or on the order of calls.

    Args:
        strategies: which of ``word_order``, ``synonyms``, ``number_format``, ``punctuation``, ``misspelling``,
            ``case`` and ``white_space`` to use.
        probability: how often each strategy is tried on a text, from 0 to 1.
        probabilities: other probabilities for single strategies, such as ``{case: 0.1}``.
        locale: how the data writes numbers, ``es_MX`` (1,250.50) or ``es_ES`` (1.250,50); never both in one data set.
        seed: decides all draws; by default the data module's.
        synonyms: JSON file of the form ``{"phrase": ["other phrase", ...]}`` instead of the built-in words of orders;
            leave units, negations and names of products out of it.
        case_values: lets ``case`` write the whole text, values included, in one case half of the time; the target's
            strings are then written as the text has them, for metrics that compare without regard to case.

    Attributes:
        counts: how often each strategy was ``applied``, ``rejected`` by the check, or left a text ``unchanged``; keys
            are ``(strategy, outcome)``. Worker processes each count for themselves.

    Raises:
        ConfigError: if a strategy, a locale or a probability is not possible.
        DataError: if the file of synonyms does not have that form.
    """

    def __init__(
        self,
        strategies: Sequence[str] = STRATEGIES,
        probability: float = 0.4,
        probabilities: Mapping[str, float] | None = None,
        locale: str = "es_MX",
        seed: int | None = None,
        synonyms: str | None = None,
        case_values: bool = False,
    ) -> None:
        if unknown := [name for name in [*strategies, *(probabilities or {})] if name not in STRATEGIES]:
            raise ConfigError(f"strategies: {unknown[0]!r} is none of {', '.join(STRATEGIES)}")
        if unused := sorted({*(probabilities or {})} - {*strategies}):
            raise ConfigError(f"probabilities: {unused[0]!r} is not among strategies, so its probability has no effect")
        if locale not in SEPARATORS:
            raise ConfigError(f"locale: {locale!r} is none of {', '.join(SEPARATORS)}")
        self.probabilities = dict.fromkeys(strategies, probability) | dict(probabilities or {})
        if wrong := {name: p for name, p in self.probabilities.items() if not 0 <= p <= 1}:
            raise ConfigError(f"probabilities: {wrong} must lie between 0 and 1")
        self.locale = locale
        self.seed = seed
        self.case_values = case_values
        self.counts: Counter[tuple[str, str]] = Counter()
        self._synonyms_file = synonyms
        self._strategies: dict[str, Strategy] = {
            name: getattr(self, f"_{name}") for name in STRATEGIES if name in strategies
        }

    @cached_property
    def synonyms(self) -> dict[str, list[str]]:
        """Phrases in lower case and what may stand in their place."""
        source = Path(self._synonyms_file) if self._synonyms_file else resources.files(__package__) / "synonyms_es.json"
        try:
            table = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{source}: cannot be read as JSON ({error}); give a file of synonyms") from error
        if not isinstance(table, dict) or not all(isinstance(v, list) and v for v in table.values()):
            raise DataError(f"{source}: must be an object of non-empty lists, such as {{'quiero': ['deseo']}}")
        return {phrase.casefold(): [str(other) for other in others] for phrase, others in table.items()}

    @cached_property
    def _phrases(self) -> re.Pattern[str]:
        longest_first = sorted(map(re.escape, self.synonyms), key=len, reverse=True)
        return re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", re.IGNORECASE)

    def augment(self, text: str, value: Any, *, epoch: int, index: int, variant: int) -> tuple[str, Any]:
        """Rewrite a text; the result is a pure function of the arguments and the constructor's.

        Args:
            text: the source text; it is returned in Unicode NFC.
            value: its target.
            epoch: the epoch, counted from 0.
            index: the row's place in its file.
            variant: which copy of the row this is, where one row is used several times per epoch.

        Returns:
            A text that states each value of ``value`` as often as ``text`` does, and the target: as it is, or with
            ``case_values`` its strings in the case of the new text.
        """
        text = unicodedata.normalize("NFC", text)
        stated = Stated(text, value, self.locale)
        for name, strategy in self._strategies.items():
            key = f"{self.seed} {epoch} {index} {variant} {name}".encode()
            rng = random.Random(hashlib.blake2b(key, digest_size=8).digest())
            if rng.random() >= self.probabilities[name]:
                continue
            edited = strategy(text, stated, rng)
            again = stated if edited == text else Stated(edited, value, self.locale)
            kept = again.found == stated.found
            self.counts[name, "unchanged" if edited == text else "applied" if kept else "rejected"] += 1
            text, stated = (edited, again) if kept else (text, stated)
        return text, as_written(text, value) if self.case_values else value

    def _word_order(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Swap whole clauses, each with its values; marks between clauses stay where they are."""
        ends = _boundaries(text, stated.protected())
        cuts = [m for m in ends if self._begins_clause(text[m.end() :])]
        starts, stops = [0, *(m.end() for m in cuts)], [*(m.start() for m in cuts), len(text.rstrip(" .;!\n"))]
        clauses = [text[a:b] for a, b in zip(starts, stops, strict=True)]
        fixed = 0 if self._begins_clause(clauses[0]) else 1
        moved = clauses[fixed:]
        if len(moved) < 2:
            return text
        while moved == clauses[fixed:] and len(set(moved)) > 1:
            rng.shuffle(moved)
        marks = [*(m.group() for m in cuts), text[stops[-1] :]]
        order = [*clauses[:fixed], *moved]
        begins = ["\n", *marks[:-1]]
        values = {text[span.start : span.end] for span in stated.strings}
        return "".join(
            self._recased(clause, before, values) + mark
            for clause, before, mark in zip(order, begins, marks, strict=True)
        )

    @staticmethod
    def _begins_clause(text: str) -> bool:
        before_values = re.split(r"[$\d,;\n]|\.\s", text[:60], maxsplit=1)[0]
        words = re.findall(r"[^\W\d_]+", before_values.casefold())[:3]
        return _CUE.search(" ".join(words)) is not None or _PERCENT.match(text) is not None

    @staticmethod
    def _recased(clause: str, before: str, values: set[str]) -> str:
        """Begin a clause with a capital behind a full stop and without one behind a comma, unless a value does."""
        shouted = re.match(r"[^\W\d_]{2,}", clause)
        if any(clause.startswith(value) for value in values) or (shouted and shouted.group().isupper()):
            return clause
        begins_sentence = "." in before or "\n" in before
        return (clause[:1].upper() if begins_sentence else clause[:1].lower()) + clause[1:]

    def _synonyms(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Put other phrases in the place of known ones."""

        def replace(match: re.Match[str]) -> str:
            """Draw another phrase, in the case of the one before."""
            if rng.random() < 0.3:
                return match.group()
            return _like(match.group(), rng.choice(self.synonyms[match.group().casefold()]))

        return _outside(text, stated.protected(), lambda part: self._phrases.sub(replace, part))

    def _number_format(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Write the target's numbers in other forms of the locale; no other number is touched."""
        for number in reversed(stated.numbers):
            if rng.random() < 0.7:
                written = rng.choice(self._forms(text, number))
                text = text[: number.span.start] + written + text[number.span.end :]
        return text

    def _forms(self, text: str, number: Number) -> list[str]:
        """List the ways to write a number at its place; the parser reads every one of them."""
        (start, end), value = number
        if value is None:
            return [text[start:end]]
        old, before, after = text[start:end], text[:start].rstrip(), text[end:]
        money = before.endswith(("$", "€")) or _UNITS_OF_MONEY.match(after) is not None
        if old.casefold() in NUMBER_WORDS:
            return [old, str(int(value))] if value > 1 else [old]
        group, mark = SEPARATORS[self.locale]
        whole, _, decimals = f"{value.normalize():f}".partition(".")
        endings = {decimals, decimals.ljust(2, "0")} if decimals or money else {""}
        wholes = [whole, *(f"{int(whole):,}".replace(",", separator) for separator in (group, " "))]
        forms = [w + (mark + e if e else "") for w in dict.fromkeys(wholes) for e in sorted(endings)]
        if value in _WORDS and not money and before[-1:] not in ("(", "x", ":") and re.match(r"\s+[^\W\d_]{3}", after):
            forms += [] if _OTHER_MEASURES.match(after) else [_WORDS[int(value)]]
        return forms

    def _punctuation(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Change the marks between clauses, colons, and the last mark."""
        spans = stated.protected()
        last = spans[-1].end if spans else 0
        closing = rng.choice(["", ".", "!"]) if not text[last:].strip(" .!\n") else text[last:]
        colon = rng.choice(["", " -", " =", ":"])
        body = _outside(text[:last], spans, lambda part: re.sub(r"(?<=[^\W\d_]):(?= )", colon, part))
        text = (body if rng.random() < 0.5 else text[:last]) + closing
        for match in reversed(_boundaries(text, Stated(text, stated.value, self.locale).protected())):
            if rng.random() < 0.5 and self._begins_clause(text[match.end() :]):
                text = text[: match.start()] + rng.choice([", ", ". ", "; ", "\n", " - ", " "]) + text[match.end() :]
        return text

    def _misspelling(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Mistype one in seven of the longer words between the values, and half of the time leave out accents."""
        bare = rng.random() < 0.5

        def mistype(match: re.Match[str]) -> str:
            """Draw whether a word is mistyped."""
            word = _without_accents(match.group()) if bare else match.group()
            return _mistyped(word, rng) if len(word) > 3 and rng.random() < 0.15 else word

        return _outside(text, stated.protected(), lambda part: re.sub(r"[^\W\d_]+", mistype, part))

    def _case(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Write everything outside the values in one case."""
        edit = rng.choice([str.lower, str.upper, str.title])
        if self.case_values and rng.random() < 0.5:
            return edit(text)
        return _outside(text, stated.protected(), edit)

    def _white_space(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Widen or narrow the space between words, and put some around the text."""

        def widen(match: re.Match[str]) -> str:
            """Draw a wider space now and then."""
            return rng.choice(["  ", "  ", "   "]) if rng.random() < 0.15 else match.group()

        def narrow(match: re.Match[str]) -> str:
            """Drop the space behind a mark now and then."""
            return match.group(1) if rng.random() < 0.2 else match.group()

        spans = stated.protected()
        edited = _outside(text, spans, lambda part: re.sub(r"([,;:]) (?=[^\W\d_])", narrow, re.sub(r" ", widen, part)))
        return rng.choice(["", "", " "]) + edited + rng.choice(["", "", " ", "\n"])
