"""Whether the files of a run folder belong together, read with other code than that which writes them."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

Snapshot = dict[str, tuple[bytes, int]]


@dataclass
class Known:
    """What is known of the run that a folder should hold.

    Attributes:
        rank: of its adapter; None if there should be no run.
        rates: learning rates of its legs, each drawn once: they tell whose a file is.
        torn: whether a process was killed since the last one that came to its end.
        replaced: how many earlier runs were set aside, or more where a kill has parted one.
    """

    rank: int | None = None
    rates: list[float] = field(default_factory=list)
    torn: bool = False
    replaced: int = 0


def snapshot(folder: Path) -> Snapshot:
    """Return content and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def sha(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def opened(path: Path) -> dict[str, Any]:
    """Return what a checkpoint says: step, learning rate, rank, best score, weights."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    own = [value for key, value in state["callbacks"].items() if "RunCheckpoint" in key]
    score = own[0]["best_model_score"]
    return {
        "step": state["global_step"],
        "rate": state["optimizer_states"][0]["param_groups"][0]["initial_lr"],
        "rank": next(w for name, w in state["state_dict"].items() if "lora_A" in name).shape[0],
        "score": None if score is None else float(score),
        "weights": {name.split("model.layers", 1)[1]: w for name, w in state["state_dict"].items()},
    }


def faults(folder: Path, known: Known) -> list[str]:
    """Return everything in a run folder that does not belong together."""
    files = {name: folder / name for name in ("config.yaml", "last.ckpt", "best.ckpt", "metrics.csv", "adapter")}
    there = {name for name, path in files.items() if path.exists()}
    states = {name: opened(files[name]) for name in ("last.ckpt", "best.ckpt") if name in there}
    found = [f"{p} would be one more run in TensorBoard" for p in folder.rglob("*tfevents*") if p.parent != folder]
    if known.rank is None:
        return found + [f"{name} without a run" for name in states]
    if states and "config.yaml" not in there:
        return [*found, f"{', '.join(states)} without config.yaml"]
    if "config.yaml" in there:
        found += _settings(yaml.safe_load(files["config.yaml"].read_text()), states, known)
    for name, state in states.items():
        found += [f"{name} is of learning rate {state['rate']}, not {known.rates}"] * (state["rate"] not in known.rates)
    if "metrics.csv" in there:
        found += _metrics(files["metrics.csv"], states, known)
    if not known.torn:
        found += _whole(folder, there, states)
    return found


def answers_fit(folder: Path) -> bool:
    """Whether predictions.csv was made by weights that the folder holds; true without any weights."""
    checkpoints = [folder / name for name in ("best.ckpt", "last.ckpt") if (folder / name).exists()]
    if not (folder / "predictions.csv").exists():
        return False
    record = json.loads((folder / "predictions.csv.run.json").read_text())
    return not checkpoints or record["fingerprint"]["checkpoint"] in [sha(path)[:16] for path in checkpoints]


def events_of(folder: Path) -> set[float]:
    """Return the learning rates in TensorBoard's events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not list(folder.glob("*tfevents*")):
        return set()
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {entry.value for entry in events.Scalars("train/lr")} if "train/lr" in events.Tags()["scalars"] else set()


def _settings(config: dict[str, Any], states: dict[str, Any], known: Known) -> list[str]:
    model = config["model"]["init_args"]
    rank, rate = model["adapter"]["init_args"]["r"], model["optimizer"]["init_args"]["lr"]
    found = [f"config.yaml has rank {rank}, the run {known.rank}"] * (rank != known.rank)
    found += [f"{name} has rank {s['rank']}, config.yaml {rank}" for name, s in states.items() if s["rank"] != rank]
    found += [f"config.yaml repeats {key}" for key in ("ckpt_path", "overwrite") if config[key]]
    found += [f"config.yaml has learning rate {rate}, the run {known.rates}"] * (rate not in known.rates)
    if "last.ckpt" in states and not known.torn and states["last.ckpt"]["rate"] != rate:
        found.append(f"last.ckpt was made at rate {states['last.ckpt']['rate']}, config.yaml says {rate}")
    return found


def _metrics(path: Path, states: dict[str, Any], known: Known) -> list[str]:
    lines = path.read_text().splitlines(keepends=True)
    rows = [row for row in csv.reader(line for line in lines if line.endswith("\n"))][1:]
    keys = [(row[0], row[2]) for row in rows]
    found = [f"metrics.csv has {key} twice" for key in {key for key in keys if keys.count(key) > 1}]
    rates = {float(row[3]) for row in rows if row[2] == "train/lr"}
    found += [f"metrics.csv has learning rate {r}, not of this run" for r in rates if not _near(r, known.rates)]
    if "last.ckpt" not in states:
        return found
    last = states["last.ckpt"]
    steps = {int(row[0]) for row in rows if row[2] == "train/loss"}
    # The step that a killed process had just saved is logged when the run goes on.
    late = {last["step"] - 1} if known.torn else set()
    if missing := set(range(last["step"])) - steps - late:
        found.append(f"metrics.csv lacks steps {sorted(missing)} of {last['step']}")
    measured = {int(row[0]) + 1: float(row[3]) for row in rows if row[2] == "val/loss"}
    if not known.torn and last["score"] is not None:
        best = min((value, step) for step, value in measured.items() if step <= last["step"])
        if abs(best[0] - last["score"]) > 1e-5:
            found.append(f"the best loss in metrics.csv is {best[0]}, last.ckpt says {last['score']}")
    return found


def _near(rate: float, rates: list[float]) -> bool:
    return any(abs(rate - other) < 1e-9 for other in rates)


def _whole(folder: Path, there: set[str], states: dict[str, Any]) -> list[str]:
    """Return what only a process that was killed may leave behind."""
    found = [f"{path.name} is left over" for path in folder.glob(".*") if path.name.endswith((".new", ".old"))]
    if "best.ckpt" in states:
        best, last = states["best.ckpt"], states.get("last.ckpt")
        if last and (best["step"] > last["step"] or best["score"] != last["score"]):
            found.append(f"best.ckpt (step {best['step']}, {best['score']}) is not the best of last.ckpt")
        if "adapter" not in there:
            found.append("best.ckpt without adapter/")
        else:
            found += _card(folder)
            found += _same(load_file(folder / "adapter/adapter_model.safetensors"), best["weights"])
    elif "adapter" in there:
        found.append("adapter/ without best.ckpt")
    return found


def _card(folder: Path) -> list[str]:
    """Return whether the card of the best weights shows the scores of others."""
    results = [json.loads(path.read_text()) for path in folder.glob("results/test-*.json")]
    best = {"name": "best", "sha256": sha(folder / "best.ckpt")}
    own = [r for r in results if best.items() <= (r["checkpoint"] or {}).items()]
    unmeasured = "None yet" in (folder / "adapter/README.md").read_text()
    return [f"the card of adapter/ has {'no' if own else 'foreign'} scores"] * (unmeasured == bool(own))


def _same(handed_on: dict[str, Any], trained: dict[str, Any]) -> list[str]:
    plain = {name.replace(".default", ""): weight for name, weight in trained.items()}
    own = {name.split("model.layers", 1)[1]: weight for name, weight in handed_on.items()}
    if plain.keys() != own.keys():
        return ["adapter/ has other weights than best.ckpt"]
    return ["adapter/ is not best.ckpt"] * any(not torch.equal(own[name], plain[name]) for name in own)
