"""Runs of a few steps, for tests of what is done with a run."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from lit_llm.__main__ import main
from lit_llm.results import read_results


def fit(
    folder: Path,
    data: dict[str, Any],
    steps: int = 2,
    task: str = "Extraction",
    seed: int = 0,
    kind: str = "CausalLM",
    trainer: dict[str, Any] | None = None,
    **model: Any,
) -> Path:
    """Train a few steps into a folder, and return it."""
    settings: dict[str, Any] = {
        "seed_everything": seed,
        "model": {"class_path": f"lit_llm.models.{kind}", "init_args": model},
        "data": {"class_path": f"lit_llm.data.{task}Data", "init_args": data},
        "trainer": {
            "default_root_dir": str(folder),
            "max_steps": steps,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [{"class_path": "lit_llm.callbacks.RunCheckpoint"}],
        }
        | (trainer or {}),
    }
    file = folder.with_suffix(".yaml")
    file.write_text(json.dumps(settings))
    assert main(["fit", "--config", str(file)]) == 0
    return folder


def logged(folder: Path) -> dict[str, float]:
    """Return the last value of every number in a run's ``metrics.csv`` and ``results/``, by name."""
    found: dict[str, float] = {}
    if (folder / "metrics.csv").exists():
        with (folder / "metrics.csv").open(newline="") as file:
            found = {row["name"]: float(row["value"]) for row in csv.DictReader(file)}
    for result in read_results(folder):
        found |= result.by_name()
    return found
