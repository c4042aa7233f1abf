"""What extraction reaches without a model: the commonest answer, and the answer of the nearest training text.

    python scripts/tables/extraction_baselines.py --train train.jsonl --valid valid.jsonl --test test.jsonl

Texts are near by their character n-grams. With ``--valid``, measure and lengths of n-grams are those with the best
micro F1 there; the test file is looked at once. Prints a Markdown table with the scores of
``lit_llm.metrics.ExtractionMetrics``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_llm.data import ExtractionData
from lit_llm.data.hygiene.baselines import commonest_answer, nearest_answers
from lit_llm.data.hygiene.neighbours import Measure, Nearness
from lit_llm.data.tokens.dataset import Example
from lit_llm.errors import UserError
from lit_llm.metrics import ExtractionMetrics

MEASURES: tuple[Measure, ...] = ("jaccard", "cosine", "tfidf")
CANDIDATES = [Nearness(measure, *span) for measure in MEASURES for span in ((1, 5), (2, 4), (3, 5))]


def score(answers: Sequence[str], rows: Sequence[Example]) -> dict[str, float]:
    """Return the metrics of answers to rows."""
    metric = ExtractionMetrics()
    metric.update(list(answers), [row.reference for row in rows], [row.meta for row in rows])
    return metric.compute()


def choose(train: Sequence[Example], valid: Sequence[Example], candidates: Sequence[Nearness]) -> Nearness:
    """Return the candidate with the best micro F1 on the validation rows; of equals the first."""
    texts = [row.text for row in valid]
    reached = {one: score(nearest_answers(train, texts, one), valid)["field_f1"] for one in candidates}
    for one, value in reached.items():
        print(f"validation: {one}: micro F1 {value:.3f}", file=sys.stderr)
    return max(candidates, key=lambda one: reached[one])


def table(scores: dict[str, dict[str, float]]) -> str:
    """Return the Markdown table: valid is JSON that meets the schema, or any JSON where there is none."""
    lines = ["| baseline | micro F1 | exact match | valid |", "|---|---:|---:|---:|"]
    for name, values in scores.items():
        valid = values.get("schema_valid", values["strict_parse"])
        lines.append(f"| {name} | {values['field_f1']:.3f} | {values['exact_match']:.3f} | {valid:.3f} |")
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
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both baselines and print the table."""
    options = parse(arguments)
    try:
        data = ExtractionData(text_field=options.text_field, json_field=options.json_field, schema=options.schema)
        train, test = data.read(options.train), data.read(options.test)
        valid = data.read(options.valid) if options.valid else []
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    nearness = choose(train, valid, CANDIDATES) if valid else Nearness()
    answers: dict[str, Any] = {
        "commonest answer": [commonest_answer(train)] * len(test),
        f"nearest training text ({nearness})": nearest_answers(train, [row.text for row in test], nearness),
    }
    print(table({name: score(texts, test) for name, texts in answers.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
