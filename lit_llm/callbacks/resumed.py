"""What a resumed run takes from its configuration, not from its checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.optim.lr_scheduler import LambdaLR

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


class OptimizerSettings:
    """Learning rates, weight decay and the like as they are configured.

    A checkpoint brings its own, and with them the end of its schedule: a run that is extended would take one step at a
    rate of zero, and another learning rate would have no effect.

    Args:
        trainer: whose optimizers have been made, and not yet restored.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._groups = [
            [
                {key: value for key, value in group.items() if key not in ("params", "lr")}
                for group in optimizer.param_groups
            ]
            for optimizer in trainer.optimizers
        ]

    def apply(self, trainer: Trainer) -> None:
        """Set them again, each learning rate to that of the schedule at the step that comes next."""
        for optimizer, settings in zip(trainer.optimizers, self._groups, strict=True):
            for group, own in zip(optimizer.param_groups, settings, strict=True):
                group.update(own)
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, LambdaLR):
                _follow(config.scheduler)


def _follow(scheduler: LambdaLR) -> None:
    """Let a scheduler stand where its own factors say at the step that it has come to."""
    groups: list[dict[str, Any]] = scheduler.optimizer.param_groups
    scheduler.base_lrs = [group["initial_lr"] for group in groups]
    rates = [
        base * factor(scheduler.last_epoch)
        for base, factor in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    for group, rate in zip(groups, rates, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    scheduler._last_lr = [group["lr"] for group in groups]
