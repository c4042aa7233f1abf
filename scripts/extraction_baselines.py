"""What extraction reaches without a model: the commonest answer, and the answer of the nearest training text.

    python scripts/extraction_baselines.py --train train.jsonl --valid valid.jsonl --test test.jsonl

Texts are near by their character n-grams. With ``--valid``, measure and lengths of n-grams are those with the best
micro F1 there; the test file is looked at once. Prints a Markdown table with the scores of
``lit_llm.metrics.ExtractionMetrics``.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lit_llm.data import ExtractionData
from lit_llm.data.dataset import Example
from lit_llm.errors import UserError
from lit_llm.metrics import ExtractionMetrics

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Measure = Literal["jaccard", "cosine", "tfidf"]
BLOCK = 512
"""Texts compared with all training texts at once."""


@dataclass(frozen=True)
class Nearness:
    """How near two texts are.

    Attributes:
        measure: ``jaccard`` of the sets of n-grams, ``cosine`` of their counts, or ``tfidf``: cosine of counts weighted
            by log((1 + N) / (1 + texts that hold the n-gram)) + 1.
        shortest: characters of the shortest n-grams.
        longest: characters of the longest.
    """

    measure: Measure = "jaccard"
    shortest: int = 1
    longest: int = 5

    def __str__(self) -> str:
        """Return it as the table writes it."""
        return f"{self.measure}, n = {self.shortest} to {self.longest}"


MEASURES: tuple[Measure, ...] = ("jaccard", "cosine", "tfidf")
CANDIDATES = [Nearness(measure, *span) for measure in MEASURES for span in ((1, 5), (2, 4), (3, 5))]


def ngrams(text: str, shortest: int, longest: int) -> Counter[str]:
    """Count the n-grams of a text, without regard to case; white space is one blank, also at both ends."""
    padded = f" {' '.join(text.casefold().split())} "
    return Counter(padded[i : i + n] for n in range(shortest, longest + 1) for i in range(len(padded) - n + 1))


@dataclass
class Neighbours:
    """Finds the training text nearest to another.

    Args:
        texts: the training texts.
        nearness: what near means.
    """

    texts: Sequence[str]
    nearness: Nearness
    columns: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        grams = [self._ngrams(text) for text in self.texts]
        held = Counter(gram for one in grams for gram in one)
        self.columns = {gram: column for column, gram in enumerate(held)}
        idf = [math.log((1 + len(grams)) / (1 + count)) + 1 for count in held.values()]
        self.weights = np.array(idf if self.nearness.measure == "tfidf" else [1.0] * len(idf))
        self.matrix, self.sizes = self._vectors(grams)

    def nearest(self, texts: Sequence[str]) -> list[int]:
        """Return the index of the nearest training text for each text; of equally near ones the first."""
        found: list[int] = []
        for start in range(0, len(texts), BLOCK):
            matrix, sizes = self._vectors([self._ngrams(text) for text in texts[start : start + BLOCK]])
            shared = (matrix @ self.matrix.T).toarray()
            if self.nearness.measure == "jaccard":
                likeness = shared / np.maximum(sizes[:, None] + self.sizes[None] - shared, 1)
            else:
                # A text's own norm scales its whole row, which changes no order.
                likeness = shared / np.maximum(np.sqrt(self.sizes)[None], 1e-12)
            # Rounded, so that sums of floats in another order do not break ties otherwise.
            found += likeness.round(9).argmax(1).tolist()
        return found

    def _ngrams(self, text: str) -> Counter[str]:
        return ngrams(text, self.nearness.shortest, self.nearness.longest)

    def _vectors(self, grams: Iterable[Counter[str]]) -> tuple[csr_matrix, np.ndarray]:
        """Return a row per text, and each text's squared norm, in which n-grams of no training text count too."""
        from scipy.sparse import csr_matrix

        values: list[float] = []
        columns: list[int] = []
        ends, sizes = [0], []
        for counts in grams:
            found = {self.columns[gram]: count for gram, count in counts.items() if gram in self.columns}
            once = self.nearness.measure == "jaccard"
            row = [1.0 if once else count * float(self.weights[column]) for column, count in found.items()]
            values += row
            columns += found
            ends.append(len(values))
            sizes.append(len(counts) if once else sum(value * value for value in row))
        return csr_matrix((values, columns, ends), shape=(len(sizes), len(self.columns))), np.array(sizes)


def majority(train: Sequence[Example]) -> str:
    """Return the commonest whole answer, the order of keys aside; of equally common ones the first."""
    forms = [json.dumps(example.reference, sort_keys=True) for example in train]
    (commonest, _), *_ = Counter(forms).most_common(1)
    return answer(train[forms.index(commonest)])


def answer(example: Example) -> str:
    """Return the expected answer as text."""
    return example.answer or ""


def neighbour_answers(train: Sequence[Example], texts: Sequence[str], nearness: Nearness) -> list[str]:
    """Return for each text the answer of the nearest training text."""
    nearest = Neighbours([example.text for example in train], nearness).nearest(texts)
    return [answer(train[index]) for index in nearest]


def score(answers: Sequence[str], rows: Sequence[Example]) -> dict[str, float]:
    """Return the metrics of answers to rows."""
    metric = ExtractionMetrics()
    metric.update(list(answers), [row.reference for row in rows], [row.meta for row in rows])
    return metric.compute()


def choose(train: Sequence[Example], valid: Sequence[Example], candidates: Sequence[Nearness]) -> Nearness:
    """Return the candidate with the best micro F1 on the validation rows; of equals the first."""
    texts = [row.text for row in valid]
    reached = {one: score(neighbour_answers(train, texts, one), valid)["field_f1"] for one in candidates}
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
        "commonest answer": [majority(train)] * len(test),
        f"nearest training text ({nearness})": neighbour_answers(train, [row.text for row in test], nearness),
    }
    print(table({name: score(texts, test) for name, texts in answers.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
