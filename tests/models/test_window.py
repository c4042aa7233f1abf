"""A step that is not finite is not taken: weights and checkpoints stay as they were, and the error helps."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_llm.__main__ import main
from lit_llm.errors import UserError
from lit_llm.models.window import refuse_weights

ROWS, BATCH = 10, 2
NAN = float("nan")


def run_file(folder: Path, root: Path, spoil: dict[str, Any] | None, **trainer: Any) -> str:
    """Two epochs of five batches on the tiny base without validation; a checkpoint at every step."""
    rows = [{"id": f"fila {k}", "text": f"dame {k} litros", "json": {"n": k}} for k in range(ROWS)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    callbacks: list[dict[str, Any]] = [
        {"class_path": "lit_llm.callbacks.RunCheckpoint", "init_args": {"every_n_steps": 1}},
        {"class_path": "tests.recording.RecordBatches", "init_args": {"path": str(folder / "batches.jsonl")}},
    ]
    if spoil:
        callbacks.append({"class_path": "tests.recording.Spoil", "init_args": spoil})
    adapter = {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 2}}
    made = {
        "seed_everything": 2,
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {"backbone": str(root / "checkpoints/qwen3-tiny"), "adapter": adapter},
        },
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {"train": str(folder / "rows.jsonl"), "batch_size": BATCH},
        },
        "trainer": {
            "default_root_dir": str(folder / "run"),
            "max_epochs": 2,
            "accelerator": "cpu",
            "logger": False,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": callbacks,
        }
        | trainer,
    }
    path = folder / "run.json"
    path.write_text(json.dumps(made))
    return str(path)


def fit(folder: Path, root: Path, *options: str, spoil: dict[str, Any] | None = None, **trainer: Any) -> int:
    folder.mkdir(exist_ok=True)
    return main(["fit", "--config", run_file(folder, root, spoil, **trainer), *options])


def saved(folder: Path, name: str = "last") -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / f"run/{name}.ckpt", weights_only=True)
    return state


def losses(folder: Path) -> dict[int, float]:
    with (folder / "run/metrics.csv").open() as file:
        return {int(row["step"]): float(row["value"]) for row in csv.DictReader(file) if row["name"] == "train/loss"}


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "infinite in the second micro-batch": ({"batches": [3]}, {"accumulate_grad_batches": 2, "gradient_clip_val": 1}, 1),
    "not a number, clipped by value": (
        {"batches": [6], "value": "nan"},
        {"gradient_clip_val": 0.5, "gradient_clip_algorithm": "value"},
        6,
    ),
    "the first step of all": ({"batches": [0]}, {}, 0),
    "in half precision": ({"batches": [2], "value": "-inf"}, {"precision": "bf16-true"}, 2),
}


@pytest.mark.parametrize("case", [pytest.param(n, marks=[pytest.mark.slow] * (at > 0)) for at, n in enumerate(CASES)])
def test_one_broken_gradient_stops_before_the_step(case: str, tmp_path: Path, root: Path, capsys: Any) -> None:
    spoil, trainer, steps = CASES[case]
    assert fit(tmp_path / "broken", root, spoil=spoil, **trainer) == 1
    said = capsys.readouterr().err
    assert f"step {steps + 1} was not taken" in said
    assert "optimizer.init_args.lr" in said and "32-true" in said
    batches = [json.loads(line)[2] for line in (tmp_path / "broken/batches.jsonl").read_text().splitlines()]
    wrong = [row for batch in batches[-trainer.get("accumulate_grad_batches", 1) :] for row in batch]
    assert set(re.findall(r"'(fila \d+)'", said)) == set(wrong)
    if not steps:
        assert not (tmp_path / "broken/run/last.ckpt").exists() and "not written yet" in said
        return
    assert saved(tmp_path / "broken")["global_step"] == steps
    assert max(losses(tmp_path / "broken")) == steps - 1
    # What was saved is good: the run goes on to where an undisturbed one ends.
    assert fit(tmp_path / "broken", root, "--ckpt_path", "last", **trainer) == 0
    assert fit(tmp_path / "whole", root, **trainer) == 0
    whole = saved(tmp_path / "whole")["state_dict"]
    assert all(torch.equal(value, whole[name]) for name, value in saved(tmp_path / "broken")["state_dict"].items())
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")


def scaled(**more: Any) -> dict[str, Any]:
    """Return trainer settings of float16 with a scaler, which Lightning does not choose by itself on a CPU."""
    plugin = {"class_path": "lightning.pytorch.plugins.MixedPrecision"}
    return {"plugins": [plugin | {"init_args": {"precision": "16-mixed", "device": "cpu"}}]} | more


@pytest.mark.slow
def test_a_scaler_leaves_out_what_overflows_and_the_run_goes_on(tmp_path: Path, root: Path) -> None:
    assert fit(tmp_path / "run", root, spoil={"batches": [1, 4]}, **scaled()) == 0
    state = saved(tmp_path / "run")
    assert all(value.isfinite().all() for value in state["state_dict"].values())
    skipped = 16 - math.log2(state["MixedPrecision"]["scale"])
    assert skipped >= 2, "its scale is halved for each"
    assert {float(entry["step"]) for entry in state["optimizer_states"][0]["state"].values()} == {10 - skipped}


@pytest.mark.slow
def test_a_scaler_with_nothing_left_to_scale_back_is_an_error(tmp_path: Path, root: Path, capsys: Any) -> None:
    assert fit(tmp_path / "run", root, spoil={"batches": [0], "ever": True}, **scaled(max_epochs=5)) == 1
    assert "step 18 was not taken" in capsys.readouterr().err


@pytest.mark.slow
def test_what_one_process_of_two_sees_stops_both(tmp_path: Path, root: Path) -> None:
    path = run_file(tmp_path, root, {"batches": [2], "process": 1}, devices=2, strategy="ddp", max_epochs=1)
    command = [sys.executable, "-m", "lit_llm", "fit", "--config", path]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr[-2000:]
    assert "step 3 was not taken" in done.stderr
    assert "Traceback" not in done.stderr
    assert saved(tmp_path)["global_step"] == 2


def test_weights_that_are_not_finite_are_not_saved_over_good_ones() -> None:
    good = {"a": torch.ones(3), "count": torch.tensor([2**40]), "none": torch.zeros(0)}
    refuse_weights(good, 4)
    for value in (NAN, float("inf"), -float("inf")):
        with pytest.raises(UserError, match=r"^b is not finite after step 4"):
            refuse_weights(good | {"b": torch.tensor([[0.0, value]])}, 4)


@pytest.mark.slow
def test_a_step_that_leaps_out_of_the_numbers_is_not_saved(tmp_path: Path, root: Path, capsys: Any) -> None:
    (tmp_path / "run").mkdir()
    for made, status in (({"lr": 1e-3}, 0), ({"lr": 1e3, "weight_decay": 1e38}, 1)):
        optimizer = json.dumps({"class_path": "torch.optim.SGD", "init_args": made})
        options = ["--model.optimizer", optimizer, "--model.schedule", '{"name": "constant", "warmup": 0}']
        options += ["--ckpt_path", "last"] * (status == 1)
        assert fit(tmp_path / "run", root, *options, max_steps=3 + status) == status, capsys.readouterr().err
    assert "is not finite after step 4" in capsys.readouterr().err
    state = saved(tmp_path / "run")
    assert state["global_step"] == 3
    assert all(value.isfinite().all() for value in state["state_dict"].values())
