"""What a person reads at the end of a verb: how it went, where the results lie, and what to type next."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from lit_llm.batch import Batch
from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.callbacks.prediction_file import has_references
from lit_llm.callbacks.predictions import PredictionWriter
from lit_llm.callbacks.progress_lines import end_bar, span
from lit_llm.callbacks.replacing import recorded
from lit_llm.callbacks.throughput import GIB, TokenClock, peak_memory
from lit_llm.paths import from_here, program

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class RunSummary(Callback):
    """Ends ``fit`` with its best score, where the weights lie and how long it took, and every verb with what is next.

    Tokens per second and memory are those of ``Throughput``, over the whole run. The commands that are named work as
    they are printed.
    """

    def __init__(self) -> None:
        self._clock = TokenClock()
        self._begun = (0, time.monotonic())
        self._lines: list[str] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clocks."""
        self._begun = trainer.global_step, time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of training; a resumed run has its step only now."""
        self._begun = trainer.global_step, self._begun[1]
        self._clock.restart()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the tokens."""
        if isinstance(batch, Batch):
            self._clock.add(batch)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of training."""
        self._clock.stop()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let it go on."""
        self._clock.go_on()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop it for good."""
        self._clock.stop()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the summary of a training that came to its end."""
        counts = self._clock.counts
        # Every process has to come by.
        learned = float(trainer.strategy.reduce(counts, reduce_op="sum")[1]) if counts is not None else 0.0
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        first, begun = self._begun
        took = span(time.monotonic() - begun)
        speed = f"{learned / self._clock.seconds:,.0f} target tokens/s, " if learned else ""
        memory = f"at most {peak_memory(pl_module.device) / GIB:.2f} GiB of memory"
        lines = [f"trained  {trainer.global_step - first:,} steps in {took}; {speed}{memory}"]
        lines += [f"{name:<8} {value}" for name, value in _kept(trainer, pl_module).items()]
        self._lines = lines

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print the summary of a training, or what to do with the result of another verb."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        end_bar(trainer, pl_module, stage)
        folder = Path(trainer.default_root_dir)
        writers: Any = [c for c in trainer.callbacks if isinstance(c, PredictionWriter)]  # type: ignore[attr-defined]
        if stage == "fit" and self._lines:
            tested = _next(trainer, ("test", "predict")) if (folder / "best.ckpt").exists() else []
            data: Any = getattr(trainer, "datamodule", None)
            asked = bool(tested) and getattr(data, "reads_texts", False) and not hasattr(data, "parts")
            _say([*self._lines, *tested, *([f"  {program()} ask --run {from_here(folder)}"] if asked else [])])
            self._lines = []
        elif stage == "test":
            page = [f"  {program()} report {from_here(folder)}"] if (folder / "config.yaml").exists() else []
            _say([*(_next(trainer, ("predict",), _other_weights(trainer)) or ["next"][: len(page)]), *page])
        elif stage == "predict" and writers and has_references(writers[0].target):
            _say(["next", f"  {program()} compare {from_here(writers[0].target)}"])


def _kept(trainer: Trainer, module: Any) -> dict[str, str]:
    """Return the best score and the places of what was kept, by what they are."""
    checkpoint = next((c for c in trainer.checkpoint_callbacks if isinstance(c, RunCheckpoint)), None)
    if checkpoint is None:
        return {}
    folder = Path(trainer.default_root_dir)
    found = {}
    score = checkpoint.best_model_score
    step = recorded(folder / "best.ckpt")["step"]
    at = f" at step {step:,}" if step >= 0 else ""
    if score is None:
        found["best"] = f"the last weights{at}: {checkpoint.monitor} was never measured"
    else:
        found["best"] = f"{checkpoint.monitor} {float(torch.as_tensor(score)):.4g}{at}"
    weights = folder / str(getattr(getattr(module, "adapter", None), "folder", "adapter"))
    found["weights"] = from_here(weights)
    found["folder"] = f"{from_here(folder)}: best.ckpt for other verbs, last.ckpt to go on from"
    return found


def _other_weights(trainer: Trainer) -> str:
    """Return the option that names the weights that were used, where they are not those of ``best.ckpt``."""
    if not trainer.ckpt_path:
        return " --ckpt_path none"
    best = Path(trainer.default_root_dir) / "best.ckpt"
    own = os.path.abspath(trainer.ckpt_path) == os.path.abspath(best)
    return "" if own else f" --ckpt_path {from_here(Path(trainer.ckpt_path))}"


def _next(trainer: Trainer, verbs: tuple[str, ...], option: str = "") -> list[str]:
    """Return the commands of the verbs that this run's data have files for, as they can be typed."""
    config = Path(trainer.default_root_dir) / "config.yaml"
    data: Any = getattr(trainer, "datamodule", None)
    serves = getattr(data, "serves", None)
    if not config.exists() or serves is None:
        return []
    commands = [f"  {program()} {verb} --config {from_here(config)}{option}" for verb in verbs if serves(verb)]
    return ["next", *commands] if commands else []


def _say(lines: list[str]) -> None:
    if lines:
        print("\n".join(["", *lines]), flush=True)
