"""Scores of prediction files side by side, with confidence intervals and paired tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_llm.batch import Prediction
from lit_llm.errors import DataError
from lit_llm.metrics import Rules, parse_json, score_pair
from lit_llm.metrics.corpus import Translation, score_rows, scorer, streams
from lit_llm.report.predictions import check_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW_ROWS, WIDE = 200, 2.0
"""Fewer rows, or a wider half interval, than this are not enough to tell systems apart."""


@dataclass(frozen=True)
class Compared:
    """One score of one system.

    Attributes:
        value: over all rows.
        half_interval: half the width of the 95 % bootstrap interval.
        p_value: of the paired bootstrap against the first system; None for the first one itself.
        signature: how the score is made.
        difference: from the first system.
        low: lower end of the 95 % interval of the difference, over the same resamples.
        high: its upper end.
    """

    value: float
    half_interval: float
    p_value: float | None
    signature: str
    difference: float = 0.0
    low: float = 0.0
    high: float = 0.0


def translations(rows: Sequence[Prediction]) -> list[Translation]:
    """Return predictions as rows to score; what the counts need comes from their status."""
    return [
        Translation(
            row.prediction,
            (row.reference,),
            row.meta | {"id": row.id, "source": row.text, "finished": row.status != "length"},
        )
        for row in rows
    ]


def is_extraction(rows: Sequence[Prediction]) -> bool:
    """Whether references are JSON objects or arrays, hence fields are to be scored.

    Raises:
        DataError: if some are and some are not.
    """
    json = [row.reference[:1] in ("{", "[") and parse_json(row.reference).strict for row in rows if row.reference]
    if any(json) and not all(json):
        raise DataError(
            f"{sum(json)} of {len(json)} references are JSON and the others are not: choose the rows of one task, such "
            "as with --only part=NAME or --only split=NAME"
        )
    return all(json)


def aligned(systems: dict[str, list[Prediction]]) -> dict[str, list[Prediction]]:
    """Return the rows of each system in the order of the first, without those that have no reference.

    Raises:
        DataError: if two systems do not answer the same rows, or none has a reference.
    """
    (name, first), *others = systems.items()
    order = {row.id: row.reference for row in first}
    for other, rows in others:
        theirs = {row.id: row.reference for row in rows}
        if missing := [row_id for row_id in order if row_id not in theirs] or [i for i in theirs if i not in order]:
            raise DataError(
                f"{other}: {len(missing)} rows are not in both files, such as {missing[0]!r}: compare files of the "
                "same rows"
            )
        if wrong := [row_id for row_id, reference in order.items() if theirs[row_id] != reference]:
            raise DataError(f"{other}: row {wrong[0]!r} has another reference than in {name}")
    scored = [row_id for row_id, reference in order.items() if reference.strip()]
    if not scored:
        raise DataError(f"{name}: no row has a reference, so nothing can be scored")
    found = {}
    for system, rows in systems.items():
        by_id = {row.id: row for row in rows}
        found[system] = [by_id[row_id] for row_id in scored]
    return found


def compare_translations(
    systems: dict[str, list[Prediction]], names: Sequence[str], samples: int, seed: int
) -> dict[str, dict[str, Compared]]:
    """Return each score of each system; intervals and p-values are sacrebleu's paired bootstrap (Koehn 2004).

    Args:
        systems: aligned rows by system; the first is the baseline.
        names: which scores.
        samples: bootstrap resamples.
        seed: of the resampling; sacrebleu's own default is 12345.
    """
    from sacrebleu.significance import PairedTest

    texts = {system: streams(translations(rows)) for system, rows in systems.items()}
    references: Any = next(iter(texts.values()))[1]
    named: Any = [(system, hypotheses) for system, (hypotheses, _) in texts.items()]
    found: dict[str, dict[str, Compared]] = {system: {} for system in systems}
    for name in names:
        # One at a time, because two BLEUs with different tokenisers have one title.
        with _seeded(seed):
            test: Any = PairedTest(named, {name: scorer(name)}, references, test_type="bs", n_samples=samples)
            signatures, results = test()
        (title,) = (title for title in results if title != "System")
        for system, result in zip(systems, results[title], strict=True):
            p_value = None if result.p_value is None else float(result.p_value)
            found[system][name] = Compared(float(result.score), float(result.ci), p_value, signatures[title].format())
        if len(systems) == 1:
            # A gate or one file alone: nothing differs, and resampling is the longest part.
            continue
        resampled = {system: _resampled(name, each, references, samples, seed) for system, each in named}
        first = next(iter(systems))
        for system, scores in found.items():
            interval = _interval(resampled[system] - resampled[first])
            difference = scores[name].value - found[first][name].value
            scores[name] = replace(scores[name], difference=difference, low=interval[0], high=interval[1])
    return found


def compare_extractions(
    systems: dict[str, list[Prediction]], samples: int, seed: int
) -> dict[str, dict[str, Compared]]:
    """Return field F1 and exact match of each system, with the same bootstrap over rows."""
    rng = np.random.default_rng(seed)
    counts = {system: np.array([_counted(row) for row in rows], dtype=float) for system, rows in systems.items()}
    rows = len(next(iter(counts.values())))
    drawn = rng.choice(rows, size=(samples, rows), replace=True)
    first = next(iter(counts))
    found: dict[str, dict[str, Compared]] = {system: {} for system in systems}
    for name, score in (("field_f1", _field_f1), ("exact_match", _exact_match)):
        base_value, base = score(counts[first].sum(0)), np.array([score(counts[first][i].sum(0)) for i in drawn])
        for system, table in counts.items():
            value, resampled = score(table.sum(0)), np.array([score(table[i].sum(0)) for i in drawn])
            low, high = _interval(resampled)
            differences = np.abs(resampled - base)
            # Centred on the mean, as the null hypothesis has it (sacrebleu, Riezler & Maxwell 2005).
            beyond = (differences - differences.mean() > abs(value - base_value)).sum()
            p_value = None if system == first else float((beyond + 1) / (samples + 1))
            found[system][name] = Compared(
                value,
                (high - low) / 2,
                p_value,
                f"bootstrap:{samples}|seed:{seed}",
                value - base_value,
                *_interval(resampled - base),
            )
    return found


def group_scores(
    systems: dict[str, list[Prediction]], keys: Sequence[str], name: str
) -> list[tuple[tuple[str, ...], int, dict[str, float]]]:
    """Return the score of each system over the rows of each combination of facts, those of the first system.

    Args:
        systems: aligned rows by system.
        keys: facts of rows; ``length`` is that of a translation's reference in words.
        name: of the score.

    Raises:
        ConfigError: if no row has one of the facts, naming those that there are.
    """
    rows = next(iter(systems.values()))
    json = is_extraction(rows)
    check_facts(rows, keys, () if json else ("length",))
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, row in enumerate(translations(rows)):
        groups.setdefault(tuple(row.group(key) for key in keys), []).append(place)
    found = []
    for group, places in sorted(groups.items()):
        members = {system: [each[place] for place in places] for system, each in systems.items()}
        values = {system: _value(name, own, json=json) for system, own in members.items()}
        found.append((group, len(places), values))
    return found


def _value(name: str, rows: list[Prediction], *, json: bool) -> float:
    if not json:
        return float(score_rows(translations(rows), [name])[name].value)
    return (_field_f1 if name == "field_f1" else _exact_match)(np.array([_counted(row) for row in rows]).sum(0))


def _resampled(name: str, hypotheses: list[str], references: Any, samples: int, seed: int) -> Any:
    """Return the scores of resamples of the corpus, those that sacrebleu's paired bootstrap draws."""
    metric: Any = scorer(name)
    counts = np.array(metric._extract_corpus_statistics(hypotheses, references), dtype="float32")
    drawn = np.random.default_rng(seed).choice(len(counts), size=(samples, len(counts)), replace=True)
    return np.array([metric._compute_score_from_stats(counts[rows].sum(0)).score for rows in drawn])


def _interval(values: Any) -> tuple[float, float]:
    """Return the 95 % interval of resampled values, as sacrebleu cuts it."""
    low, high = np.sort(values)[[len(values) // 40, len(values) - len(values) // 40 - 1]]
    return float(low), float(high)


def _counted(row: Prediction) -> list[int]:
    score = score_pair(parse_json(row.reference).value, row.raw or row.prediction, Rules(), "strict")
    fields = list(score.fields.values())
    return [sum(f.tp for f in fields), sum(f.fp for f in fields), sum(f.fn for f in fields), int(score.exact), 1]


def _field_f1(counts: Any) -> float:
    tp, fp, fn = counts[:3]
    return 100 * float(2 * tp / (2 * tp + fp + fn)) if tp + fp + fn else 100.0


def _exact_match(counts: Any) -> float:
    return 100 * float(counts[3] / counts[4])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Give sacrebleu its seed, which it reads from the environment."""
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(seed)
    try:
        yield
    finally:
        os.environ.pop("SACREBLEU_SEED")
        if before is not None:
            os.environ["SACREBLEU_SEED"] = before
