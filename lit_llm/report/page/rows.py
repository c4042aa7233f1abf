"""The rows of predictions.csv that went worst, and how statuses and right answers go together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from lit_llm.batch import STATUSES, Prediction
from lit_llm.metrics import differing_paths, parse_json, score_pair
from lit_llm.report.page.marks import marked_json, marked_words, shortened


@dataclass(frozen=True)
class Judged:
    """A prediction beside its reference.

    Attributes:
        row: the prediction.
        score: 0 for nothing right to 1 for all of it: field F1 of the row, or chrF++ / 100 of a text.
        right: whether nothing differs.
        json: whether the reference is JSON.
    """

    row: Prediction
    score: float
    right: bool
    json: bool


@dataclass(frozen=True)
class Shown:
    """A row as the page shows it.

    Attributes:
        id: of the row.
        split: of the test file it comes from; empty where that is not known.
        status: of the prediction.
        error: why it is not ``ok``.
        score: of the row, 0 to 1.
        text: its source.
        reference: with the differing parts marked.
        prediction: with the differing parts marked.
    """

    id: str
    split: str
    status: str
    error: str
    score: float
    text: str
    reference: Markup
    prediction: Markup


def judged(rows: Sequence[Prediction]) -> list[Judged]:
    """Return the rows that have a reference, each with its score."""
    return [_judged(row) for row in rows if row.reference.strip()]


def worst(rows: Sequence[Judged], most: int) -> list[Shown]:
    """Return the rows with the lowest scores among those that are wrong, lowest first, as the page shows them."""
    wrong = sorted((row for row in rows if not row.right), key=lambda row: row.score)
    return [_shown(row) for row in wrong[:most]]


def confusion(rows: Sequence[Judged]) -> dict[str, dict[str, dict[str, int]]]:
    """Return how many rows are right and wrong, by test file and status."""
    counts: dict[str, dict[str, Counter[str]]] = {}
    for row in rows:
        by_status = counts.setdefault(split_of(row.row), {})
        by_status.setdefault(row.row.status, Counter())["right" if row.right else "wrong"] += 1
    order = {status: i for i, status in enumerate(STATUSES)}
    return {
        split: {s: dict(found[s]) for s in sorted(found, key=lambda status: order.get(status, len(order)))}
        for split, found in counts.items()
    }


def split_of(row: Prediction) -> str:
    """Return the name of the file that a row comes from."""
    return str(row.meta.get("split", ""))


def _judged(row: Prediction) -> Judged:
    gold = parse_json(row.reference) if row.reference[:1] in ("{", "[") else None
    if gold is not None and gold.strict:
        pair = score_pair(gold.value, row.raw or row.prediction)
        return Judged(row, pair.document_f1, pair.exact_normalised and row.status == "ok", True)
    from sacrebleu import sentence_chrf

    found = row.prediction or row.raw
    score = sentence_chrf(found, [row.reference], word_order=2).score / 100
    return Judged(row, score, found.split() == row.reference.split() and row.status == "ok", False)


def _shown(judged: Judged) -> Shown:
    row = judged.row
    reference, prediction = _both(row) if judged.json else marked_words(row.reference, row.prediction or row.raw)
    text = shortened(row.text)
    return Shown(row.id, split_of(row), row.status, row.error, judged.score, text, reference, prediction)


def _both(row: Prediction) -> tuple[Markup, Markup]:
    gold, found = parse_json(row.reference).value, parse_json(row.raw or row.prediction)
    if not found.strict:
        return marked_json(gold, ()), escape(shortened(row.raw or row.prediction))
    # Each side is numbered by itself: items may stand in another order.
    return (
        marked_json(gold, differing_paths(gold, found.value)),
        marked_json(found.value, differing_paths(found.value, gold)),
    )
