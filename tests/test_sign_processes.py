"""Clips on two processes: what is learned and measured is what one process learns and measures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from lit_llm.__main__ import main
from tests.test_gradients import gradients
from tests.test_sign_run import run_file


def fit(folder: Path, root: Path, model: str, processes: int) -> Path:
    """Train for an epoch in steps of eight rows on some processes; return the run folder."""
    path = Path(run_file(folder, root, "lora", f"{model}-{processes}"))
    config = yaml.safe_load(path.read_text())
    run = Path(config["trainer"]["default_root_dir"])
    made = config["model"]["init_args"]
    config["model"]["class_path"] = f"lit_llm.models.{model}"
    made["adaptor_dropout"] = 0.0
    made.pop("adaptor_learning_rate")
    made["optimizer"] = {
        "class_path": "tests.recording.RecordingAdamW",
        "init_args": {"folder": str(run / "gradients")},
    }
    if model == "SignAligner":
        del made["metrics"]
    config["data"]["init_args"] |= {"batch_size": 8 // processes, "eval_batch_size": 2}
    config["trainer"] |= {"max_epochs": 1, "devices": processes, "strategy": "ddp" if processes > 1 else "auto"}
    path.write_text(yaml.safe_dump(config))
    if processes == 1:
        assert main(["fit", "--config", str(path)]) == 0
        return run
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "lit_llm", "fit", "--config", str(path)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return run


def measured(run: Path) -> dict[str, float]:
    with (run / "metrics.csv").open() as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file) if row["name"].startswith("val/")}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["SignLM", "SignAligner"])
def test_two_processes_learn_and_measure_what_one_does(model: str, tmp_path: Path, root: Path) -> None:
    one, two = (fit(tmp_path, root, model, processes) for processes in (1, 2))
    wanted, found = gradients(one), gradients(two)
    # Twenty rows: the last step has four, so that one process of two has none.
    assert len(wanted) == len(found) == 3
    differences = [float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)]
    print(f"{model}: largest relative difference of gradients {max(differences):.1e}")
    assert max(differences) < 1e-4
    assert all(gradient.abs().max() > 0 for gradient in wanted)
    scores = measured(one)
    assert {"val/loss", "val/retrieval" if model == "SignAligner" else "val/rolled/bleu4"} <= set(scores)
    for name, value in measured(two).items():
        torch.testing.assert_close(value, scores[name], rtol=1e-4, atol=1e-5, msg=lambda text: f"{name}: {text}")  # noqa: B023
