"""What extraction reaches without a model: the commonest answer, and the answer of the nearest training text.

    python scripts/tables/extraction_baselines.py --train train.jsonl --valid valid.jsonl --test test.jsonl

Texts are near by their character n-grams. With ``--valid``, measure and lengths of n-grams are those with the best
micro F1 there; the test file is looked at once. With ``--catalogue`` and ``--field``, a third answer is that of the
nearest text with its names replaced by those of the catalogue that the text mentions most of, in this order. Prints a
Markdown table with the scores of ``ExtractionMetrics`` and ``WeightedF1``, two of them with 95 % intervals, from 1,000
resamples of rows.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lit_llm.catalogues import Catalogue, FieldPath, changed_at, field_path
from lit_llm.data import ExtractionData
from lit_llm.data.catalogues import FieldCatalogue, catalogue_meta
from lit_llm.data.hygiene.baselines import commonest_answer, nearest_answers
from lit_llm.data.hygiene.neighbours import Measure, Nearness
from lit_llm.data.tokens.dataset import Example
from lit_llm.errors import UserError
from lit_llm.metrics import ExtractionMetrics, WeightedF1, score_pair
from lit_llm.strict_json import dumps, loads

RESAMPLES = 1000
MEASURES: tuple[Measure, ...] = ("jaccard", "cosine", "tfidf")
CANDIDATES = [Nearness(measure, *span) for measure in MEASURES for span in ((1, 5), (2, 4), (3, 5))]


def score(answers: Sequence[str], rows: Sequence[Example]) -> dict[str, float]:
    """Return the metrics of answers to rows."""
    found: dict[str, float] = {}
    for metric in (ExtractionMetrics(), WeightedF1()):
        metric.update(list(answers), [row.reference for row in rows], [row.meta for row in rows])
        found |= metric.compute()
    return found | intervals(answers, rows)


def intervals(answers: Sequence[str], rows: Sequence[Example]) -> dict[str, float]:
    """Return the ends of 95 % intervals of ``field_f1`` and ``weighted_f1`` over resampled rows."""
    totals = [score_pair(row.reference, text).total for text, row in zip(answers, rows, strict=True)]
    counts = np.array([[total.tp, total.fp, total.fn] for total in totals], float)
    weighted = []
    for text, row in zip(answers, rows, strict=True):
        metric = WeightedF1()
        metric.update([text], [row.reference], [{}])
        weighted.append(metric.compute()["weighted_f1"])
    drawn = np.random.default_rng(0).integers(len(rows), size=(RESAMPLES, len(rows)))
    sums = counts[drawn].sum(1)
    both = 2 * sums[:, 0] + sums[:, 1] + sums[:, 2]
    resampled = {
        "field_f1": np.divide(2 * sums[:, 0], both, out=np.ones(len(both)), where=both > 0),
        "weighted_f1": np.array(weighted)[drawn].mean(1),
    }
    ends = {"low": 2.5, "high": 97.5}
    return {
        f"{name}_{end}": float(np.percentile(values, at))
        for name, values in resampled.items()
        for end, at in ends.items()
    }


def renamed(answers: Sequence[str], texts: Sequence[str], catalogue: Catalogue, path: FieldPath) -> list[str]:
    """Return answers whose names are those that the texts mention most of; the first name gets the likeliest one."""
    found = []
    for answer, text in zip(answers, texts, strict=True):
        names = iter(catalogue.mentioned(text, 50))
        found.append(dumps(changed_at(loads(answer), path, lambda name, place, names=names: next(names, name))))
    return found


def choose(train: Sequence[Example], valid: Sequence[Example], candidates: Sequence[Nearness]) -> Nearness:
    """Return the candidate with the best micro F1 on the validation rows; of equals the first."""
    texts = [row.text for row in valid]
    reached = {one: score(nearest_answers(train, texts, one), valid)["field_f1"] for one in candidates}
    for one, value in reached.items():
        print(f"validation: {one}: micro F1 {value:.3f}", file=sys.stderr)
    return max(candidates, key=lambda one: reached[one])


def table(scores: dict[str, dict[str, float]]) -> str:
    """Return the Markdown table: valid is JSON that meets the schema, or any JSON where there is none."""
    lines = ["| baseline | micro F1 | weighted F1 | exact match | valid |", "|---|---:|---:|---:|---:|"]
    for name, values in scores.items():
        shown = [
            f"{values[one]:.3f} ({values[f'{one}_low']:.3f} to {values[f'{one}_high']:.3f})"
            for one in ("field_f1", "weighted_f1")
        ]
        valid = values.get("schema_valid", values["strict_parse"])
        lines.append(f"| {name} | {' | '.join(shown)} | {values['exact_match']:.3f} | {valid:.3f} |")
    return "\n".join(lines)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="JSONL, CSV, TSV or Parquet with text and JSON")
    parser.add_argument("--test", type=Path, required=True, help="file that is measured")
    parser.add_argument("--valid", type=Path, help=f"file that decides nearness; by default it is {Nearness()}")
    parser.add_argument("--text-field", default="text", help="column of the text (default text)")
    parser.add_argument("--json-field", default="json", help="column of the JSON value (default json)")
    parser.add_argument("--schema", help="JSON schema file of the values")
    parser.add_argument("--catalogue", help="file of the names that a field is taken from")
    parser.add_argument("--column", help="column of the names, where the file has several")
    parser.add_argument("--field", help="name of that field, such as purchases[].product_name")
    options = parser.parse_args(arguments)
    if (options.catalogue is None) != (options.field is None):
        parser.error("--catalogue, --field: one goes with the other")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both baselines and print the table."""
    options = parse(arguments)
    try:
        data = ExtractionData(text_field=options.text_field, json_field=options.json_field, schema=options.schema)
        train, test = data.read(options.train), data.read(options.test)
        valid = data.read(options.valid) if options.valid else []
        field = {options.field: FieldCatalogue(options.catalogue, options.column)} if options.field else {}
        kept = catalogue_meta(field)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    nearness, texts = choose(train, valid, CANDIDATES) if valid else Nearness(), [row.text for row in test]
    near = nearest_answers(train, texts, nearness)
    answers: dict[str, Any] = {
        "commonest answer": [commonest_answer(train)] * len(test),
        f"nearest training text ({nearness})": near,
    }
    for name, own in kept.items():
        opened = Catalogue.opened(own["folder"])
        answers["the same with names of the text"] = renamed(near, texts, opened, field_path(name, "--field"))
    print(table({name: score(texts, test) for name, texts in answers.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
