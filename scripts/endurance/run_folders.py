"""Starts, refuses, overwrites, interrupts, kills, resumes, tests and predicts a run in random orders.

After every command another reading of the folder says whether its files belong together. ::

    .venv/bin/python scripts/endurance/run_folders.py --orders 200 --kills 10
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

from lightning.pytorch.callbacks import Callback  # noqa: E402

from lit_llm.errors import UserError  # noqa: E402
from scripts.endurance.calling import call  # noqa: E402
from scripts.endurance.folder_checker import Known, answers_fit, events_of, faults, sha, snapshot  # noqa: E402

ROWS, BATCH = 6, 2
STEPS = ROWS // BATCH
COMMANDS = 5
"""Commands of one order."""


class Stop(Callback):
    """Ends a process amid its training.

    Args:
        batch: how many batches to let pass.
        how: ``SIGINT``, or ``error``.
    """

    def __init__(self, batch: int, how: str) -> None:
        self.batch, self.how = batch, how

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop where it was asked for."""
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batch:
            if self.how == "error":
                raise UserError("stopped on purpose")
            os.kill(os.getpid(), signal.SIGINT)


class World:
    """A run folder, what was done to it, and what should be in it.

    Args:
        folder: to work in; it is made.
        seed: of everything that is drawn.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.run = folder, folder / "run"
        self.draw = random.Random(seed)
        self.known = Known()
        self.epochs = 1
        self.done: list[str] = []
        self.said = ""
        folder.mkdir(parents=True, exist_ok=True)
        self.files = {name: self._rows(name, at) for at, name in enumerate(("train", "valid", "one", "others"))}
        (folder / "bad.jsonl").write_text('{"id": "a", "text": "x", "json": {}}\n{"id": "b", "text": 5}\n')

    def step(self) -> str:
        """Do something, and return what; raises AssertionError if the folder does not belong together then."""
        kinds = [self.start, self.overwrite, self.resume, self.resume, self.kill, self.kill]
        kinds += [self.refused, self.refused, self.measure, self.predict, self.compare]
        self.draw.choice(kinds)()
        wrong = faults(self.run, self.known) if self.run.exists() else []
        assert not wrong, wrong
        return self.done[-1]

    def finish(self) -> None:
        """Bring the run to an end, whatever was done to it, and look at it once more."""
        self.resume(stop=False) if (self.run / "last.ckpt").exists() else self.overwrite(stop=False)
        wrong = faults(self.run, self.known)
        assert not wrong, wrong
        strange = {r for r in events_of(self.run) if not any(abs(r - own) < 1e-7 for own in self.known.rates)}
        assert not strange, f"TensorBoard shows learning rates {strange}"
        assert self._call("test", self.settings()) == 0

    # What is done.

    def start(self) -> None:
        """Begin a run; refused where there is one."""
        if self._weights():
            self._refuse("fit", self.settings(), [])
        else:
            self._fit(fresh=True)

    def overwrite(self, stop: bool = True) -> None:
        """Replace the run, if there is one."""
        self._fit("--overwrite", "true", fresh=True, stop=stop)

    def resume(self, stop: bool = True) -> None:
        """Go on, perhaps longer or at another rate; refused where there is nothing to go on from."""
        name = "best" if (self.run / "best.ckpt").exists() and stop and self.draw.random() < 0.2 else "last"
        if not (self.run / f"{name}.ckpt").exists():
            self._refuse("fit", self.settings(), ["--ckpt_path", name])
            return
        self.epochs += self.draw.random() < 0.6
        self._fit("--ckpt_path", name, fresh=False, stop=stop)

    def kill(self) -> None:
        """Train in a process that is killed before or after one of the moments at which a file takes its place."""
        fresh = not (self.run / "last.ckpt").exists() or self.draw.random() < 0.4
        options = ["--overwrite", "true"] if fresh else ["--ckpt_path", "last"]
        self.epochs = 1 if fresh else self.epochs + 1
        rank = self.draw.choice([2, 4]) if fresh else self.known.rank
        settings, rate = self.settings(rank, new_rate=True)
        at, after = self.draw.randint(1, 24), self.draw.random() < 0.5
        child = os.fork()
        if not child:
            die_at(at, after)
            with open(os.devnull, "w") as null:
                os.dup2(null.fileno(), 1)
                os.dup2(null.fileno(), 2)
                os._exit(self._call("fit", settings, *options))
        _, status = os.waitpid(child, 0)
        killed = os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        assert killed or status == 0, status
        self.done.append(f"fit {' '.join(options)} killed {'after' if after else 'before'} writing {at}: {killed}")
        self._after(fresh, rank, rate, torn=killed)

    def refused(self) -> None:
        """Ask for what cannot be."""
        other = {"r": 8 if self.known.rank is None else self.known.rank * 4}
        cases: list[tuple[str, dict[str, Any], list[str]]] = [
            ("fit", self.settings(), ["--overwrite", "true", "--data.train", "bad.jsonl"]),
            ("fit", self.settings(), ["--overwrite", "true", "--model.optimizer.lr", "-1"]),
            ("fit", self.settings(), ["--overwrite", "true", "--trainer.callbacks.monitor", "val/los"]),
            ("test", self.settings(), ["--data.test", '{"a": "absent.jsonl"}', "--ckpt_path", "none"]),
        ]
        if (self.run / "last.ckpt").exists():
            last = ["--ckpt_path", "last"]
            cases += [
                ("fit", self.settings(), [*last, "--model.adapter.r", str(other["r"])]),
                ("fit", self.settings(), [*last, "--seed_everything", "9"]),
                ("fit", self.settings(), [*last, "--data.train", str(self.files["others"])]),
                ("fit", self.settings(), [*last, "--data.instruction", "Otra cosa:"]),
                ("fit", self.settings(), [*last, "--overwrite", "true"]),
                ("fit", self.settings(), []),
                ("test", self.settings(), [*last, "--model.adapter.r", str(other["r"])]),
            ]
        self._refuse(*self.draw.choice(cases))

    def measure(self) -> None:
        """Test or validate; one file is added to results/, and nothing else changes."""
        verb, name = self.draw.choice(["test", "validate"]), self.draw.choice(["best", "last"])
        checkpoint = self.run / f"{name}.ckpt"
        if not checkpoint.exists():
            self._refuse(verb, self.settings(), ["--ckpt_path", name])
            return
        before = snapshot(self.run)
        assert self._call(verb, self.settings(), "--ckpt_path", name) == 0
        after = snapshot(self.run)
        # The card of the best weights shows the scores of their test.
        changed = {key for key in before if after.get(key) != before[key]} - {"adapter/README.md"}
        assert not changed, f"{verb} changed {changed}"
        [new] = after.keys() - before.keys()
        result = json.loads(after[new][0])
        assert result["checkpoint"]["sha256"] == sha(checkpoint)
        split = "one" if verb == "test" else "valid"
        assert result["data"][split]["sha256"] == sha(self.files[split])
        assert result["scores"][split]["loss"] > 0
        self.done.append(f"{verb} {name}")

    def predict(self) -> None:
        """Answer; refused where other weights have answered into the file."""
        checkpoint = self.run / "best.ckpt"
        if not checkpoint.exists():
            self._refuse("predict", self.settings(), [])
            return
        record = self.run / "predictions.csv.run.json"
        made_by = json.loads(record.read_text())["fingerprint"]["checkpoint"] if record.exists() else None
        if made_by not in (None, sha(checkpoint)[:16]):
            self._refuse("predict", self.settings(), [])
            for path in self.run.glob("predictions.csv*"):
                path.unlink()
        assert self._call("predict", self.settings()) == 0
        assert answers_fit(self.run)
        self.done.append("predict")

    def compare(self) -> None:
        """Score the predictions; refused where other weights have made them."""
        expected = 0 if answers_fit(self.run) else 1
        before = snapshot(self.run) if self.run.exists() else {}
        assert self._main(["compare", str(self.run)]) == expected
        assert (snapshot(self.run) if self.run.exists() else {}) == before
        self.done.append(f"compare: {expected}")

    # How it is done.

    def settings(self, rank: int | None = None, new_rate: bool = False) -> Any:
        """Return a configuration; with ``new_rate`` also its learning rate, drawn once."""
        rates = self.known.rates
        rate = round(self.draw.uniform(1e-4, 2e-3), 8) if new_rate or not rates else rates[-1]
        generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 1}}
        adapter = {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": rank or self.known.rank or 2}}
        files = {name: str(path) for name, path in self.files.items() if name in ("train", "valid")}
        stopping = {"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss", "patience": 99}}
        keeping = {"class_path": "lit_llm.callbacks.RunCheckpoint", "init_args": {"every_n_steps": 2}}
        made = {
            "seed_everything": 1,
            "model": {
                "class_path": "lit_llm.models.CausalLM",
                "init_args": {
                    "backbone": str(ROOT / "checkpoints/qwen3-tiny"),
                    "adapter": adapter,
                    "generator": generator,
                    "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": rate}},
                    "schedule": {"name": "constant", "warmup": 0},
                },
            },
            "data": {
                "class_path": "lit_llm.data.ExtractionData",
                "init_args": files | {"test": {"one": str(self.files["one"])}, "batch_size": BATCH},
            },
            "trainer": {
                "default_root_dir": str(self.run),
                "max_epochs": self.epochs,
                "accelerator": "cpu",
                "log_every_n_steps": 1,
                "num_sanity_val_steps": 0,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "callbacks": [keeping, stopping],
            },
        }
        return (made, rate) if new_rate else made

    def _fit(self, *options: str, fresh: bool, stop: bool = True) -> None:
        if fresh:
            self.epochs = self.draw.randint(1, 2)
        rank = self.draw.choice([2, 4]) if fresh else self.known.rank
        settings, rate = self.settings(rank, new_rate=True)
        batch, how = self.draw.randint(1, STEPS * self.epochs), self.draw.choice(["SIGINT", "error", "no"])
        if stop and how != "no":
            ending = {"class_path": "scripts.endurance.run_folders.Stop", "init_args": {"batch": batch, "how": how}}
            settings["trainer"]["callbacks"].append(ending)
        status = self._call("fit", settings, *options)
        expected = {"SIGINT": (0, 130), "error": (0, 1)}.get(how, (0,)) if stop else (0,)
        assert status in expected, f"{options}, {how}: {status}: {self.said[-500:]}"
        assert status != 1 or "stopped on purpose" in self.said, self.said[-500:]
        self.done.append(f"fit {' '.join(options)} ({how} at {batch}): {status}")
        self._after(fresh, rank, rate, torn=status == 1)

    def _after(self, fresh: bool, rank: int | None, rate: float, torn: bool) -> None:
        """Note what should be there now; of a process that was killed, its configuration says how far it came."""
        config = self.run / "config.yaml"
        begun = config.exists() and f"lr: {rate}\n" in config.read_text()
        if fresh and begun:
            self.known = Known(rank, [rate], torn)
        elif fresh:
            self.known = Known(None if not config.exists() else self.known.rank, self.known.rates, True)
        else:
            self.known.rates = [*self.known.rates, rate]
            self.known.torn = torn or (self.known.torn and not begun)

    def _refuse(self, verb: str, settings: dict[str, Any], options: list[str]) -> None:
        before = snapshot(self.folder)
        status = self._call(verb, settings, *options)
        self.done.append(f"{verb} {' '.join(options)}: refused")
        assert status == 1, f"{self.done[-1]}: status {status}"
        after = snapshot(self.folder)
        changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
        assert changed in ([], ["command.json"]), f"{self.done[-1]} changed {changed}"

    def _call(self, verb: str, settings: dict[str, Any], *options: str) -> int:
        file = self.folder / "command.json"
        file.write_text(json.dumps(settings))
        return self._main([verb, "--config", str(file), *options])

    def _main(self, arguments: list[str]) -> int:
        status, self.said = call(self.folder, arguments)
        return status

    def _weights(self) -> bool:
        return any((self.run / name).exists() for name in ("best.ckpt", "last.ckpt", "adapter"))

    def _rows(self, name: str, at: int) -> Path:
        path = self.folder / f"{name}.jsonl"
        rows = [{"id": f"{name}{k}", "text": f"trae {at * 20 + k}", "json": {"n": k}} for k in range(ROWS)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path


def die_at(count: int, after: bool) -> None:
    """Let this process be killed before or after the so-manieth time that a file or folder takes its place."""
    real: Callable[..., None] = os.replace
    left = [count]

    def replace(*args: Any, **kwargs: Any) -> None:
        left[0] -= 1
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args, **kwargs)
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = replace


def one_order(folder: Path, seed: int, commands: int = COMMANDS) -> list[str]:
    """Do some commands in a random order; return them, or raise AssertionError with all that led there."""
    world = World(folder, seed)
    try:
        for _ in range(commands):
            world.step()
        world.finish()
    except AssertionError as error:
        raise AssertionError(f"order {seed}: {error}\n  " + "\n  ".join(world.done)) from error
    return world.done


def one_kill(folder: Path, seed: int) -> str:
    """Kill a whole process at a random moment of its training, then go on; return what was done."""
    world = World(folder, seed)
    world.overwrite(stop=False)
    fresh = world.draw.random() < 0.5
    world.epochs = 1 if fresh else world.epochs
    world.epochs += 30
    rank = world.draw.choice([2, 4]) if fresh else world.known.rank
    settings, rate = world.settings(rank, new_rate=True)
    (folder / "command.json").write_text(json.dumps(settings))
    options = ["--overwrite", "true"] if fresh else ["--ckpt_path", "last"]
    command = [sys.executable, "-m", "lit_llm", "fit", "--config", "command.json", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    before = (world.run / "metrics.csv").stat().st_mtime_ns
    log = (folder / "log").open("w")
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    while process.poll() is None and before == _time_of(world.run / "metrics.csv"):
        time.sleep(0.001)
    time.sleep(world.draw.uniform(0, 2.0))
    process.send_signal(signal.SIGKILL)
    status = process.wait()
    assert status == -signal.SIGKILL, (folder / "log").read_text()[-2000:]
    world._after(fresh, rank, rate, torn=True)
    assert not (wrong := faults(world.run, world.known)), wrong
    metrics = world.run / "metrics.csv"
    at = len(metrics.read_text().splitlines()) if metrics.exists() else "no"
    world.measure()
    world.finish()
    return f"{' '.join(options)} killed with {at} lines of metrics.csv"


def _time_of(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def main() -> None:
    """Run orders and kills, and print how many were done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the first order")
    options = parser.parse_args()
    begun, kinds = time.monotonic(), Counter[str]()
    for seed in range(options.seed, options.seed + options.orders):
        with tempfile.TemporaryDirectory() as folder:
            for line in one_order(Path(folder) / "order", seed):
                kinds[
                    "killed" if line.endswith("True") else "refused" if "refused" in line else line.split(" ")[0]
                ] += 1
        print(f"order {seed}: whole", flush=True)
    for seed in range(options.seed, options.seed + options.kills):
        with tempfile.TemporaryDirectory() as folder:
            print(f"kill {seed}: {one_kill(Path(folder) / 'kill', seed)}, whole", flush=True)
    done = ", ".join(f"{name} {count}" for name, count in sorted(kinds.items()))
    took = f"{time.monotonic() - begun:.0f} s"
    print(f"{options.orders} orders ({done}), {options.kills} kills, {took}: all belongs together")


def _kind(line: str) -> str:
    endings = {"True": "killed", "refused": "refused"}
    return next((kind for end, kind in endings.items() if line.endswith(end)), line.split(" ")[0].rstrip(":"))


if __name__ == "__main__":
    main()
