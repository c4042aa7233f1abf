"""Ctrl-C that leaves a run which can be resumed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.paths import from_here, program

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class GracefulInterrupt(Callback):
    """Stops training after the optimizer step under way, with ``last.ckpt`` written.

    The first Ctrl-C (or SIGTERM) lets the step finish, saves and says how to resume; in a validation it saves at
    once, and the resumed run repeats the validation. A second one stops without saving. The exit code is 128 plus
    the signal's number: 130 for Ctrl-C, 143 for SIGTERM.

    Args:
        signals: names of the signals to heed.
    """

    def __init__(self, signals: tuple[str, ...] = ("SIGINT", "SIGTERM")) -> None:
        self.signals = [signal.Signals[name] for name in signals]
        self._received: int | None = None
        self._asked = False
        self._previous: dict[signal.Signals, Any] = {}
        self._process = os.getpid()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Heed Ctrl-C before loader processes are forked, because they inherit how it is handled."""
        self._received, self._asked = None, False
        self._process = os.getpid()
        self._install(signal.SIGINT)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Heed the other signals; Lightning has set its own handlers by now, which stop amid a step."""
        for number in self.signals:
            self._install(number)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop here if the checkpoint is written: the last step has been logged by now."""
        if self._asked and _saved(trainer):
            self._stop(trainer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Agree with the other processes on stopping, and ask for the checkpoint."""
        if trainer.fit_loop.epoch_loop._should_accumulate():
            return
        checkpoint = _checkpoint(trainer)
        if not self._agreed(trainer):
            return
        self._asked = True
        if checkpoint:
            checkpoint.request()

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Stop amid a validation."""
        if trainer.state.fn != "fit" or not self._agreed(trainer):
            return
        checkpoint = _checkpoint(trainer)
        written = trainer.sanity_checking or checkpoint is None or (self._asked and checkpoint.saved)
        if written or (checkpoint and checkpoint.write_before_validation(trainer)):
            self._stop(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back."""
        self._restore()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back."""
        self._restore()

    def _install(self, number: signal.Signals) -> None:
        if number not in self.signals or number in self._previous:
            return
        if threading.current_thread() is threading.main_thread():
            self._previous[number] = signal.signal(number, self._heed)

    def _restore(self) -> None:
        for number, previous in self._previous.items():
            # Lightning may have given it back already, to whom it took it from.
            if signal.getsignal(number) == self._heed:
                signal.signal(number, previous or signal.SIG_DFL)
        self._previous = {}

    def _heed(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            _in_loader_process(number)
        elif not self._previous:
            # Lightning puts handlers back on its way out, after this callback has let go of them.
            signal.default_int_handler(number, frame)
        elif self._received:
            raise SystemExit(128 + number)
        else:
            self._received = number
            _say("\nFinishing this step and saving; once more stops at once.\n")

    def _agreed(self, trainer: Trainer) -> bool:
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(bool(self._received), all=False)
            self._received = self._received or (int(signal.SIGINT) if stop else None)
        return bool(self._received)

    def _stop(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            _say(f"\n{_advice(trainer)}\n")
        raise SystemExit(128 + (self._received or int(signal.SIGINT)))


def _checkpoint(trainer: Trainer) -> RunCheckpoint | None:
    return next((c for c in trainer.checkpoint_callbacks if isinstance(c, RunCheckpoint)), None)


def _saved(trainer: Trainer) -> bool:
    checkpoint = _checkpoint(trainer)
    return checkpoint is None or checkpoint.saved


def _in_loader_process(number: int) -> None:
    # A terminal sends Ctrl-C to loader processes too; they must go on serving until the step is done.
    if number != signal.SIGINT:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _advice(trainer: Trainer) -> str:
    folder = Path(trainer.default_root_dir)
    if not (folder / "last.ckpt").exists() or _checkpoint(trainer) is None:
        return "Stopped before any checkpoint was written: start the run again."
    return (
        f"Stopped after step {trainer.global_step}. To go on from there:\n"
        f"  {program()} fit --config {from_here(folder / 'config.yaml')} --ckpt_path last"
    )


def _say(text: str) -> None:
    # Not print: a signal may arrive amid a print, whose buffer cannot be entered twice.
    sys.stderr.flush()
    os.write(2, text.encode())
