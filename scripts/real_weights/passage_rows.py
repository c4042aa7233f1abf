#!/usr/bin/env python3
"""Make rows with passages, for the stages of CLaRa and for what they are compared with, out of published questions.

    scripts/real_weights/passage_rows.py --published PAIRS --train SQUAD --test XQUAD --output FOLDER

``--published`` holds passages with lists of questions and answers; the others have the columns ``context``,
``question`` and ``answer``, and of one with a column ``lang`` the English rows are taken. Questions without an answer
are left out and counted; their contexts stay. Of the training contexts every tenth is for validation. Written are

- ``pretrain.jsonl``: the published passages, and each training context, with all their questions;
- ``again.jsonl``: each of those passages once more, to be written down as it is;
- ``instruct.jsonl``: each training question with its context and another one, in any order;
- ``train.jsonl``, ``valid.jsonl``, ``test.jsonl``: each question with its context;
- ``train_corpus.jsonl``, ``test_corpus.jsonl``: the contexts of training and validation; and those of all splits.

A test context of which eight words in a row stand in a passage to learn from is refused.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from english_rows import read

from lit_llm.report.files import write_jsonl

Rows = list[dict[str, Any]]

ALIKE = 8
"""Words in a row that two texts do not share by chance."""


def answered(file: Path) -> tuple[Rows, list[str]]:
    """Return the English questions of a file that have an answer, and the contexts of all, each once."""
    rows = [row for row in read(file) if row.get("lang", "en") == "en"]
    kept = [row for row in rows if str(row["answer"] or "").strip()]
    contexts = list(dict.fromkeys(row["context"] for row in rows))
    print(
        f"{file}: {len(contexts)} contexts, {len(kept)} questions; {len(rows) - len(kept)} without an answer left out"
    )
    return kept, contexts


def shingles(text: str) -> set[tuple[str, ...]]:
    """Return every run of words of a text that tells it from others."""
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[at : at + ALIKE]) for at in range(len(words) - ALIKE + 1)}


def rows_of(asked: Rows, names: dict[str, str], split: str) -> Rows:
    """Return a row for each question, with its context as the passage that answers it."""
    return [
        {
            "id": f"{split}-{at}",
            "question": row["question"],
            "answers": [row["answer"]],
            "docs": [row["context"]],
            "pos_index": [0],
            "pos_name": [names[row["context"]]],
        }
        for at, row in enumerate(asked)
    ]


def together(rows: Rows) -> Rows:
    """Return a row for each passage, with all its questions."""
    by_passage: dict[str, Rows] = {}
    for row in rows:
        by_passage.setdefault(row["docs"][0], []).append(row)
    return [
        {
            "id": f"context-{at}",
            "question": [row["question"] for row in own],
            "answers": [row["answers"][0] for row in own],
            "docs": [passage],
        }
        for at, (passage, own) in enumerate(by_passage.items())
    ]


def retold(passages: Iterable[str]) -> Rows:
    """Return a row for each passage, whose answer is the passage."""
    return [
        {"id": f"again-{at}", "data_type": "paraphrase", "question": [], "answers": [passage], "docs": [passage]}
        for at, passage in enumerate(passages)
    ]


def in_company(rows: Rows, seed: int = 0) -> Rows:
    """Return rows with one more passage, of another row, before or behind their own."""
    rng = random.Random(seed)
    passages = sorted({row["docs"][0] for row in rows})
    found = []
    for row in rows:
        own = row["docs"][0]
        other = rng.choice([passage for passage in passages if passage != own])
        place = rng.randrange(2)
        found.append(row | {"docs": [own, other] if place == 0 else [other, own], "pos_index": [place]})
    return found


def write(rows: Rows, file: Path) -> None:
    """Write rows as JSONL and say how many."""
    write_jsonl(file, rows)
    print(f"{file}: {len(rows)} rows")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", type=Path, required=True, help="passages with lists of questions, JSONL")
    parser.add_argument("--train", type=Path, required=True, help="questions to learn from, JSONL or Parquet")
    parser.add_argument("--test", type=Path, required=True, help="questions to be asked, JSONL or Parquet")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    published = read(options.published)
    (train, learned), (test, asked) = answered(options.train), answered(options.test)
    told = [passage for row in published for passage in row["docs"]]
    known = set().union(*map(shingles, [*learned, *told]))
    if shared := [context for context in asked if shingles(context) & known]:
        parser.error(f"{len(shared)} contexts of the test are in training, such as {shared[0][:60]!r}")
    names = {context: f"context {place}" for place, context in enumerate([*learned, *asked])}
    tenth = set(learned[::10])
    splits = {
        "train": [row for row in train if row["context"] not in tenth],
        "valid": [row for row in train if row["context"] in tenth],
        "test": test,
    }
    options.output.mkdir(parents=True, exist_ok=True)
    made = {split: rows_of(rows, names, split) for split, rows in splits.items()}
    for split, rows in made.items():
        write(rows, options.output / f"{split}.jsonl")
    write([*published, *together(made["train"])], options.output / "pretrain.jsonl")
    again = [*told, *(context for context in learned if context not in tenth)]
    write(retold(again), options.output / "again.jsonl")
    write(in_company(made["train"]), options.output / "instruct.jsonl")
    corpus = [{"id": name, "text": context} for context, name in names.items()]
    write(corpus[: len(learned)], options.output / "train_corpus.jsonl")
    write(corpus, options.output / "test_corpus.jsonl")


if __name__ == "__main__":
    main()
