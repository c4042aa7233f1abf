"""A run that is started, refused, overwritten, interrupted, killed, resumed, tested and answered in random orders."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from scripts.endurance.folder_checker import Known, faults
from scripts.endurance.run_folders import World, one_order

ORDERS = 10

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("first", range(0, ORDERS, 5))
def test_its_files_belong_together_whatever_is_done_to_it(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 5):
        assert len(one_order(tmp_path / str(seed), 1000 + seed, commands=3)) >= 4


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run that has come to its end."""
    world = World(tmp_path_factory.mktemp("world"), 3)
    world.overwrite(stop=False)
    world.resume(stop=False)
    assert faults(world.run, world.known) == []
    return world


def older_best(run: Path) -> None:
    state = torch.load(run / "best.ckpt", weights_only=True)
    for weight in state["state_dict"].values():
        weight += 1
    torch.save(state, run / "best.ckpt")


def replaced_in(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        text = (run / name).read_text()
        assert old in text
        (run / name).write_text(text.replace(old, new, 1))

    return change


WRONG: dict[str, Callable[[Path], object]] = {
    "adapter/ is not best.ckpt": older_best,
    "the best loss in metrics.csv": lambda run: (run / "metrics.csv").write_text(
        "".join(x for x in (run / "metrics.csv").read_text().splitlines(keepends=True) if "val/loss" not in x)
        + "0,0,val/loss,9.5\n"
    ),
    "metrics.csv lacks steps": replaced_in("metrics.csv", "train/loss", "train/lost"),
    "metrics.csv has ": lambda run: (run / "metrics.csv").open("a").write("0,0,train/loss,1.0\n"),
    "config.yaml has rank": lambda run: (run / "config.yaml").write_text(
        re.sub(r"( r: )\d", r"\g<1>16", (run / "config.yaml").read_text())
    ),
    "config.yaml repeats overwrite": replaced_in("config.yaml", "overwrite: false", "overwrite: true"),
    "of learning rate": lambda run: None,
    "is left over": lambda run: (run / ".best.ckpt.new").touch(),
    "one more run in TensorBoard": lambda run: shutil.copytree(run, run / "replaced" / "x"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_the_checker_sees_what_does_not_belong(world: World, tmp_path: Path, fault: str) -> None:
    shutil.copytree(world.run, tmp_path / "run")
    WRONG[fault](tmp_path / "run")
    known = Known(world.known.rank, [0.5] if fault == "of learning rate" else world.known.rates)
    assert any(fault in found for found in faults(tmp_path / "run", known))
    assert json.loads((tmp_path / "run/history.jsonl").read_text().splitlines()[0])["step"] == 0
