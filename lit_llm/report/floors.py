"""Floors for the scores of a run: of any metric, of any test, of single fields."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_llm.errors import ConfigError, DataError
from lit_llm.metrics.corpus import COUNTS, SCORES, score_rows
from lit_llm.report.comparison import is_extraction, translations
from lit_llm.report.gates import Check
from lit_llm.report.predictions import read_predictions, rows_with
from lit_llm.results import FOLDER, Result, as_rows, is_current, read_result, read_results

FIELDS = "fields"
"""What stands before the name of a field: ``fields/total`` is its F1."""

LESS_IS_BETTER = {"loss", "perplexity", "ter", *COUNTS} - {"rows", "n", "exact"}
"""Of these a floor is a ceiling."""


@dataclass(frozen=True)
class Floor:
    """What a score has to be.

    Attributes:
        name: of a metric, such as ``field_f1``; of ``fields/<field>``; or either behind the name of one test.
        least: the smallest value that passes; the largest where less is better.
    """

    name: str
    least: float


def floors(path: str, wanted: Sequence[str], only: Sequence[str] = ()) -> tuple[list[Check], dict[str, str]]:
    """Check the scores of a result against floors; each has to hold in every test that has the score.

    Args:
        path: a run folder, of which the newest ``test`` counts; a file of ``results/``; or predictions, which are
            scored anew (an answer's own schema is not in them, so ``schema_valid`` is not either).
        wanted: each ``name=value``, such as ``field_f1=0.9``, ``known/exact_match=0.8`` or ``fields/total=0.95``.
        only: conditions on the rows of predictions, such as ``direction=es-nah``.

    Returns:
        The checks, and what they are of.

    Raises:
        ConfigError: if a floor is not of that form, or nothing has such a score.
        DataError: if the folder holds no result of its weights.
    """
    asked = [_parse(text) for text in wanted]
    result = _of_predictions(path, only, asked) if only or not _stored(path) else _of_file(path)
    found = _scores(result)
    checks = [check for floor in asked for check in _checks(path, floor, found)]
    return checks, {"of": _described(result)}


def _parse(text: str) -> Floor:
    name, _, value = text.rpartition("=")
    try:
        least = float(value)
    except ValueError:
        least = math.nan
    if not name or math.isnan(least):
        raise ConfigError(f"--floor {text}: write name=value, such as field_f1=0.9")
    return Floor(name, least)


def _stored(path: str) -> bool:
    """Whether a path is that of a result, or of a folder that has some, or has no answers either."""
    folder = Path(path)
    answered = folder.is_file() or (folder / "predictions.csv").exists()
    return path.endswith(".json") or (folder / FOLDER).is_dir() or not answered


def _of_file(path: str) -> Result:
    if path.endswith(".json"):
        return read_result(Path(path))
    tests = [result for result in read_results(Path(path)) if result.verb == "test" and result.checkpoint]
    command = f"python -m lit_llm test --config {os.path.join(path, 'config.yaml')}"
    if not tests:
        raise DataError(f"{path}: {FOLDER}/ holds no result of `test`: {command}")
    if not is_current(tests[-1], Path(path)):
        raise DataError(f"{path}: the last `test` ({tests[-1].time}) was of other weights than are here now: {command}")
    return tests[-1]


def _of_predictions(path: str, only: Sequence[str], asked: Sequence[Floor]) -> Result:
    """Return the scores of predictions by the name of their split."""
    from lit_llm.metrics import ExtractionMetrics

    rows = [row for row in rows_with(read_predictions(path), only, path) if row.reference]
    if not rows:
        raise DataError(f"{path}: no row has a reference, so nothing can be scored")
    # Scores of all languages at once need a model of pieces from a network: only where they are asked for.
    names = [name for name in SCORES if name != "bleu_flores200" or any(name in floor.name for floor in asked)]
    result = Result("predict")
    for split in dict.fromkeys(str(row.meta.get("split", "")) for row in rows):
        some = [row for row in rows if str(row.meta.get("split", "")) == split]
        if is_extraction(some):
            metric = ExtractionMetrics()
            texts = [row.raw or row.prediction for row in some]
            metric.update(texts, [json.loads(row.reference) for row in some], [row.meta for row in some])
            result.scores[split], result.fields[split] = metric.compute(), as_rows(metric.per_field())
        else:
            result.scores[split] = {name: score.value for name, score in score_rows(translations(some), names).items()}
    return result


def _described(result: Result) -> str:
    if not result.checkpoint:
        return "predictions" if result.verb == "predict" else f"{result.verb} of the base as it is, {result.time}"
    return f"{result.verb} of {result.checkpoint['name']} at step {result.checkpoint['step']}, {result.time}"


def _scores(result: Result) -> dict[str, dict[str, float]]:
    """Return all numbers of a result by test, those of fields among them."""
    found: dict[str, dict[str, float]] = {}
    for test, scores in result.scores.items():
        fields: list[dict[str, Any]] = result.fields.get(test, [])
        found[test] = scores | {f"{FIELDS}/{row['field']}": row["f1"] for row in fields if row["support"]}
    return found


def _checks(path: str, floor: Floor, found: dict[str, dict[str, float]]) -> list[Check]:
    checks = []
    for test, scores in found.items():
        own = floor.name.removeprefix(f"{test}/") if test else floor.name
        if own not in scores:
            continue
        # A score that is no number is stored as null, and passes nothing.
        value = math.nan if scores[own] is None else scores[own]
        less = own.rpartition("/")[2] in LESS_IS_BETTER and not own.startswith(f"{FIELDS}/")
        limit = f"at {'most' if less else 'least'} {floor.least:g}"
        passes = value <= floor.least if less else value >= floor.least
        checks.append(Check("/".join(filter(None, [test, own])), value, limit, passes))
    if not checks:
        known = sorted({name for scores in found.values() for name in scores})
        raise ConfigError(f"--floor {floor.name}: {path} has no such score; {_nearest(floor.name, known, list(found))}")
    return checks


def _nearest(name: str, known: list[str], tests: list[str]) -> str:
    import difflib

    metric = name.rpartition("/")[2] if FIELDS not in name else name
    near = difflib.get_close_matches(metric, known, n=3, cutoff=0.5)
    some = ", ".join(near or [name for name in known if not name.startswith(f"{FIELDS}/")])
    return f"there are {some} (of {', '.join(filter(None, tests)) or 'all rows'})"
