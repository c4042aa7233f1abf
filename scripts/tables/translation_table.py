"""Make the translation table of docs/results.md: train in both directions, answer, compare with answers of no model.

    python scripts/tables/translation_table.py --pairs train.jsonl --test dev.jsonl

A twentieth of the pairs is set aside for validation, by cluster. The test is answered as it is, and once more with each
source replaced by that of another row: what that costs is what the model learned from its input. A run that is finished
is not made again; one that was stopped goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from results import ROOT, lit_llm, train, write
from translation_baselines import baselines

from lit_llm.batch import Prediction
from lit_llm.data import TranslationData
from lit_llm.data.records.reading import read_rows
from lit_llm.report.comparison import Compared, aligned, compare_translations
from lit_llm.report.files import write_jsonl
from lit_llm.report.predictions import read_predictions, rows_with

FOLDER = ROOT / "checkpoints" / "translation_table"
DECODING = {"repetition_penalty": 1.1, "no_repeat_ngram_size": 4}
"""How the test is answered: of 16 pairs of settings, the one with the best chrF++ on the validation split."""

SCORES = ("chrfpp", "chrf", "bleu")
GENERATOR = "--model.init_args.generator.init_args"
TITLES = {
    "model": "model",
    "moved": "model, sources of other rows",
    "copy": "source copied",
    "memory": "translation memory (character 3-grams)",
    "shuffled": "references of other rows",
    "constant": "best constant training sentence",
}


def moved(count: int, seed: int = 0) -> list[int]:
    """Return for each row another one, each taken once."""
    order = random.Random(seed).sample(range(count), count)
    following = dict(zip(order, order[1:] + order[:1], strict=True))
    return [following[row] for row in range(count)]


def move_sources(test: Path, direction: str, target: Path) -> None:
    """Write the test's rows that can be scored in a direction, each with the source of another one."""
    source, answer = direction.split("-")
    rows = [row for row in read_rows(test) if str(row.get(source) or "").strip() and str(row.get(answer) or "").strip()]
    others = moved(len(rows))
    write_jsonl(target, ({**row, source: rows[other][source]} for row, other in zip(rows, others, strict=True)))


def answers(pairs: Path, test: Path, direction: str) -> dict[str, list[Prediction]]:
    """Return the answers of the model and of the baselines to the test, by system and in one order of rows."""
    files = {"model": FOLDER / "dev.csv", "moved": FOLDER / f"moved-{direction}.csv"}
    data = TranslationData(train=str(pairs), test={"dev": str(test)}, directions=[direction])
    splits = data.read_splits()
    systems = {name: _by_pair(path, direction) for name, path in files.items()}
    systems |= baselines(splits["train"], splits["dev"])
    return aligned(systems)


def _by_pair(path: Path, direction: str) -> list[Prediction]:
    """Return the scored rows of a direction under the ids of their pairs, to which a run in both adds the direction."""
    rows = rows_with(read_predictions(path), [f"direction={direction}"], path)
    return [replace(row, id=row.meta["pair"]) for row in rows if row.reference]


def table(found: dict[str, dict[str, Compared]]) -> str:
    """Return a Markdown table: scores with 95 % intervals, and the p-value of the difference from the model."""
    lines = ["| system | chrF++ | chrF | BLEU | p (chrF++) |", "|---|---|---|---|---|"]
    for system, scores in found.items():
        cells = [f"{scores[name].value:.2f} ± {scores[name].half_interval:.2f}" for name in SCORES]
        p_value = scores["chrfpp"].p_value
        lines.append(f"| {TITLES[system]} | {' | '.join(cells)} | {'' if p_value is None else f'{p_value:.4f}'} |")
    return "\n".join(lines)


def _check_same(pairs: Path, test: Path, others: list[str]) -> None:
    """Stop where the folder holds a run of other data or settings, whose answers would stand in the new table."""
    made_from = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (pairs, test)] + others
    note = FOLDER / "made_from.json"
    if note.exists() and json.loads(note.read_text()) != made_from:
        sys.exit(f"error: {FOLDER} was made from other files or options; remove it to begin anew")
    FOLDER.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(made_from))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path, required=True, help="pairs to learn from")
    parser.add_argument("--test", type=Path, required=True, help="pairs to answer")
    parser.add_argument("--threads", type=int, default=2)
    options, others = parser.parse_known_args(arguments)
    pairs, test = options.pairs.resolve(), options.test.resolve()
    _check_same(pairs, test, others)
    split = FOLDER / "split"
    if not split.exists():
        parts = ["--fields", "es,nah", "--valid", "0.05", "--test", "0", "--output", str(split)]
        lit_llm("split", [str(pairs), *parts], FOLDER / "split.log", options.threads)
    files = ["--data.train", f"{split}/train.jsonl", "--data.valid", f"{split}/valid.jsonl"]
    run = ["--config", "configs/run/translation_tiny.yaml", *files, *others, "--trainer.default_root_dir", str(FOLDER)]
    train(FOLDER, [*run, "--data.test", json.dumps({"dev": str(test)})], options.threads)
    asked: dict[str, tuple[Path, list[str]]] = {"dev": (test, [])}
    for direction in ("es-nah", "nah-es"):
        file = FOLDER / f"moved-{direction}.jsonl"
        move_sources(test, direction, file)
        asked[file.stem] = (file, ["--data.directions", f"[{direction}]"])
    how = [f"{GENERATOR}.{key}={value}" for key, value in DECODING.items()]
    for name, (file, more) in asked.items():
        where = ["--data.test", json.dumps({name: str(file)}), "--predictions", str(FOLDER / f"{name}.csv")]
        command = ["--config", str(FOLDER / "config.yaml"), *where, *more, *how]
        lit_llm("predict", command, FOLDER / f"{name}.log", options.threads)
    for direction in ("es-nah", "nah-es"):
        found = compare_translations(answers(pairs, test, direction), SCORES, 1000, 12345)
        write(direction, table(found))
        print(f"{direction}\n{table(found)}\n")


if __name__ == "__main__":
    main()
