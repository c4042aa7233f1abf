"""What disturbs a training on purpose."""

from __future__ import annotations

import os
import signal
from typing import Any

from lightning.pytorch.callbacks import Callback

from lit_llm.errors import UserError

PURPOSE = "stopped on purpose"


class Disturb(Callback):
    """Disturbs a training once, at the first moment of a kind from an optimizer step on.

    Args:
        step: optimizer steps to let pass.
        where: ``batch`` (at its start), ``validation`` (amid it) or ``epoch`` (at its end).
        how: ``error``, ``SIGINT``, ``SIGKILL``, or ``gradient`` that is not finite.
    """

    def __init__(self, step: int, where: str = "batch", how: str = "error") -> None:
        self.step, self.where, self.how, self.done = step, where, how, False

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Disturb a batch."""
        self._now(trainer, "batch")

    def on_validation_batch_start(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """Disturb a validation."""
        self._now(trainer, "validation")

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Disturb the end of an epoch."""
        self._now(trainer, "epoch")

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        """Spoil a gradient."""
        if self.how == "gradient" and trainer.global_step >= self.step and not self.done:
            self.done = True
            next(w for w in pl_module.parameters() if w.grad is not None).grad.view(-1)[0] = float("nan")

    def _now(self, trainer: Any, where: str) -> None:
        if self.done or where != self.where or self.how == "gradient" or trainer.global_step < self.step:
            return
        self.done = True
        if self.how == "error":
            raise UserError(PURPOSE)
        os.kill(os.getpid(), signal.Signals[self.how])
