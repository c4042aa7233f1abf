"""Eight ways to write a text differently while it still states every value of its target.

Each strategy edits outside the places where amounts, signs, comparisons and values stand, then all are read again; an
edit after which one is missing, or stated a different number of times, is thrown away and counted.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any

from lit_llm.data.variants.amounts import facts, symbols
from lit_llm.data.variants.clauses import reordered
from lit_llm.data.variants.dating import redated
from lit_llm.data.variants.figures import reformatted
from lit_llm.data.variants.pauses import repunctuated
from lit_llm.data.variants.slips import mistyped
from lit_llm.data.variants.spans import SEPARATORS, Stated, as_written, merged, outside
from lit_llm.data.variants.wording import Thesaurus
from lit_llm.errors import ConfigError

STRATEGIES = (
    *("relative_date", "word_order", "synonyms", "number_format"),
    *("punctuation", "misspelling", "case", "white_space"),
)
"""All strategies, in the order in which they are applied."""

_REWRITE = ("number_format", "relative_date")
"""Those that write amounts in another form; what was edited is looked at by the places of values alone."""

Strategy = Callable[[str, Stated, random.Random], str | None]
"""Returns the text written differently, as it is, or None where it cannot be sure what belongs to what."""


class Augmenter:
    """Rewrites training texts in Spanish without changing what they state.

    Which edits a row gets depends on seed, epoch, row and variant alone, never on workers or on the order of calls.

    Args:
        strategies: which of ``relative_date``, ``word_order``, ``synonyms``, ``number_format``, ``punctuation``,
            ``misspelling``, ``case`` and ``white_space`` to use. The first is for rows with a reference date alone.
        probability: how often each strategy is tried on a text, from 0 to 1.
        probabilities: other probabilities for single strategies, such as ``{case: 0.1}``.
        locale: how the data writes numbers, ``es_MX`` (1,250.50) or ``es_ES`` (1.250,50); never both in one data set.
        seed: decides all draws; by default the data module's.
        synonyms: JSON file of the form ``{"phrase": ["other phrase", ...]}`` instead of the built-in words of orders;
            leave units, negations, comparisons and names of products out of it.
        case_values: lets ``case`` write the whole text, values included, in one case half of the time; the target's
            strings are then written as the text has them, for metrics that compare without regard to case.

    Attributes:
        counts: how often each strategy was ``applied``, ``rejected`` by the check, left a text ``unchanged``, or was
            ``unsure`` what belongs to what and left it too; keys are ``(strategy, outcome)``. ``("row", "unstated")``
            counts texts that were left alone because a number of their target is nowhere in them. Worker processes
            each count for themselves.

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
    def thesaurus(self) -> Thesaurus:
        """Phrases and what may stand in their place."""
        return Thesaurus(self._synonyms_file)

    def augment(
        self, text: str, value: Any, *, epoch: int, index: int, variant: int, day: date | None = None
    ) -> tuple[str, Any]:
        """Rewrite a text; the result is a pure function of the arguments and the constructor's.

        Args:
            text: the source text; it is returned in Unicode NFC.
            value: its target.
            epoch: the epoch, counted from 0.
            index: the row's place in its file.
            variant: which copy of the row this is, where one row is used several times per epoch.
            day: on which the text was written; None where nobody knows.

        Returns:
            A text that states each value of ``value`` as often as ``text`` does, and the target: as it is, or with
            ``case_values`` its strings in the case of the new text.
        """
        text = unicodedata.normalize("NFC", text)
        stated = Stated(text, value, self.locale, day)
        if self._strategies and stated.unstated():
            self.counts["row", "unstated"] += 1
            return text, value
        for name, strategy in self._strategies.items():
            key = f"{self.seed} {epoch} {index} {variant} {name}".encode()
            rng = random.Random(hashlib.blake2b(key, digest_size=8).digest())
            if rng.random() >= self.probabilities[name]:
                continue
            edited = strategy(text, stated, rng)
            if edited is None or edited == text:
                self.counts[name, "unsure" if edited is None else "unchanged"] += 1
                continue
            again = Stated(edited, value, self.locale, day)
            kept = again.found == stated.found and self._same(name, text, edited)
            self.counts[name, "applied" if kept else "rejected"] += 1
            text, stated = (edited, again) if kept else (text, stated)
        return text, as_written(text, value) if self.case_values else value

    @staticmethod
    def _same(name: str, text: str, edited: str) -> bool:
        """Whether amounts, signs and comparisons are the same ones, in the same order unless clauses moved."""
        before, after = (facts(side, amounts=name not in _REWRITE) for side in (text, edited))
        return Counter(before) == Counter(after) if name == "word_order" else before == after

    def _relative_date(self, text: str, stated: Stated, rng: random.Random) -> str:
        return redated(text, stated, rng)

    def _word_order(self, text: str, stated: Stated, rng: random.Random) -> str | None:
        return reordered(text, stated, rng)

    def _synonyms(self, text: str, stated: Stated, rng: random.Random) -> str:
        return self.thesaurus.reworded(text, stated, rng)

    def _number_format(self, text: str, stated: Stated, rng: random.Random) -> str:
        return reformatted(text, stated, rng)

    def _misspelling(self, text: str, stated: Stated, rng: random.Random) -> str:
        return mistyped(text, stated, rng, self.thesaurus.words)

    def _punctuation(self, text: str, stated: Stated, rng: random.Random) -> str:
        return repunctuated(text, stated, rng)

    def _case(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Write everything outside the values in one case."""
        edit = rng.choice([str.lower, str.upper, str.title])
        if self.case_values and rng.random() < 0.5:
            return outside(text, merged(symbols(text)), edit)
        return outside(text, stated.protected(symbols(text)), edit)

    def _white_space(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Widen or narrow the space between words, and put some around the text."""

        def widen(match: re.Match[str]) -> str:
            """Draw a wider space now and then."""
            return rng.choice(["  ", "  ", "   "]) if rng.random() < 0.15 else match.group()

        def narrow(match: re.Match[str]) -> str:
            """Drop the space behind a mark now and then."""
            return match.group(1) if rng.random() < 0.2 else match.group()

        spans = stated.protected()
        edited = outside(text, spans, lambda part: re.sub(r"([,;:]) (?=[^\W\d_])", narrow, re.sub(r" ", widen, part)))
        return rng.choice(["", "", " "]) + edited + rng.choice(["", "", " ", "\n"])
