"""Where a run stands in its schedule, also where it goes on with other batches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


@dataclass
class Pace:
    """Translates optimizer steps into places of the schedule, which plans over the epochs as they are cut now.

    A run that goes on with another batch size has made more or fewer steps than its epochs would have now. Its place is
    the share of the epochs that it has done: the rate neither jumps nor ends early.

    Attributes:
        shift: steps made beyond those that as many epochs have now.
        per_epoch: optimizer steps of an epoch; 0 before the first one begins.
    """

    shift: int = 0
    per_epoch: int = 0

    def follow(self, trainer: Trainer) -> None:
        """Note how epochs are cut as a run begins or goes on; changes nothing the second time."""
        now = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        if self.per_epoch and now != self.per_epoch:
            done = trainer.global_step - self.shift
            self.shift = trainer.global_step - round(done * now / self.per_epoch)
        self.per_epoch = now

    def place(self, step: int, trainer: Trainer) -> int:
        """Return the place of an optimizer step among ``planned`` ones; where steps end the run, that is the step."""
        return step if planned(trainer) == trainer.max_steps else step - self.shift

    def end(self, trainer: Trainer) -> float:
        """Return the number of the run's last optimizer step."""
        last = planned(trainer) + (0 if planned(trainer) == trainer.max_steps else self.shift)
        return min(last, trainer.max_steps) if trainer.max_steps >= 0 else last

    def state_dict(self) -> dict[str, int]:
        """Return what a run that goes on needs."""
        return {"shift": self.shift, "per_epoch": self.per_epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Take up what ``state_dict`` returned; checkpoints of an earlier version say nothing."""
        self.shift, self.per_epoch = state.get("shift", 0), state.get("per_epoch", 0)


def planned(trainer: Trainer) -> float:
    """Return the optimizer steps of a whole run whose epochs are all cut as they are now; infinite without an end."""
    from lightning.pytorch.callbacks import GradientAccumulationScheduler

    total: float = trainer.estimated_stepping_batches
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    growing = next((c for c in callbacks if isinstance(c, GradientAccumulationScheduler)), None)
    if growing is None or not math.isfinite(total) or trainer.max_epochs in (None, -1):
        return total
    epochs = range(int(trainer.max_epochs or 0))
    steps = sum(math.ceil(trainer.num_training_batches / growing.get_accumulate_grad_batches(e)) for e in epochs)
    return min(steps, trainer.max_steps) if trainer.max_steps >= 0 else steps


def last_step(trainer: Trainer) -> float:
    """Return the number of a run's last optimizer step; infinite without an end."""
    pace = getattr(trainer.lightning_module, "pace", None)
    return pace.end(trainer) if isinstance(pace, Pace) else trainer.estimated_stepping_batches
