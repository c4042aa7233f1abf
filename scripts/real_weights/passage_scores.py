#!/usr/bin/env python3
"""Print how right answers about passages are, and how well the passages were found, with 95 % intervals.

    scripts/real_weights/passage_scores.py --rows test.jsonl RUN/answers/gold.csv RUN/answers/words.csv …

The files are those of ``predict``. Intervals come from a bootstrap over contexts, as the questions about one are alike.
A passage is found where it is a piece of the document that a row names in ``pos_name``; rows that were given their
passages have no recall. A file that lacks a row is refused.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from probe import interval

from lit_llm.batch import Prediction
from lit_llm.metrics.answers import SCORES
from lit_llm.report.predictions import read_predictions

FIRST = (1, 2)
"""Among how many passages the right one is looked for."""


def scores(answer: Prediction, row: dict[str, Any]) -> dict[str, float]:
    """Return what one answer scores."""
    found = {name: max(score(answer.prediction, gold) for gold in row["answers"]) for name, score in SCORES.items()}
    read = [passage["document"] for passage in answer.meta.get("passages", [])]
    if read and all(isinstance(document, str) for document in read):
        found |= {f"recall@{n}": float(any(name in row["pos_name"] for name in read[:n])) for n in FIRST}
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rows", type=Path, required=True, help="JSONL of the questions, as passage_rows.py writes it")
    options = parser.parse_args()
    asked = [json.loads(line) for line in options.rows.read_text(encoding="utf-8").splitlines()]
    contexts = sorted({row["docs"][0] for row in asked})
    of_row = np.array([contexts.index(row["docs"][0]) for row in asked])
    columns = [*SCORES, *(f"recall@{n}" for n in FIRST)]
    print(f"{len(asked)} questions about {len(contexts)} contexts\n")
    print(f"| | {' | '.join(columns)} |\n{'|---' * (len(columns) + 1)}|")
    for file in options.files:
        answers = {answer.id: answer for answer in read_predictions(file)}
        if missing := [row["id"] for row in asked if row["id"] not in answers]:
            parser.error(f"{file}: {len(missing)} rows are missing, such as {missing[0]}: let predict finish it")
        found = [scores(answers[row["id"]], row) for row in asked]
        cells = []
        for name in columns:
            values = np.array([row.get(name, np.nan) for row in found])
            known = ~np.isnan(values)
            tops = np.bincount(of_row[known], values[known], len(contexts))
            bottoms = np.bincount(of_row[known], minlength=len(contexts)).astype(float)
            cells.append(interval(tops[bottoms > 0], bottoms[bottoms > 0]) if known.any() else "")
        print(f"| {file.parent.parent.name} {file.stem} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
