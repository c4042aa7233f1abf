"""Callbacks with which no run could be resumed are refused; one folder is trained in by one process."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, callbacks
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from lit_llm.callbacks.lock import FolderLock
from lit_llm.callbacks.resumable import REFUSED, Stopping, check_callbacks
from lit_llm.errors import ConfigError, UserError


def trainer(*listed: Callback) -> Any:
    made = Trainer(logger=False, enable_checkpointing=False, enable_model_summary=False)
    made.callbacks = list(listed)  # type: ignore[attr-defined]
    return made


class Halves(callbacks.StochasticWeightAveraging):
    """One that a user has derived."""


UNFIT = [
    Halves(swa_lrs=1e-3),
    callbacks.WeightAveraging(),
    callbacks.EMAWeightAveraging(decay=0.9),
    callbacks.BackboneFinetuning(),
    callbacks.BatchSizeFinder(),
    callbacks.LearningRateFinder(),
    callbacks.SpikeDetection(),
    callbacks.OnExceptionCheckpoint("."),
    callbacks.ModelPruning("l1_unstructured"),
]
FIT = [
    callbacks.EarlyStopping("val/loss"),
    callbacks.ModelCheckpoint("."),
    callbacks.LearningRateMonitor(),
    callbacks.Timer(timedelta(hours=1)),
    callbacks.GradientAccumulationScheduler({1: 2}),
    callbacks.DeviceStatsMonitor(),
    callbacks.LambdaCallback(),
    callbacks.RichModelSummary(),
    callbacks.ThroughputMonitor(len),
]


@pytest.mark.parametrize("callback", UNFIT, ids=lambda callback: type(callback).__name__)
def test_what_no_run_can_be_resumed_with_is_refused(callback: Callback) -> None:
    with pytest.raises(ConfigError, match=rf"^trainer\.callbacks: {type(callback).__name__} \w+ .*: \w+"):
        check_callbacks(trainer(FIT[0], callback))


def test_all_others_of_lightning_pass() -> None:
    check_callbacks(trainer(*FIT))
    known = {getattr(callbacks, name) for name in callbacks.__all__}
    seen = {kind for kind in known for one in [*UNFIT, *FIT] if isinstance(one, kind)}
    bars = {callbacks.ProgressBar, callbacks.RichProgressBar, callbacks.TQDMProgressBar}
    assert known - seen - bars == {callbacks.BasePredictionWriter}, "a new callback needs an answer"
    assert set(REFUSED) <= known


@pytest.mark.parametrize(
    ("reason", "waited", "last", "now", "stops"),
    [
        ("PATIENCE_EXHAUSTED", 2, 3.0, {"patience": 2}, True),
        ("PATIENCE_EXHAUSTED", 2, 3.0, {"patience": 3}, False),
        ("STOPPING_THRESHOLD", 0, 1.5, {"stopping_threshold": 2.0}, True),
        ("STOPPING_THRESHOLD", 0, 1.5, {"stopping_threshold": 1.0}, False),
        ("DIVERGENCE_THRESHOLD", 1, 9.0, {"divergence_threshold": 8.0}, True),
        ("DIVERGENCE_THRESHOLD", 1, 9.0, {}, False),
        ("NON_FINITE_METRIC", 0, float("nan"), {}, True),
        ("NON_FINITE_METRIC", 0, float("nan"), {"check_finite": False}, False),
    ],
)
def test_a_run_that_was_stopped_early_goes_on_only_if_it_may(
    reason: str, waited: int, last: float, now: dict[str, Any], stops: bool
) -> None:
    stopping = EarlyStopping("val/loss", **now)
    running = trainer(stopping, callbacks.ModelCheckpoint("."))
    running.checkpoint_callbacks[0]._logged = {"val/loss": torch.tensor(last)}
    noted = Stopping(running)
    state = stopping.state_dict() | {"wait_count": waited, "patience": 1, "best_score": torch.tensor(1.0)}
    stopping.load_state_dict(state | {"stopping_reason": EarlyStoppingReason[reason].value})
    noted.apply(running)
    assert stopping.patience == now.get("patience", 3)
    assert running.should_stop is stops
    assert (stopping.stopping_reason is EarlyStoppingReason.NOT_STOPPED) is not stops


def test_a_folder_is_held_until_its_process_ends_however_it_does(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    (tmp_path / "run").mkdir()
    before = (tmp_path / "run").stat().st_mtime_ns
    child = os.fork()
    if not child:
        FolderLock().take(tmp_path / "run")
        ready.touch()
        time.sleep(60)
        os._exit(0)
    lock = FolderLock()
    try:
        while not ready.exists():
            time.sleep(0.01)
        with pytest.raises(UserError, match="another fit is training in"):
            lock.take(tmp_path / "run")
        lock.take(tmp_path)
        lock.release()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    lock.take(tmp_path / "run")
    with pytest.raises(UserError, match="another fit"):
        FolderLock().take(tmp_path / "run")
    lock.release()
    FolderLock().take(tmp_path / "absent")
    assert (tmp_path / "run").stat().st_mtime_ns == before and not list((tmp_path / "run").iterdir())
