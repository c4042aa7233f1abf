"""A run that is stopped and continued ends where the uninterrupted one ends: same batches, losses and weights.

With augmentation, dropout, accumulation and a last window that is not full, in fp32.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lit_llm.__main__ import main

ADAPTERS = {
    "lora": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 4, "dropout": 0.1}},
    "pissa": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 4, "dropout": 0.1, "init": "pissa"}},
    "adalora": {"class_path": "lit_llm.adapters.AdaLoRA", "init_args": {"r": 2, "initial_r": 4, "dropout": 0.1}},
}
ROWS, BATCHES = 22, 22
"""22 rows, twice by augmentation, in batches of 4: 11 batches and 6 optimizer steps an epoch, for 2 epochs."""


def run_file(folder: Path, root: Path, adapter: str, stop: dict[str, Any] | None) -> Path:
    """Write a run file; ``stop`` holds the arguments of StopAt."""
    orders = (root / "configs/data/orders/train.jsonl").read_text().splitlines(keepends=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.jsonl").write_text("".join(orders[:ROWS]))
    (folder / "valid.jsonl").write_text("".join(orders[ROWS : ROWS + 3]))
    callbacks = [
        {"class_path": "tests.recording.RecordBatches", "init_args": {"path": str(folder / "batches.jsonl")}},
        {"class_path": "lit_llm.callbacks.RunCheckpoint", "init_args": {"every_n_steps": 2, "monitor": "val/loss"}},
        {"class_path": "lit_llm.callbacks.GracefulInterrupt"},
        {"class_path": "lit_llm.callbacks.MetricsFile"},
    ]
    if stop:
        callbacks.append({"class_path": "tests.recording.StopAt", "init_args": stop})
    augmenter = {"class_path": "lit_llm.data.Augmenter", "init_args": {"probability": 0.8}}
    config = {
        "seed_everything": 3,
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {
                "backbone": str(root / "checkpoints/qwen3-tiny"),
                "adapter": ADAPTERS[adapter],
                "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 2}},
            },
        },
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {
                "train": str(folder / "train.jsonl"),
                "valid": str(folder / "valid.jsonl"),
                "batch_size": 4,
                "augmentation_factor": 2,
                "augmenter": augmenter,
            },
        },
        "trainer": {
            "default_root_dir": str(folder / "run"),
            "max_epochs": 2,
            "accelerator": "cpu",
            "accumulate_grad_batches": 2,
            "log_every_n_steps": 1,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": False,
            "callbacks": callbacks,
        },
    }
    path = folder / ("stopped.yaml" if stop else "run.yaml")
    path.write_text(yaml.safe_dump(config))
    return path


def batches(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "batches.jsonl").read_text().splitlines()]


def losses(folder: Path) -> dict[int, float]:
    with (folder / "run/metrics.csv").open() as file:
        return {int(r["step"]): float(r["value"]) for r in csv.DictReader(file) if r["name"] == "train/loss"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "run/last.ckpt", weights_only=True)["state_dict"]
    return state


def assert_same_end(whole: Path, resumed: Path, before: int) -> None:
    """Compare the ends of two runs; ``before`` batches were recorded when the second was stopped."""
    all_batches, seen = batches(whole), batches(resumed)
    assert len(all_batches) == BATCHES
    rest = seen[before:]
    assert 0 < len(rest) < BATCHES
    assert rest == all_batches[-len(rest) :]
    assert seen[:before] == all_batches[:before]
    assert losses(resumed) == losses(whole)
    expected, found = weights(whole), weights(resumed)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_run_that_failed_is_continued(adapter: str, tmp_path: Path, root: Path) -> None:
    assert main(["fit", "--config", str(run_file(tmp_path / "whole", root, adapter, None))]) == 0
    folder = tmp_path / "stopped"
    stopped = run_file(folder, root, adapter, {"batch": 15, "how": "error"})
    assert main(["fit", "--config", str(stopped)]) == 1
    before = len(batches(folder))
    assert before == 15
    again = run_file(folder, root, adapter, None)
    assert main(["fit", "--config", str(again), "--ckpt_path", "last"]) == 0
    assert_same_end(tmp_path / "whole", folder, before)


def started(root: Path, config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Fit in a process of its own."""
    command = [sys.executable, "-m", "lit_llm", "fit", "--config", str(config), *options]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def whole(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was left alone."""
    folder = tmp_path_factory.mktemp("left") / "whole"
    assert started(root, run_file(folder, root, "lora", None)).returncode == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("how", "batch"), [("SIGKILL", 5), ("SIGKILL", 16), ("SIGINT", 7)])
def test_a_run_that_was_killed_is_continued(how: str, batch: int, whole: Path, tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "stopped"
    done = started(root, run_file(folder, root, "lora", {"batch": batch, "how": how}))
    assert done.returncode == (-9 if how == "SIGKILL" else 130), done.stderr[-2000:]
    if how == "SIGINT":
        assert "--ckpt_path last" in done.stderr
        assert len(batches(folder)) <= batch + 2, "the run goes on for no more than the step under way"
    before = len(batches(folder))
    again = started(root, run_file(folder, root, "lora", None), "--ckpt_path", "last")
    assert again.returncode == 0, again.stderr[-2000:]
    assert_same_end(whole, folder, before)
