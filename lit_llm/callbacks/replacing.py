"""What a run folder holds of a run, and how it is set aside as a whole."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from lit_llm.callbacks.spreadsheet import copy_path
from lit_llm.results import FOLDER, result_files
from lit_llm.storage import sync_folder

REPLACED = "replaced"
"""The folder within a run folder that holds earlier runs."""

CHECKPOINTS = ("last.ckpt", "best.ckpt")
WEIGHTS = ("adapter", "model")
HISTORY = "history.jsonl"


def held(folder: Path) -> list[str]:
    """Return the names of the weights that a folder holds; with none of them it holds no run worth keeping."""
    return [name for name in CHECKPOINTS if (folder / name).exists()] + [
        name for name in WEIGHTS if _is_weights(folder / name)
    ]


def set_aside(folder: Path, paths: Iterable[Path]) -> Path | None:
    """Move files of a run into a folder of their own below ``replaced/``, in this order.

    Returns:
        That folder; None if there was nothing to move.
    """
    paths = list(paths)
    if not paths:
        return None
    stem = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    names = (f"{stem}{f'-{count}' if count > 1 else ''}" for count in range(1, 10**6))
    target = next(path for name in names if not (path := folder / REPLACED / name).exists())
    for path in paths:
        # TensorBoard looks for events in all folders, and would show an earlier run beside this one.
        new = target / str(path.relative_to(folder)).replace("out.tfevents", "out.replaced")
        new.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, new)
        sync_folder(new.parent)
    if (folder / FOLDER).is_dir() and not any((folder / FOLDER).iterdir()):
        (folder / FOLDER).rmdir()
    sync_folder(folder)
    return target


def run_files(folder: Path) -> list[Path]:
    """Return what a folder holds of a run, in an order that never leaves weights beside what is not theirs.

    Weights come first: what is left without them is used by no verb. Only files that are surely a run's are named.
    """
    if not folder.is_dir():
        return []
    fixed = [
        *(folder / name for name in WEIGHTS if _is_weights(folder / name)),
        *(folder / n for n in CHECKPOINTS[::-1]),
    ]
    logged = [folder / name for name in ("signatures.json", "hparams.yaml", "audit.json", "report.html", HISTORY)]
    found = [*fixed, *_predictions(folder), *result_files(folder), *_metrics(folder), *logged]
    found += [*sorted(folder.glob("events.out.tfevents.*")), folder / "config.yaml"]
    return [path for path in found if path.exists()]


def remove_traces(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for name in (*CHECKPOINTS, *WEIGHTS):
        for path in (folder / f".{name}.new", folder / f".{name}.old"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def ahead(folder: Path, resumed: Path, weights: str) -> list[Path]:
    """Return the checkpoints of a folder that a run resumed from another of its checkpoints has not come to.

    A process that was killed between two writings leaves ``best.ckpt`` ahead of ``last.ckpt``, and one that goes on
    from an earlier checkpoint leaves ``last.ckpt`` ahead of itself: what they hold is made again, perhaps otherwise.

    Args:
        folder: the run folder.
        resumed: the checkpoint to go on from.
        weights: name of the folder with the best weights.
    """
    now = recorded(resumed)
    best, last = folder / "best.ckpt", folder / "last.ckpt"
    found = [last] if last.exists() and recorded(last)["step"] > now["step"] else []
    if best.exists():
        then, own = recorded(best), folder / weights
        torn = (step := _written_at(own)) is not None and step != then["step"]
        if then["step"] > now["step"] or then["score"] != now["score"] or torn:
            found += [path for path in (own, best) if path.exists()]
    return found


def recorded(path: Path) -> dict[str, Any]:
    """Return ``step``, ``epoch`` and the best ``score`` so far that a checkpoint was written with; -1 if unknown."""
    file = path / "meta.pt" if path.is_dir() else path
    state = torch.load(file, map_location="cpu", weights_only=True, mmap=True) if file.exists() else {}
    score = (state.get("callbacks") or {}).get("RunCheckpoint", {}).get("best_model_score")
    facts = {"step": int(state.get("global_step", -1)), "epoch": int(state.get("epoch", -1))}
    return facts | {"score": None if score is None else float(score)}


def _is_weights(path: Path) -> bool:
    return (path / "lit_llm.json").is_file() or (path / "adaptor.safetensors").is_file()


def _written_at(weights: Path) -> int | None:
    """Return the step at which a folder of weights was written; None if it does not say."""
    try:
        return int(json.loads((weights / "lit_llm.json").read_text(encoding="utf-8"))["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _predictions(folder: Path) -> list[Path]:
    """Return prediction files, which have their record beside them, and files that are not finished yet."""
    targets = [folder / path.name.removesuffix(".run.json") for path in folder.glob("*.run.json")]
    kinds = ("", ".run.json", ".partial", ".partial.*")
    own = [path for target in targets for kind in kinds for path in sorted(folder.glob(f"{target.name}{kind}"))]
    return own + [copy_path(target, excel=excel) for target in targets for excel in (False, True)]


def _metrics(folder: Path) -> list[Path]:
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return [path] if next(csv.reader(file), []) == ["step", "epoch", "name", "value"] else []
