#!/usr/bin/env python3
"""Make rows of extraction out of questions on English texts: a sentence and a question become ``{"answer": …}``.

    scripts/real_weights/english_rows.py --output FOLDER --train SQUAD.parquet --test XQUAD.jsonl

Both files have columns ``context``, ``question`` and ``answer``; of one with a column ``lang``, the English rows are
taken. Of a context only the sentence that holds the answer is kept (of several, the one that shares most words with the
question), so that a row is short. Rows without an answer, or whose answer lies in no single sentence, are left out and
counted. Of the training rows, every tenth context is for validation.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, cut where an end mark is followed by a blank and a capital, digit or quote."""
    return re.split(r"(?<=[.!?])\s+(?=[A-Z0-9\"“])", text.strip())


def row_of(context: str, question: str, answer: str) -> dict[str, Any] | str:
    """Return a row, or the reason why there is none."""
    if not answer.strip():
        return "no answer"
    holding = [sentence for sentence in sentences(context) if answer in sentence]
    if not holding:
        return "answer in no single sentence"
    asked = set(re.findall(r"\w+", question.lower()))
    chosen = max(holding, key=lambda sentence: len(asked & set(re.findall(r"\w+", sentence.lower()))))
    return {"text": f"{chosen}\n{question.strip()}", "json": {"answer": answer}}


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet or JSONL file."""
    if file.suffix == ".parquet":
        found: list[dict[str, Any]] = parquet.read_table(file).to_pylist()
        return found
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def write(rows: Iterable[dict[str, Any]], file: Path) -> None:
    """Write what can be used of the rows, and print what was left out."""
    counts: Counter[str] = Counter()
    with file.open("w", encoding="utf-8") as output:
        for row in rows:
            made = row_of(row["context"], row["question"], row["answer"])
            counts[made if isinstance(made, str) else "rows"] += 1
            if not isinstance(made, str):
                output.write(json.dumps(made, ensure_ascii=False) + "\n")
    print(f"{file}: {dict(counts)}")


def main() -> None:
    """Write train.jsonl, valid.jsonl and test.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True, help="rows to learn from, JSONL or Parquet")
    parser.add_argument("--test", type=Path, required=True, help="rows to be asked, JSONL or Parquet")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    options = parser.parse_args()
    train, test = (
        [row for row in read(file) if row.get("lang", "en") == "en"] for file in (options.train, options.test)
    )
    tested = {row["context"] for row in test}
    if shared := tested & {row["context"] for row in train}:
        parser.error(f"{len(shared)} contexts are in both files, such as {min(shared)[:60]!r}")
    contexts = {context: place for place, context in enumerate(dict.fromkeys(row["context"] for row in train))}
    options.output.mkdir(parents=True, exist_ok=True)
    write((row for row in train if contexts[row["context"]] % 10), options.output / "train.jsonl")
    write((row for row in train if not contexts[row["context"]] % 10), options.output / "valid.jsonl")
    write(test, options.output / "test.jsonl")


if __name__ == "__main__":
    main()
