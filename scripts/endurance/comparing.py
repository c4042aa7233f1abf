"""Whether two run folders hold the same run, to the last bit."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch


def logged(run: Path) -> list[tuple[str, ...]]:
    """Return the rows of metrics.csv, but for those that depend on the clock."""
    with (run / "metrics.csv").open() as file:
        rows = [tuple(row) for row in csv.reader(file)][1:]
    return [row for row in rows if not row[2].startswith(("speed/", "memory/"))]


def kept(run: Path) -> list[str]:
    """Return the names of all checkpoints below a folder."""
    return sorted(str(path.relative_to(run)) for path in run.rglob("*.ckpt") if "replaced" not in path.parts)


def same(one: Any, other: Any) -> bool:
    """Return whether two states are equal to the last bit, but for functions and paths."""
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def differences(calm: Path, run: Path) -> Iterator[str]:
    """Yield in what a run folder is not the other."""
    for name in ("last.ckpt", "best.ckpt"):
        one, other = (torch.load(path / name, weights_only=True) for path in (calm, run))
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
            if not same(one[key], other[key]):
                yield f"{name}: {key} differs"
        for key, state in one["callbacks"].items():
            if key.startswith(("RunCheckpoint", "EarlyStopping")) and not same(state, other["callbacks"].get(key)):
                yield f"{name}: {key} is {other['callbacks'].get(key)}, not {state}"
    rows, others = logged(calm), logged(run)
    if rows != others:
        yield f"metrics.csv differs in {sorted(set(rows) ^ set(others))[:6]}"
    # Lightning's monitor of rates logs at every batch, of which a step may have several.
    keys = [(step, name) for step, _, name, _ in others if not name.startswith("lr-")]
    yield from (f"metrics.csv has {key} twice" for key, count in Counter(keys).items() if count > 1)
    if (names := kept(run)) != kept(calm):
        yield f"there are {names}, not {kept(calm)}"
