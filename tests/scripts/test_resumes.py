"""Runs that are stopped, changed, stopped early, extended and killed in random orders end as those left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts.endurance.resumes import EXTRAS, Order, one_kill, one_order

ORDERS = 20

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first", range(0, ORDERS, 5))
def test_a_disturbed_run_ends_as_one_that_was_left_alone(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 5):
        assert len(one_order(tmp_path / str(seed), 3000 + seed)) >= 4


def test_a_killed_run_ends_as_one_that_was_left_alone(tmp_path: Path) -> None:
    assert any("killed: True" in line for seed in (1, 2) for line in one_kill(tmp_path / str(seed), 4000 + seed))


@pytest.mark.parametrize(("interval", "patience", "step"), [(1.0, 1, 4), (0.5, 2, 3)])
def test_an_epoch_that_is_stopped_early_has_its_end_in_a_resumed_run_too(
    tmp_path: Path, interval: float, patience: int, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run fails after the validation that stops it, and before what other callbacks do at the end of the epoch."""
    order = Order(tmp_path / "order", 81)
    order.patience, order.at_end = patience, False
    keeping = {"filename": "{epoch}", "save_top_k": -1, "save_on_train_epoch_end": True}
    monkeypatch.setitem(EXTRAS, order.extra, [{"class_path": "ModelCheckpoint", "init_args": keeping}])
    plain = order.settings

    def settings(name: str, disturbance: dict[str, Any] | None) -> dict[str, Any]:
        found = plain(name, disturbance)
        return found | {"trainer": found["trainer"] | {"val_check_interval": interval}}

    monkeypatch.setattr(order, "settings", settings)
    assert order._fit("run", {"step": step, "where": "epoch", "how": "error"})[0] == 1
    assert order._step("run") == step
    assert order._fit("run", None)[0] == order._fit("calm", None)[0] == 0
    assert not order.faults()
    assert order._step("calm") == step
    assert len(list((order.folder / "run").rglob("epoch=*.ckpt"))) == 2
    # What is over stays so.
    assert order._fit("run", None)[0] == 0
    assert not order.faults()


def other_weights(run: Path) -> None:
    state = torch.load(run / "last.ckpt", weights_only=True)
    next(iter(state["state_dict"].values())).view(-1)[0] += 1e-6
    torch.save(state, run / "last.ckpt")


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


WRONG: dict[str, Callable[[Path], None]] = {
    "last.ckpt: state_dict differs": other_weights,
    "metrics.csv differs": replaced("metrics.csv", "train/loss", "train/lost"),
    "has rate": replaced("metrics.csv", "train/lr,0.001", "train/lr,0.002"),
    "there are": lambda run: (run / "more.ckpt").touch(),
}


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    order = Order(tmp_path_factory.mktemp("orders") / "order", 5)
    order.phase()
    return order


@pytest.mark.parametrize("fault", WRONG)
def test_the_comparison_sees_what_is_not_equal(order: Order, fault: str) -> None:
    run = order.folder / "run"
    before = {path: path.read_bytes() for path in (run / "last.ckpt", run / "metrics.csv")}
    assert not order.faults()
    WRONG[fault](run)
    try:
        assert any(fault in found for found in order.faults())
    finally:
        (run / "more.ckpt").unlink(missing_ok=True)
        for path, content in before.items():
            path.write_bytes(content)
