"""What a training file of a million rows costs beside one of ten thousand: memory, and the wait for the first step.

    python scripts/benchmarks/rows.py                      # 10,000 and 1,000,000 short rows, twice each
    python scripts/benchmarks/rows.py --rows 1000,50000    # other sizes

Each size is trained for equally many steps, twice: the first run encodes the rows, the second finds them. Printed are
seconds to the first step, seconds in all, and the private memory (USS) that the process has while it trains; the
seconds are those of one machine, and the ratios are what counts.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SYLLABLES = [c + v for c in "bcdfglmnprstv" for v in "aeiou"]
EVERY = 0.25


@dataclass
class Measured:
    """What one run took."""

    first_step: float
    seconds: float
    uss: float
    peak: float


def write_rows(path: Path, count: int) -> None:
    """Write short orders, each of its own."""
    rng = random.Random(count)
    with path.open("w", encoding="utf-8") as file:
        for at in range(count):
            name = "".join(rng.choices(SYLLABLES, k=3)).capitalize()
            amount = rng.randint(1, 99)
            row = {"text": f"{name} pide {amount} panes, pedido {at}", "json": {"name": name, "amount": amount}}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def private(pid: int) -> float:
    """Return the private memory of a process in MiB, file pages that nobody else has among it; 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def fit(train: Path, folder: Path, cache: Path, options: argparse.Namespace) -> Measured:
    """Train for some steps and watch."""
    command = [sys.executable, "-m", "lit_llm", "fit", "--config", "configs/run/extraction_tiny.yaml"]
    command += ["--data.init_args.train", str(train), "--data.init_args.valid", "null", "--data.init_args.test", "null"]
    command += ["--data.init_args.schema", "null", "--data.init_args.augmenter", "null"]
    command += ["--data.init_args.augmentation_factor", "1", "--trainer.max_steps", str(options.steps)]
    command += ["--trainer.default_root_dir", str(folder), "--data.init_args.batch_size", str(options.batch)]
    environment = os.environ | {"LIT_LLM_CACHE": str(cache)}
    begin, first, seen = time.perf_counter(), 0.0, []
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        peak = 0.0
        while process.poll() is None:
            uss = private(process.pid)
            peak = max(peak, uss)
            if not first and (folder / "audit.json").exists():
                first = time.perf_counter() - begin
            if first:
                seen.append(uss)
            time.sleep(EVERY)
    if process.returncode:
        sys.exit((folder.parent / f"{folder.name}.log").read_text(encoding="utf-8")[-2000:])
    # The last is of a process that ends.
    steady = sorted(seen[:-2] or seen)
    return Measured(first, time.perf_counter() - begin, steady[len(steady) // 2], peak)


def main() -> None:
    """Write files, train on each twice, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,1000000", help="sizes of files (10,000 and 1,000,000)")
    parser.add_argument("--steps", type=int, default=300, help="optimizer steps of a run (300)")
    parser.add_argument("--batch", type=int, default=8, help="rows of a step (8)")
    options = parser.parse_args()
    found: dict[tuple[int, int], Measured] = {}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for count in map(int, options.rows.split(",")):
            train = folder / f"train_{count}.jsonl"
            write_rows(train, count)
            for start in (1, 2):
                found[count, start] = one = fit(train, folder / f"run_{count}_{start}", folder / "cache", options)
                print(
                    f"{count:>9,} rows, start {start}: first step after {one.first_step:7.1f} s, "
                    f"{one.seconds:7.1f} s in all, {one.uss:6.0f} MiB private while training (peak {one.peak:.0f})",
                    flush=True,
                )
    few, many = min(count for count, _ in found), max(count for count, _ in found)
    memory = found[many, 2].uss / found[few, 2].uss
    wait = found[many, 2].first_step / found[few, 2].first_step
    print(f"second start, {many:,} rows over {few:,}: {memory:.2f} x the memory, {wait:.2f} x the wait")


if __name__ == "__main__":
    main()
