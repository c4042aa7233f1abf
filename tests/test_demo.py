"""The demo, as ``make demo`` runs it, from training to predictions.csv."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAST = {"known": 0.975, "noisy": 0.94, "phrasings": 0.87, "products": 0.94}
"""Floors under the figures of docs/results.md, which scatter so far where rounding alone differs."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The folder of a run of the demo from end to end."""
    run = tmp_path_factory.mktemp("demo") / "extraction_tiny"
    environment = os.environ | {"PYTHON": sys.executable, "RUN": str(run)}
    options = ["--trainer.enable_progress_bar", "false"]
    subprocess.run([root / "scripts/demo.sh", *options], cwd=root, env=environment, check=True, timeout=3000)
    return run


def field_f1(run: Path) -> dict[str, float]:
    with (run / "metrics.csv").open() as file:
        scores = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    return {test: scores[f"test/{test}/field_f1"] for test in LEAST}


def predictions(run: Path) -> list[dict[str, str]]:
    with (run / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_demo_from_end_to_end(demo: Path) -> None:
    found, rows = field_f1(demo), predictions(demo)
    print(found)
    assert all(found[test] >= least for test, least in LEAST.items()), found
    assert sum(row["status"] == "ok" for row in rows) >= 780
    assert len(rows) == 800
    assert {row["status"] for row in rows} <= {"ok", "invalid", "length"}


@pytest.mark.slow
def test_untuned_base_does_not_know_the_task(tmp_path: Path, root: Path) -> None:
    options = ["--trainer.default_root_dir", str(tmp_path), "--ckpt_path", "none"]
    command = [sys.executable, "-m", "lit_llm", "test", "--config", "configs/run/extraction_tiny.yaml", *options]
    subprocess.run(command, cwd=root, check=True, timeout=600)
    found = field_f1(tmp_path)
    print(found)
    assert max(found.values()) <= 0.10
