"""What the makers of docs/results.md share: they run verbs, and write tables between markers."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
import sys
from pathlib import Path

from lit_llm.results import read_results

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "results.md"


def lit_llm(verb: str, options: list[str], log: Path, threads: int) -> None:
    """Run a verb in the root of the project, its output in ``log``.

    Raises:
        CalledProcessError: if it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        command = [sys.executable, "-m", "lit_llm", verb, *options]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        subprocess.run(command, cwd=ROOT, env=environment, stdout=file, stderr=file, check=True)


def train(folder: Path, options: list[str], threads: int) -> None:
    """Run ``fit`` into a folder unless it is done; one that was stopped goes on."""
    if (folder / ".trained").exists():
        return
    resume = ["--ckpt_path", "last"] if (folder / "last.ckpt").exists() else []
    lit_llm("fit", [*options, *resume], folder / "fit.log", threads)
    (folder / ".trained").touch()


def metrics(folder: Path) -> dict[str, float]:
    """Return the last value of every metric in a run's metrics.csv and of its tests; none where there are none."""
    path, found = folder / "metrics.csv", {}
    if path.exists():
        with path.open() as file:
            found = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    for result in read_results(folder):
        found |= result.by_name() if result.verb == "test" else {}
    return found


def cell(values: list[float]) -> str:
    """Return a mean, and ± the standard deviation where there are several values."""
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Put text between the markers ``<!-- name -->`` and ``<!-- /name -->`` of a page, by default docs/results.md."""
    whole = page.read_text(encoding="utf-8")
    head, rest = whole.split(f"<!-- {name} -->\n", 1)
    tail = rest.split(f"<!-- /{name} -->", 1)[1]
    page.write_text(f"{head}<!-- {name} -->\n{text}\n<!-- /{name} -->{tail}", encoding="utf-8")
