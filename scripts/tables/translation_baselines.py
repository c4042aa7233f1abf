"""What translation reaches without a model, as prediction files that `python -m lit_llm compare` reads.

    python scripts/tables/translation_baselines.py --train train.jsonl --test dev.jsonl
    python -m lit_llm compare checkpoints/baselines/*.csv

Four of them: ``copy`` repeats the source; ``memory`` answers with the translation of the nearest training source by
character 3-grams; ``shuffled`` gives the right translations to the wrong rows; ``constant`` answers every row with the
one training sentence that scores best, which shows how good a system can look that ignores its input.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from lit_llm.batch import Prediction
from lit_llm.callbacks.prediction_file import COLUMNS, cells, encode
from lit_llm.data import TranslationData
from lit_llm.data.hygiene.neighbours import Nearness, Neighbours
from lit_llm.data.tokens.dataset import Example
from lit_llm.errors import UserError

FINALISTS = 20
"""Constants that are scored exactly; the others are ranked by n-grams that they share with all references at once."""


def constant(candidates: Sequence[str], references: Sequence[str]) -> str:
    """Return the candidate with the best corpus chrF++ as the answer to every row."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF(word_order=2)
    orders = [Counter[tuple[str, int]]() for _ in range(metric.order)]
    totals = [0] * metric.order
    for reference in references:
        for k, grams in enumerate(_grams(reference)):
            totals[k] += sum(grams.values())
            # The k-th copy of an n-gram is a feature of its own, so that sums over features are sums of minima.
            orders[k].update((gram, copy) for gram, count in grams.items() for copy in range(count))
    ranked = sorted(set(candidates), key=lambda text: -_shared(text, orders, totals, len(references)))[:FINALISTS]
    exact = {text: metric.corpus_score([text] * len(references), [list(references)]).score for text in ranked}
    return max(exact, key=lambda text: exact[text])


def _shared(text: str, orders: list[Counter[tuple[str, int]]], totals: list[int], rows: int) -> float:
    from sacrebleu.metrics.chrf import CHRF

    statistics: list[int] = []
    for k, grams in enumerate(_grams(text)):
        match = sum(orders[k][gram, copy] for gram, count in grams.items() for copy in range(count))
        statistics += [sum(grams.values()) * rows, totals[k], match]
    return float(CHRF(word_order=2)._compute_f_score(statistics))


def _grams(text: str) -> list[Counter[str]]:
    from sacrebleu.metrics.chrf import CHRF

    found: list[Counter[str]] = CHRF(word_order=2)._extract_reference_info([text])["ref_ngrams"][0]
    return found


def baselines(train: Sequence[Example], rows: Sequence[Example], seed: int = 0) -> dict[str, list[Prediction]]:
    """Return the answers of each baseline to the rows."""
    nearest = Neighbours([e.text for e in train], Nearness("cosine", 3, 3)).nearest([e.text for e in rows])
    references = [e.answer or "" for e in rows]
    shuffled = random.Random(seed).sample(references, len(references))
    answers = {
        "copy": [e.text for e in rows],
        "memory": [train[index].answer or "" for index in nearest],
        "shuffled": shuffled,
        "constant": [constant([e.answer or "" for e in train], references)] * len(rows),
    }
    return {
        name: [
            Prediction(id=e.id, text=e.text, prediction=text, reference=e.answer or "", meta=e.meta)
            for e, text in zip(rows, texts, strict=True)
        ]
        for name, texts in answers.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a prediction file for each baseline."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="pairs to answer from")
    parser.add_argument("--test", required=True, help="pairs to answer")
    parser.add_argument("--direction", default="es-nah", help="such as es-nah")
    parser.add_argument("--output", type=Path, default=Path("checkpoints/baselines"), help="folder of the files")
    options = parser.parse_args(arguments)
    try:
        data = TranslationData(train=options.train, test={"test": options.test}, directions=[options.direction])
        splits = data.read_splits()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.output.mkdir(parents=True, exist_ok=True)
    for name, rows in baselines(splits["train"], splits["test"]).items():
        (options.output / f"{name}.csv").write_bytes(encode([COLUMNS, *map(cells, rows)]))
        print(f"{options.output / name}.csv: {len(rows)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
