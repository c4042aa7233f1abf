"""Trains, stops, resumes, changes, stops early and extends runs in random orders, each beside one that is left alone.

The resumed run has to equal the other: weights, optimizer, what was logged, what callbacks have counted. What was
changed has to be said and recorded, what cannot change refused without a trace. ::

    .venv/bin/python scripts/endurance/resumes.py --orders 200 --kills 10
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]
# A process whose threads wait for work cannot be forked: those of its child would never come.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch  # noqa: E402
import yaml  # noqa: E402

from scripts.endurance.calling import call  # noqa: E402
from scripts.endurance.comparing import differences, logged  # noqa: E402
from scripts.endurance.disturbing import PURPOSE  # noqa: E402
from scripts.endurance.folder_checker import snapshot  # noqa: E402
from scripts.endurance.run_folders import die_at  # noqa: E402

ROWS = 6
OPTIMIZER = "model.init_args.optimizer.init_args"


class Order:
    """Two runs of the same settings, of which one is disturbed.

    Args:
        folder: to work in; it is made.
        seed: of everything that is drawn.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.done: list[str] = []
        folder.mkdir(parents=True)
        for name, first in (("train", 0), ("valid", 40), ("others", 80)):
            rows = [{"id": f"{name}{k}", "text": f"son {first + k}", "json": {"n": k}} for k in range(ROWS)]
            rows = rows[: 2 if name == "valid" else ROWS]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        self.epochs, self.batch, self.accumulate = self.draw.randint(1, 2), self.draw.choice([2, 3]), 1
        self.rate, self.decay, self.betas = 1e-3, 0.01, [0.9, 0.95]
        self.schedule, self.patience, self.at_end = self.draw.choice(["cosine", "linear", "constant"]), 9, True
        self.extra = self.draw.choice(list(EXTRAS))
        if self.draw.random() < 0.4:
            self.patience, self.at_end = 1, self.draw.random() < 0.5
            self.epochs += 1
        self.begun = 0
        self.changed: dict[str, Any] = {}

    # What is done.

    def phase(self, kill: bool = False) -> None:
        """Let both runs go on to their end, one of them with disturbances; raises AssertionError if they differ."""
        status, said = self._fit("calm", None)
        assert status == 0, said[-900:]
        self._look_for_changes(said, "calm")
        self.kill() if kill else self.disturb()
        status, said = self._fit("run", None)
        assert status == 0, said[-900:]
        assert not (wrong := self.faults()), wrong
        self._look_for_changes(None, "run")
        self.done.append(f"phase of {self.epochs} epochs, step {self._step('run')}")

    def disturb(self) -> None:
        """Stop the run somewhere, perhaps twice."""
        for _ in range(self.draw.choice([1, 1, 2]) if not self.done else self.draw.choice([0, 1])):
            how = self.draw.choice(["error", "error", "SIGINT", "gradient"])
            disturbance = self._disturbance(how)
            status, said = self._fit("run", disturbance)
            self.done.append(f"{how} {disturbance}: {status}")
            assert status in {"error": (0, 1), "gradient": (0, 1), "SIGINT": (0, 130)}[how], said[-900:]
            assert status != 1 or {"error": PURPOSE, "gradient": "was not taken"}[how] in said, said[-900:]

    def kill(self) -> None:
        """Train in a process that is killed at a moment of training, or as a file takes its place."""
        count, after = self.draw.randint(1, 30), self.draw.random() < 0.5
        disturbance = self._disturbance("SIGKILL") if self.draw.random() < 0.5 else None
        child = os.fork()
        if not child:
            if disturbance is None:
                die_at(count, after)
            os._exit(self._fit("run", disturbance)[0])
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, -signal.SIGKILL), code
        self.done.append(f"killed: {code != 0}, {disturbance or f'file {count}'}")

    def change(self) -> None:
        """Draw settings that may change when a run goes on, and let it have more epochs or more patience."""
        before = dict(vars(self))
        over = self._epoch() < self.epochs
        for name in self.draw.sample(["rate", "decay", "betas", "schedule", "batch", "accumulate"], 2):
            if name in ("batch", "accumulate") and self.extra == "growing":
                continue
            setattr(self, name, self.draw.choice([value for value in CHANGES[name] if value != before[name]]))
        if over and self.draw.random() < 0.7:
            self.patience += 1
        elif not over:
            self.epochs += self.draw.randint(1, 2)
        self.begun = self._step("calm")
        self.changed = {KEYS[n]: getattr(self, n) for n in KEYS if getattr(self, n) != before[n]}
        self.done.append(f"change {self.changed}")

    def refuse(self) -> None:
        """Ask for a change that cannot be; nothing on disk may change."""
        broken = self.folder / "broken.ckpt"
        content = bytearray((self.folder / "run/last.ckpt").read_bytes())
        content[self.draw.randrange(len(content) // 4, len(content) // 2)] ^= 1 << self.draw.randrange(8)
        broken.write_bytes(content if self.draw.random() < 0.5 else content[: -self.draw.randrange(1, 2000)])
        averaging = json.dumps({"class_path": "EMAWeightAveraging", "init_args": {"decay": 0.9}})
        options, message = self.draw.choice(
            [
                (["--model.adapter.r", "8"], "adapter.init_args.r: the run has 2"),
                (["--seed_everything", "9"], "seed_everything: the run has 1"),
                (["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1"], "optimizer.class_path"),
                (["--model.optimizer.amsgrad", "true"], "max_exp_avg_sq"),
                (["--data.train", str(self.folder / "others.jsonl")], "other rows"),
                (["--trainer.callbacks+", averaging], "EMAWeightAveraging"),
                (["--ckpt_path", str(broken)], "broken.ckpt"),
                (["--ckpt_path", str(self.folder / "run")], "is a folder"),
            ]
        )
        before = snapshot(self.folder / "run")
        status, said = self._fit("run", None, *options)
        assert status == 1 and message in said, f"{options}: {status}: {said[-900:]}"
        assert snapshot(self.folder / "run") == before, f"{options} left traces"
        self.done.append(f"refused {options[0]}")

    # How it is done.

    def _fit(self, name: str, disturbance: dict[str, Any] | None, *options: str) -> tuple[int, str]:
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(self.settings(name, disturbance)))
        going_on = ["--ckpt_path", "last"] if (self.folder / name / "last.ckpt").exists() else []
        return call(self.folder, ["fit", "--config", str(file), *going_on, *options])

    def _disturbance(self, how: str) -> dict[str, Any]:
        last = self._step("calm")
        where = self.draw.choice(["batch", "batch", "validation", "epoch"])
        return {"step": self.draw.randint(min(self.begun, last), last), "where": where, "how": how}

    def settings(self, name: str, disturbance: dict[str, Any] | None) -> dict[str, Any]:
        """Return the configuration of now for one of the two runs."""
        keeping = {"class_path": "lit_llm.callbacks.RunCheckpoint", "init_args": {"every_n_steps": 1}}
        # Nothing is ever better by as much, so that a run ends when its patience does.
        early = {"monitor": "val/loss", "min_delta": 100.0, "patience": self.patience}
        stopping = {"class_path": "EarlyStopping", "init_args": early | {"check_on_train_epoch_end": self.at_end}}
        made = {"class_path": "torch.optim.AdamW", "init_args": {"lr": self.rate, "weight_decay": self.decay}}
        made["init_args"]["betas"] = self.betas  # type: ignore[index]
        callbacks = [keeping, stopping, *EXTRAS[self.extra]]
        if disturbance:
            callbacks.append({"class_path": "scripts.endurance.disturbing.Disturb", "init_args": disturbance})
        return {
            "seed_everything": 1,
            "model": {
                "class_path": "lit_llm.models.CausalLM",
                "init_args": {
                    "backbone": str(ROOT / "checkpoints/qwen3-tiny"),
                    "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 2, "dropout": 0.1}},
                    "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 1}},
                    "optimizer": made,
                    "schedule": {"name": self.schedule, "warmup": 0},
                },
            },
            "data": {
                "class_path": "lit_llm.data.ExtractionData",
                "init_args": {
                    "train": str(self.folder / "train.jsonl"),
                    "valid": str(self.folder / "valid.jsonl"),
                    "batch_size": self.batch,
                },
            },
            "trainer": {
                "default_root_dir": str(self.folder / name),
                "max_epochs": self.epochs,
                "accumulate_grad_batches": self.accumulate,
                "accelerator": "cpu",
                "log_every_n_steps": 1,
                "num_sanity_val_steps": 0,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "logger": self.extra == "rates",
                "callbacks": callbacks,
            },
        }

    # What has to be so.

    def faults(self) -> list[str]:
        """Return in what the disturbed run is not as it should be."""
        return [*differences(self.folder / "calm", self.folder / "run"), *self._wrong_rates()]

    def _wrong_rates(self) -> Iterator[str]:
        """Yield learning rates of this phase that are not those of its schedule, worked out from the epochs alone."""
        lengths = [
            math.ceil(math.ceil(ROWS / self.batch) / (2 if self.extra == "growing" and epoch else self.accumulate))
            for epoch in range(self.epochs)
        ]
        seen: Counter[int] = Counter()
        for step, epoch, name, value in logged(self.folder / "run"):
            if name != "train/lr" or int(step) < self.begun:
                continue
            share = (sum(lengths[: int(epoch)]) + seen[int(epoch)]) / sum(lengths)
            seen[int(epoch)] += 1
            factor = {"cosine": 0.5 * (1 + math.cos(math.pi * share)), "linear": 1 - share, "constant": 1.0}
            if not math.isclose(float(value), self.rate * factor[self.schedule], rel_tol=1e-6, abs_tol=1e-12):
                yield f"step {step} has rate {value}, not {self.rate * factor[self.schedule]}"

    def _look_for_changes(self, said: str | None, name: str) -> None:
        """Look for the changes of this phase in what was said, in history.jsonl and in config.yaml."""
        for key in self.changed:
            assert said is None or f"{key}: " in said, f"{key} is not said"
        if self._step(name) == self.begun:
            return
        lines = [json.loads(line) for line in (self.folder / name / "history.jsonl").read_text().splitlines()]
        recorded = {key for line in lines if line["step"] >= self.begun for key in line.get("changed", {})}
        assert self.changed.keys() <= recorded, f"history.jsonl lacks {self.changed.keys() - recorded}"
        config = yaml.safe_load((self.folder / name / "config.yaml").read_text())
        for key, value in self.changed.items():
            found = config
            for part in key.split("."):
                found = found[int(part)] if part.isdigit() else found[part]
            assert found == value, f"config.yaml has {key} {found}, not {value}"

    def _step(self, name: str) -> int:
        return int(torch.load(self.folder / name / "last.ckpt", weights_only=True)["global_step"])

    def _epoch(self) -> int:
        """Return how many epochs the run has done."""
        return 1 + max(int(epoch) for _, epoch, name, _ in logged(self.folder / "calm") if name == "train/lr")


KEYS = {
    "rate": f"{OPTIMIZER}.lr",
    "decay": f"{OPTIMIZER}.weight_decay",
    "betas": f"{OPTIMIZER}.betas",
    "schedule": "model.init_args.schedule.name",
    "batch": "data.init_args.batch_size",
    "accumulate": "trainer.accumulate_grad_batches",
    "epochs": "trainer.max_epochs",
    "patience": "trainer.callbacks.1.init_args.patience",
}
"""What may change, and where it stands in a configuration."""

CHANGES: dict[str, list[Any]] = {
    "rate": [3e-4, 2e-3],
    "decay": [0.0, 0.1],
    "betas": [[0.8, 0.9], [0.9, 0.999]],
    "schedule": ["cosine", "linear", "constant"],
    "batch": [1, 2, 3, 6],
    "accumulate": [1, 2],
}

EXTRAS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "timer": [{"class_path": "Timer", "init_args": {"duration": "00:06:00:00"}}],
    "rates": [{"class_path": "LearningRateMonitor", "init_args": {"logging_interval": "step"}}],
    "growing": [{"class_path": "GradientAccumulationScheduler", "init_args": {"scheduling": {"1": 2}}}],
    "every": [{"class_path": "ModelCheckpoint", "init_args": {"filename": "{epoch}", "save_top_k": -1}}],
}
"""Callbacks of Lightning that are listed beside early stopping."""


def one_order(folder: Path, seed: int, phases: int = 2) -> list[str]:
    """Let two runs go through some phases; return what was done, or raise AssertionError with all that led there."""
    order = Order(folder, seed)
    try:
        order.phase()
        for _ in range(phases - 1):
            if order.draw.random() < 0.5:
                order.refuse()
            order.change()
            order.phase()
    except AssertionError as error:
        raise AssertionError(f"order {seed}: {error}\n  " + "\n  ".join(order.done)) from error
    return order.done


def one_kill(folder: Path, seed: int) -> list[str]:
    """Kill a process in its training with SIGKILL, change something, kill another; return what was done."""
    order = Order(folder, seed)
    try:
        order.phase(kill=True)
        order.change()
        order.phase(kill=True)
    except AssertionError as error:
        raise AssertionError(f"kill {seed}: {error}\n  " + "\n  ".join(order.done)) from error
    return order.done


def main() -> None:
    """Run orders and kills, and print how many were done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the first order")
    options = parser.parse_args()
    begun, kinds = time.monotonic(), Counter[str]()
    for made, count in ((one_order, options.orders), (one_kill, options.kills)):
        for seed in range(options.seed, options.seed + count):
            with tempfile.TemporaryDirectory() as folder:
                done = made(Path(folder) / "order", seed)
            kinds.update(line.split(" ")[0].rstrip(":") for line in done)
            print(f"{made.__name__} {seed}: equal ({'; '.join(done)})", flush=True)
    counted = ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))
    print(f"{options.orders} orders, {options.kills} kills ({counted}), {time.monotonic() - begun:.0f} s: all equal")


if __name__ == "__main__":
    main()
