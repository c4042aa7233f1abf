"""Make the tables of docs/results.md: train and test every run of them, then write the figures between their markers.

    python scripts/tables/extraction_table.py                 # the orders
    python scripts/tables/extraction_table.py --only lora-s0  # one run, to see how it goes
    python scripts/tables/extraction_table.py --tables-only   # write the tables again from the runs that are there

A run that is finished is not made again; one that was stopped goes on. Runs are started ``--workers`` at a time with
``--threads`` each, which changes how long they take but not what they print.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from results import ROOT, cell, lit_llm, metrics, train, write

FOLDER = ROOT / "checkpoints" / "table"
TESTS = ("known", "phrasings", "products", "noisy")
PLAIN = ["--data.augmentation_factor", "1"]


@dataclass(frozen=True)
class Variant:
    """One line of a table: a run file with options, over some seeds."""

    name: str
    title: str
    config: str = "extraction_tiny"
    options: list[str] = field(default_factory=list)
    seeds: tuple[int, ...] = (0,)
    trained: bool = True


def _epochs(count: int) -> list[str]:
    return ["--trainer.max_epochs", str(count)]


ADAPTER = "--model.init_args.adapter.init_args"
NARROW = [f"{ADAPTER}.r", "8", f"{ADAPTER}.alpha", "16"]
LINEAR = '{"name": "linear", "warmup": 0}'
MAIN = [
    Variant("base", "base, untuned", trained=False),
    Variant("lora", "LoRA, augmented", seeds=(0, 1, 2)),
    Variant("plain", "LoRA, not augmented, equal steps", options=[*PLAIN, *_epochs(5)], seeds=(0, 1, 2)),
    Variant("dora", "DoRA, augmented", "extraction_tiny_dora"),
    Variant("vera", "VeRA, augmented", "extraction_tiny_vera"),
    Variant("full", "full fine-tuning, augmented", "extraction_tiny_full"),
]
ABLATION = [
    Variant("lora", "as the demo: r 16 on q,k,v,o; answer-only loss; cosine with warm-up"),
    Variant("r8qv", "r 8 on q,v", options=[*NARROW, f"{ADAPTER}.target_modules", "[q_proj,v_proj]"]),
    Variant("text", "full-text loss", options=["--data.init_args.learn", "text"]),
    Variant("linear", "linear schedule without warm-up", options=["--model.init_args.schedule", LINEAR]),
]


def run(variant: Variant, seed: int, threads: int) -> None:
    """Train and test one run, unless it is done."""
    folder = FOLDER / f"{variant.name}-s{seed}"
    if scores(folder):
        return
    common = ["--config", f"configs/run/{variant.config}.yaml", *variant.options]
    common += ["--seed_everything", str(seed), "--trainer.default_root_dir", str(folder)]
    common += ["--trainer.enable_progress_bar", "false"]
    if variant.trained:
        train(folder, common, threads)
    checkpoint = "best" if variant.trained else "none"
    lit_llm("test", [*common, "--ckpt_path", checkpoint], folder / "test.log", threads)
    print(f"{folder.name}: {scores(folder)}", flush=True)


def scores(folder: Path) -> dict[str, float]:
    """Return micro F1 by test, from the run's metrics.csv; empty where the run is not finished."""
    found = metrics(folder)
    wanted = {test: found.get(f"test/{test}/field_f1") for test in TESTS}
    return {test: value for test, value in wanted.items() if value is not None}


def table(variants: list[Variant]) -> str:
    """Return a Markdown table: mean over seeds, ± standard deviation where there are several."""
    lines = [f"| run | seeds | {' | '.join(TESTS)} |", f"|---|---|{'---|' * len(TESTS)}"]
    for variant in variants:
        found = [scores(FOLDER / f"{variant.name}-s{seed}") for seed in variant.seeds]
        if all(found):
            cells = [cell([one[test] for one in found]) for test in TESTS]
            lines.append(f"| {variant.title} | {len(found)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Make what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    parser.add_argument("--only", nargs="*", default=[], help="names of runs, such as lora-s0")
    parser.add_argument("--tables-only", action="store_true", help="train nothing")
    options = parser.parse_args()
    jobs = {f"{v.name}-s{seed}": (v, seed) for v in [*MAIN, *ABLATION] for seed in v.seeds}
    wanted = (
        [] if options.tables_only else [job for name, job in jobs.items() if not options.only or name in options.only]
    )
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda job: run(*job, options.threads), wanted))
    write("main", table(MAIN))
    write("ablation", table(ABLATION))
    print(f"{table(MAIN)}\n\n{table(ABLATION)}")


if __name__ == "__main__":
    main()
