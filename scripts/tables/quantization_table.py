"""Make the table of quantization in docs/results.md: one task, trained unrounded and rounded, and stored in few bits.

    python scripts/tables/quantization_table.py                            # all of it: hours on a CPU
    python scripts/tables/quantization_table.py --bits 2 --seeds 0 --rates 1e-3 2e-3 4e-3 8e-3  # searches rates
    python scripts/tables/quantization_table.py --tables-only              # write the table again from what is there

For each seed the demo is trained as it is, and stored afterwards in every way that ``quantize`` knows; and it is
trained anew with its merged weights rounded, and with its base alone rounded as other libraries do. All train for equal
steps, those that are rounded with every rate of ``--rates``; the one with the lowest validation loss counts. What is
finished is not made again. What llm-compressor does wants the environment that scripts/make_compressor.sh makes.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from results import ROOT, cell, lit_llm, metrics, train, write

FOLDER = ROOT / "checkpoints" / "quantization_table"
CONFIG = ["--config", "configs/run/extraction_tiny.yaml"]
TESTS = ("known", "phrasings", "products", "noisy")
CLASSES = {"merged": "lit_llm.quantization.QAT", "base": "scripts.tables.base_only_qat.BaseOnlyQAT"}
TITLES = {
    "plain": "unquantized",
    "int8": "8-bit weights of LLM.int8 (bitsandbytes)",
    "nf4": "NF4 (bitsandbytes)",
    "w8a8": "weights and inputs to nearest (llm-compressor)",
    "smoothquant": "weights and inputs, SmoothQuant (llm-compressor)",
    "rtn": "round to nearest",
    "hqq": "HQQ",
    "gptq": "GPTQ (llm-compressor)",
    "awq": "AWQ (llm-compressor)",
    "autoround": "AutoRound (llm-compressor)",
    "base": "QAT, base alone rounded",
    "merged": "QAT, merged weights rounded",
}

PLAIN_RATE = 4e-3
"""The demo's own learning rate."""

ONE_WIDTH = {"int8": 8, "nf4": 4, "w8a8": 8, "smoothquant": 8}
"""Bits of the methods that have no others."""


@dataclass(frozen=True)
class Trained:
    """One training: unrounded, or rounded in one of two ways to some bits."""

    kind: str
    bits: int
    seed: int
    rate: float

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return FOLDER / f"{self.kind}{self.bits or ''}-s{self.seed}-lr{self.rate:g}"

    def run(self, threads: int) -> None:
        """Train and test, unless it is done."""
        options = [*CONFIG, "--seed_everything", str(self.seed), "--trainer.default_root_dir", str(self.folder)]
        options += ["--trainer.enable_progress_bar", "false"]
        options += ["--model.init_args.optimizer.init_args.lr", str(self.rate)]
        if self.kind in CLASSES:
            rounding = {"class_path": CLASSES[self.kind], "init_args": {"bits": self.bits, "group_size": 32}}
            options += ["--model.init_args.qat", json.dumps(rounding)]
        train(self.folder, options, threads)
        if not scores(self.folder):
            lit_llm("test", [*options, "--ckpt_path", "best"], self.folder / "test.log", threads)
        print(f"{self.folder.name}: {scores(self.folder)}", flush=True)


@dataclass(frozen=True)
class Stored:
    """An unrounded run, stored in few bits."""

    method: str
    bits: int
    source: Trained

    @property
    def folder(self) -> Path:
        """Where the scores lie."""
        return FOLDER / f"{self.method}{self.bits}-of-{self.source.folder.name}"

    def run(self, threads: int) -> None:
        """Quantize and test, unless it is done."""
        weights = self.folder / "weights"
        if not weights.exists():
            widths = [] if self.method in ONE_WIDTH else ["--bits", str(self.bits)]
            command = ["--run", str(self.source.folder), "--output", str(weights), "--method", self.method, *widths]
            lit_llm("quantize", command, self.folder / "quantize.log", threads)
        if not scores(self.folder):
            options = [*CONFIG, "--ckpt_path", "none", "--trainer.default_root_dir", str(self.folder)]
            options += ["--trainer.enable_progress_bar", "false", "--model.init_args.backbone", str(weights)]
            lit_llm("test", options, self.folder / "test.log", threads)
        print(f"{self.folder.name}: {scores(self.folder)}", flush=True)


def scores(folder: Path) -> dict[str, float]:
    """Return the mean micro F1 and loss over the tests; empty where they are not all measured."""
    found = metrics(folder)
    wanted = {name: [found.get(f"test/{test}/{name}") for test in TESTS] for name in ("field_f1", "loss")}
    means = {name: [value for value in values if value is not None] for name, values in wanted.items()}
    complete = all(len(values) == len(TESTS) for values in means.values())
    return {name: statistics.mean(values) for name, values in means.items()} if complete else {}


def best(kind: str, bits: int, seed: int, rates: Sequence[float]) -> Trained | None:
    """Return the finished run of the lowest loss in its last validation."""
    runs = [Trained(kind, bits, seed, rate) for rate in rates]
    done = [run for run in runs if scores(run.folder)]
    return min(done, key=lambda run: metrics(run.folder)["val/loss"]) if done else None


def stored(source: Trained, widths: Sequence[int]) -> list[Stored]:
    """Return every way to store a run."""
    integers = [
        Stored(method, bits, source) for bits in widths for method in ("rtn", "hqq", "gptq", "awq", "autoround")
    ]
    return [*(Stored(method, bits, source) for method, bits in ONE_WIDTH.items()), *integers]


def table(seeds: Sequence[int], widths: Sequence[int], rates: Sequence[float]) -> str:
    """Return a Markdown table of means over seeds, ± standard deviations where there are several."""
    found: dict[tuple[int, str], list[dict[str, float]]] = {}
    for seed in seeds:
        plain = Trained("plain", 0, seed, PLAIN_RATE)
        if not scores(plain.folder):
            continue
        found.setdefault((32, "plain"), []).append(scores(plain.folder))
        for one in stored(plain, widths):
            if scores(one.folder):
                found.setdefault((one.bits, one.method), []).append(scores(one.folder))
        for bits in widths:
            for kind in CLASSES:
                if run := best(kind, bits, seed, rates):
                    found.setdefault((bits, kind), []).append(scores(run.folder))
    order = list(TITLES)
    lines = ["| bits | weights | seeds | micro F1 | loss |", "|---|---|---|---|---|"]
    for bits, kind in sorted(found, key=lambda key: (-key[0], order.index(key[1]))):
        values = found[bits, kind]
        cells = [cell([one[name] for one in values]) for name in ("field_f1", "loss")]
        lines.append(f"| {bits} | {TITLES[kind]} | {len(values)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Make what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--bits", type=int, nargs="+", default=[8, 4, 3, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-3], help="learning rates to try on both sides")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of each run")
    parser.add_argument("--tables-only", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.tables_only:
        plain = [Trained("plain", 0, seed, PLAIN_RATE) for seed in options.seeds]
        rounded = [
            Trained(kind, bits, seed, rate)
            for seed in options.seeds
            for bits in sorted(options.bits)
            for kind in CLASSES
            for rate in options.rates
        ]
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(lambda job: job.run(options.threads), [*plain, *rounded]))
            list(pool.map(lambda job: job.run(options.threads), [s for p in plain for s in stored(p, options.bits)]))
    made = table(options.seeds, options.bits, options.rates)
    write("quantization", made)
    print(made)


if __name__ == "__main__":
    main()
