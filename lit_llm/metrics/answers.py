"""How right short answers are, and how well their passages were found, in the conventions of question answering."""

from __future__ import annotations

import re
import string
from collections import Counter
from typing import Any

from lit_llm.errors import ConfigError
from lit_llm.metrics.base import LineMetric

ARTICLES = {"en": ("a", "an", "the"), "es": ("el", "la", "los", "las", "un", "una", "unos", "unas"), "none": ()}
"""Words that do not count, by language; English ones are those of SQuAD's own script, Spanish ones MLQA's."""

PUNCTUATION = frozenset(string.punctuation + "¿¡«»“”‘’…–—")
"""Characters that do not count."""


def normalised(text: str, language: str = "en") -> str:
    """Return an answer in lower case, without punctuation, articles and surplus white space.

    As SQuAD's evaluation does it (Rajpurkar et al., 2016), with the punctuation of Spanish too.
    """
    plain = "".join(letter for letter in text.lower() if letter not in PUNCTUATION)
    articles = ARTICLES[language]
    if articles:
        plain = re.sub(rf"\b({'|'.join(articles)})\b", " ", plain)
    return " ".join(plain.split())


def exact_match(answer: str, gold: str, language: str = "en") -> float:
    """Return 1.0 where both are the same once normalised, else 0.0."""
    return float(normalised(answer, language) == normalised(gold, language))


def token_f1(answer: str, gold: str, language: str = "en") -> float:
    """Return the F measure of the words that both have in common; 1.0 where both are empty, 0.0 where one is."""
    said, right = normalised(answer, language).split(), normalised(gold, language).split()
    common = sum((Counter(said) & Counter(right)).values())
    if not said or not right:
        return float(said == right)
    return 2 * common / (len(said) + len(right))


def covers(answer: str, gold: str, language: str = "en") -> float:
    """Return 1.0 where every word of the gold answer stands somewhere in the answer, else 0.0."""
    said, right = normalised(answer, language).split(), normalised(gold, language).split()
    return float(not Counter(right) - Counter(said)) if right else float(not said)


SCORES = {"em": exact_match, "f1": token_f1, "cover_em": covers}


class AnswerMetrics(LineMetric):
    """Exact match, token F1 and cover-EM of answers, and the recall of their passages, each from 0 to 1.

    Of several right answers the one that gives a score its most counts. Recall at ``n`` is the mean share of the
    passages known to hold the answer that are among the first ``n``; rows of which nobody knows them are left out of
    it. Rows without an answer are left out of the other scores, and counted in ``rows_unjudged``.

    Args:
        task: rows of this task are scored.
        language: whose articles do not count: ``en``, ``es`` or ``none``.
        recall_at: the numbers ``n``.
    """

    main = "em"

    def __init__(self, task: str = "documents", language: str = "en", recall_at: list[int] | None = None) -> None:
        super().__init__(task)
        if language not in ARTICLES:
            raise ConfigError(f"language: {language!r} is none of {', '.join(ARTICLES)}")
        self.language = language
        self.recall_at = [1, 3, 5] if recall_at is None else recall_at
        if wrong := [n for n in self.recall_at if n < 1]:
            raise ConfigError(f"recall_at: {wrong[0]}: the first passage is number 1")

    def update(self, predictions: list[str], references: list[Any], meta: list[dict[str, Any]]) -> None:
        """Take in some rows; a reference is a text, or a list of texts that are all right."""
        for text, reference, facts in zip(predictions, references, meta, strict=True):
            golds = [reference] if isinstance(reference, str) else reference or []
            row: dict[str, Any] = {}
            if golds:
                row |= {name: max(score(text, gold, self.language) for gold in golds) for name, score in SCORES.items()}
            positives, ranking = set(facts.get("positives", [])), facts.get("ranking")
            if positives and ranking is not None:
                row |= {f"recall@{n}": len(positives & set(ranking[:n])) / len(positives) for n in self.recall_at}
            self.note([row])

    def compute(self) -> dict[str, float]:
        """Return the mean of each score over the rows that have it."""
        rows = self.noted()
        names = [*SCORES, *(f"recall@{n}" for n in self.recall_at)]
        found = {}
        for name in names:
            values = [row[name] for row in rows if name in row]
            if values:
                found[name] = sum(values) / len(values)
        if unjudged := sum("em" not in row for row in rows):
            found["rows_unjudged"] = float(unjudged)
        return found
