"""Lines that say how far a run is, where no progress bar can be seen."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from lit_llm.batch import FILLER, Batch
from lit_llm.callbacks.throughput import TokenClock
from lit_llm.errors import ConfigError
from lit_llm.models.pace import last_step

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class ProgressLines(Callback):
    """Prints a line every half minute where there is no terminal: into the log of a job, a CI or a notebook.

    A line of training holds the step, the epoch, loss and learning rate of that step, the learned tokens per second
    since the line before (over all processes, without validations) and the time that is left at the pace so far,
    validations included. Validation, test and prediction tell the rows that are done. In a terminal the progress bar
    says all this; these lines come there too if the bar is switched off. They go to standard error.

    Args:
        seconds: between two lines; 0 prints none.
    """

    def __init__(self, seconds: float = 30.0) -> None:
        if not 0 <= seconds < math.inf:
            raise ConfigError(f"ProgressLines.seconds is {seconds}: use 0 or more")
        self.seconds = seconds
        self._shown = False
        self._last = 0.0
        self._clock = TokenClock()
        self._begun = (0, 0.0)
        self._rows: RowCount | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the place of a progress bar that nobody would see."""
        bar = trainer.progress_bar_callback
        visible = sys.stdout.isatty()
        if bar is not None and not visible:
            # Without a terminal it would be printed once, at its end, and cut.
            bar.disable()
        self._shown = bool(self.seconds) and trainer.is_global_zero and (bar is None or not visible)
        self._last = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how much there is to do."""
        self._begun = trainer.global_step, time.monotonic()
        self._clock.restart()
        total = _steps(trainer)
        left = f"{total - trainer.global_step:,} of {total:,} steps" if total else "steps without an end"
        self._say(f"training: {left}; a line every {self.seconds:g} s")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print the line of training if it is due."""
        if not self._shown:
            return
        if isinstance(batch, Batch):
            self._clock.add(batch)
        if not self._due() or trainer.fit_loop._should_accumulate():
            return
        self._say(self._training_line(trainer))
        self._clock.restart()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of training, and count the validation's rows."""
        self._clock.stop()
        if not trainer.sanity_checking:
            self._count("validation", trainer.val_dataloaders, trainer.num_val_batches, trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what the validation of a training found, and let the clock go on."""
        self._clock.go_on()
        if self._rows is None or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        names = dict.fromkeys(["val/loss", str(getattr(pl_module, "main_metric", "val/loss"))])
        found = [f"{name} {float(trainer.callback_metrics[name]):.4g}" for name in names if _has(trainer, name)]
        if found:
            took = span(time.monotonic() - self._rows.begun)
            self._say(f"validation at step {trainer.global_step:,}: {', '.join(found)} (in {took})")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the rows of the test files."""
        self._count("test", trainer.test_dataloaders, trainer.num_test_batches, trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the rows to answer."""
        self._count("predict", trainer.predict_dataloaders, trainer.num_predict_batches, trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Print the line of a validation, test or prediction if it is due."""
        if self._shown and self._rows is not None:
            self._rows.add(batch)
            if self._due():
                self._say(self._rows.line())

    on_test_batch_end = on_predict_batch_end = on_validation_batch_end

    def _count(self, verb: str, loaders: Any, batches: Sequence[float], trainer: Trainer) -> None:
        mine = rows_of(loaders, batches)
        # Every process has to come by, whether it prints or not.
        rows = torch.tensor(float(mine), device=trainer.strategy.root_device)
        total = int(trainer.strategy.reduce(rows, reduce_op="sum"))
        if self._shown:
            self._rows = RowCount(verb, mine, total)
            self._say(self._rows.line())

    def _due(self) -> bool:
        return time.monotonic() - self._last >= self.seconds

    def _say(self, line: str) -> None:
        if self._shown:
            print(line, file=sys.stderr, flush=True)
            self._last = time.monotonic()

    def _training_line(self, trainer: Trainer) -> str:
        step, total = trainer.global_step, _steps(trainer)
        parts = [f"step {step:,} of {total:,}" if total else f"step {step:,}"]
        epochs = trainer.max_epochs
        parts.append(f"epoch {trainer.current_epoch + 1}" + (f" of {epochs}" if (epochs or -1) > 0 else ""))
        for name, form in (("train/loss", ".4f"), ("train/lr", ".3g")):
            if _has(trainer, name):
                parts.append(f"{name.removeprefix('train/')} {float(trainer.callback_metrics[name]):{form}}")
        if self._clock.counts is not None:
            # Processes have batches of like size; asking them all would make them wait for each other.
            rate = float(self._clock.counts[1]) * trainer.world_size / self._clock.seconds
            parts.append(f"{rate:,.0f} target tokens/s")
        first, begun = self._begun
        if total and step > first:
            parts.append(f"{span((time.monotonic() - begun) / (step - first) * (total - step))} left")
        return ", ".join(parts)


class RowCount:
    """How many rows of an evaluation are done.

    Args:
        verb: what is done.
        mine: rows of this process; 0 where that is not known before.
        total: rows of all processes.
    """

    def __init__(self, verb: str, mine: int, total: int) -> None:
        self.verb, self.mine, self.total = verb, mine, total
        self.done = 0
        self.begun = time.monotonic()

    def add(self, batch: Any) -> None:
        """Count the rows of a batch that are real."""
        self.done += sum(row_id != FILLER for row_id in getattr(batch, "ids", []))

    def line(self) -> str:
        """Return how far it is; other processes are taken to be as far as this one."""
        if not self.mine:
            return f"{self.verb}: {self.done:,} rows"
        if not self.done:
            return f"{self.verb}: {self.total:,} rows"
        part = min(self.done / self.mine, 1.0)
        left = (time.monotonic() - self.begun) * (1 / part - 1)
        return f"{self.verb}: {round(part * self.total):,} of {self.total:,} rows, {span(left)} left"


def rows_of(loaders: Any, batches: Sequence[float]) -> int:
    """Return the rows of this process in the batches that are used of one loader or several; 0 if one cannot say."""
    several = loaders if isinstance(loaders, list | tuple) else [loaders]
    sizes = [_rows_of(loader, most) for loader, most in zip(several, batches, strict=False)]
    return sum(size or 0 for size in sizes) if None not in sizes else 0


def end_bar(trainer: Trainer, module: LightningModule, stage: str) -> None:
    """Let the progress bar go before something is printed below it; it would be drawn again after every line."""
    if trainer.progress_bar_callback is not None:
        trainer.progress_bar_callback.teardown(trainer, module, stage)


def span(seconds: float) -> str:
    """Return a length of time as people say it: ``8 s``, ``2 min 05 s``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60:,} h {minutes % 60:02} min"


def _steps(trainer: Trainer) -> int:
    """Return the optimizer steps of the whole run; 0 where it has no end."""
    total = last_step(trainer)
    return int(total) if math.isfinite(total) else 0


def _has(trainer: Trainer, name: str) -> bool:
    return name in trainer.callback_metrics


def _rows_of(loader: Any, most: float) -> int | None:
    """Return the rows of a loader's first batches on this process; None where they are not known before."""
    batches = getattr(loader, "batches", None)
    if not callable(batches):
        return None
    mine = islice(batches(0), int(most) if math.isfinite(most) else None)
    return sum(sum(row >= 0 for row in batch) for batch in mine)
