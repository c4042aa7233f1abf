"""Tokens per second, padding and memory."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from lit_llm.batch import Batch

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from torch import Tensor

GIB = 2**30


class TokenClock:
    """Counts the tokens of training batches, and the seconds that training takes without its validations."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Count from here."""
        self.counts: Tensor | None = None
        self._since = time.perf_counter()
        self._paused: float | None = None

    def stop(self) -> None:
        """Stand still, as for a validation."""
        self._paused = time.perf_counter()

    def go_on(self) -> None:
        """Run again after ``stop``; does nothing where it runs."""
        if self._paused is not None:
            self._since += time.perf_counter() - self._paused
            self._paused = None

    def add(self, batch: Batch) -> None:
        """Count the tokens, the learned tokens and the positions of a batch."""
        counts = batch.token_counts
        # Kept on the device: reading a number there would make every step wait for the GPU.
        self.counts = counts if self.counts is None else self.counts + counts

    @property
    def seconds(self) -> float:
        """How long it ran since it was started; more than 0."""
        now = time.perf_counter() if self._paused is None else self._paused
        return max(now - self._since, 1e-9)


class Throughput(Callback):
    """Logs how fast training goes, every ``trainer.log_every_n_steps`` optimizer steps.

    ``speed/tokens_per_second`` counts all tokens that are not padding, ``speed/supervised_tokens_per_second`` those
    that are learned, both over all processes and without the time of validations; ``speed/padding`` is the share of
    positions that hold padding. ``memory/peak_gib`` is the most memory a process has had: on the GPU where there is
    one, else the resident memory of the process.

    Args:
        progress_bar: also show tokens per second in the progress bar.
    """

    def __init__(self, progress_bar: bool = True) -> None:
        self.progress_bar = progress_bar
        self._clock = TokenClock()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._clock.restart()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._clock.stop()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
        self._clock.go_on()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch, and log where the interval is full."""
        if not isinstance(batch, Batch):
            return
        self._clock.add(batch)
        if not trainer.fit_loop._should_accumulate() and trainer._logger_connector.should_update_logs:
            self._log(trainer, pl_module)

    def _log(self, trainer: Trainer, pl_module: LightningModule) -> None:
        counts: Any = self._clock.counts
        total, supervised, positions = trainer.strategy.reduce(counts, reduce_op="sum").tolist()
        seconds = self._clock.seconds
        pl_module.log("speed/tokens_per_second", total / seconds, prog_bar=self.progress_bar)
        pl_module.log("speed/supervised_tokens_per_second", supervised / seconds)
        pl_module.log("speed/padding", 1 - total / max(positions, 1))
        pl_module.log("memory/peak_gib", peak_memory(pl_module.device) / GIB, reduce_fx="max")
        self._clock.restart()


def peak_memory(device: torch.device) -> int:
    """Return the most bytes this process has had on a GPU, or resident in main memory; 0 where it cannot be told."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows has no such module
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
