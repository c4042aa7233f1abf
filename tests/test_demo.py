"""The demo, as ``make demo`` runs it, from training to predictions.csv."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

LEAST = {"known": 0.88, "noisy": 0.74, "phrasings": 0.78, "products": 0.85}
"""Floors a little under the figures of docs/results.md, so that a loss of quality is seen."""


@pytest.mark.slow
def test_demo_from_end_to_end(tmp_path: Path, root: Path) -> None:
    run = tmp_path / "extraction_tiny"
    environment = os.environ | {"PYTHON": sys.executable, "RUN": str(run)}
    options = ["--trainer.enable_progress_bar", "false"]
    subprocess.run([root / "scripts/demo.sh", *options], cwd=root, env=environment, check=True, timeout=3000)
    with (run / "metrics.csv").open() as file:
        scores = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    found = {test: scores[f"test/{test}/field_f1"] for test in LEAST}
    print(found)
    assert all(found[test] >= least for test, least in LEAST.items()), found
    with (run / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 800
    assert {row["status"] for row in rows} <= {"ok", "invalid", "length"}


@pytest.mark.slow
def test_untuned_base_does_not_know_the_task(tmp_path: Path, root: Path) -> None:
    options = ["--trainer.default_root_dir", str(tmp_path), "--ckpt_path", "none"]
    command = [sys.executable, "-m", "lit_llm", "test", "--config", "configs/run/extraction_tiny.yaml", *options]
    subprocess.run(command, cwd=root, check=True, timeout=600)
    with (tmp_path / "metrics.csv").open() as file:
        scores = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    found = {test: scores[f"test/{test}/field_f1"] for test in LEAST}
    print(found)
    assert max(found.values()) <= 0.10
