"""Print what each stage of CLaRa adds on generated passages, and the text of passages beside it.

    python scripts/tables/clara_table.py --seeds 0 1 2

Trains the three stages of ``configs/run/clara_tiny_*.yaml`` for each seed, and the same base with the text of passages
in the prompt, on the rows of the first two stages. Each is asked about people whom no training names: from the passage
that holds the answer (``gold``), from that of another row (``rolled``), and from the likest of 20 (``among``), which
BM25 finds for the text. A run that is finished is not made again; one that was stopped goes on. Hours on a core.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from results import ROOT, cell, lit_llm, metrics, train

sys.path.insert(0, str(ROOT))

from scripts.demo_data.make_facts import SIZES, make_facts

FOLDER = ROOT / "checkpoints" / "clara_table"
FIRST = {"1a": "pretrain_1", "1b": "pretrain_few", "1": "pretrain"}
"""The runs of the first stage, each going on from the one before, with ever longer passages."""

ROWS = FIRST | {"2": "instruct", "3": "search", "text": "text"}
BEFORE = {"1b": "1a", "1": "1b", "2": "1", "3": "2"}
TITLES = {"1": "`compress`", "2": "`instruct`", "3": "`end_to_end`", "text": "text of the passages"}
COLUMNS = {
    "test/gold/em": "exact match",
    "test/gold/f1": "F1",
    "test/rolled/em": "passages of others",
    "test/among/recall@1": "recall@1 of 20",
    "test/among/em": "exact match of 20",
}


def run(name: str, options: list[str], folder: Path, facts: Path, threads: int) -> None:
    """Train a system and ask it, in what is not done yet."""
    target = folder / name
    train(target, [*options, "--trainer.default_root_dir", str(target)], threads)
    if name not in TITLES:
        return
    own = ["--data.retriever", "lit_llm.retrieval.BM25", "--data.candidates", "1"] if name == "text" else []
    asked: dict[str, tuple[str, list[str]]] = {
        "gold": ("test_gold", []),
        "rolled": ("test_gold", ["--data.corrupt", "rolled"]),
        "among": ("test_among", own or ["--data.reads", "1"]),
    }
    for test, (file, more) in asked.items():
        if f"test/{test}/em" not in metrics(target):
            files = ["--data.test", json.dumps({test: str(facts / f"{file}.jsonl")})]
            lit_llm("test", ["--config", str(target / "config.yaml"), *files, *more], target / f"{test}.log", threads)


def options_of(name: str, folder: Path, facts: Path) -> list[str]:
    """Return the options that train a system."""
    files = ["--data.valid", str(facts / "valid_gold.jsonl"), "--data.train"]
    if name == "3":
        files[1] = str(facts / "valid_among.jsonl")
    shown = ["--model", "lit_llm.models.CausalLM", "--data.passages", "text"] if name == "text" else []
    earlier = ["--model.start_from", str(folder / BEFORE[name])] if name in BEFORE else []
    stage = name if name in ("2", "3") else "1"
    rows = str(facts / f"{ROWS[name]}.jsonl")
    return ["--config", f"configs/run/clara_tiny_{stage}.yaml", *shown, *earlier, *files, rows]


def table(folders: Sequence[Path]) -> str:
    """Return a Markdown table of means over seeds, with standard deviations."""
    lines = ["| | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, title in TITLES.items():
        found = [metrics(folder / name) for folder in folders if (folder / name).exists()]
        cells = [
            cell([one[key] for one in found]) if found and all(key in one for one in found) else "" for key in COLUMNS
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Make what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS), help="systems to make (all)")
    parser.add_argument("--work", type=Path, default=FOLDER)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    facts = options.work / "facts"
    if not (facts / "text.jsonl").exists():
        make_facts(facts, SIZES, 0)
        learned = [(facts / f"{name}.jsonl").read_text(encoding="utf-8") for name in (*FIRST.values(), "instruct")]
        (facts / "text.jsonl").write_text("".join(learned), encoding="utf-8")
    folders = [options.work / f"seed{seed}" for seed in options.seeds]
    for seed, folder in zip(options.seeds, folders, strict=True):
        for name in options.only:
            run(
                name, [*options_of(name, folder, facts), "--seed_everything", str(seed)], folder, facts, options.threads
            )
    print(table(folders))


if __name__ == "__main__":
    main()
