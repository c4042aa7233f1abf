"""What a resumed run takes from its configuration, not from its checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


def check_optimizers(trainer: Trainer, module: Any) -> None:
    """Refuse to go on with an optimizer that cannot use what the checkpoint's has noted.

    Args:
        trainer: whose optimizers have been made, and not yet restored.
        module: the model, which says how they are made.

    Raises:
        ConfigError: if the class is another, or a setting needs what the other has not noted.
    """
    state: dict[str, Any] = trainer._checkpoint_connector._loaded_checkpoint
    if not state:
        return
    own, saved = [type(optimizer).__name__ for optimizer in trainer.optimizers], state["lit_llm"].get("optimizers")
    if saved not in (None, own):
        raise ConfigError(
            f"model.init_args.optimizer: the run to resume has {saved[0]}, this command {own[0]}: what one has noted "
            "means nothing to another; go on with the same, or start a new run"
        )
    noted = [key for group in state["optimizer_states"] for each in group["state"].values() for key in each]
    if noted and (lacks := sorted(_notes(module) - set(noted))):
        raise ConfigError(
            f"model.init_args.optimizer.init_args: {own[0]} needs {', '.join(lacks)} of every weight with these "
            "settings, which the run to resume has not noted: go on with the settings of its config.yaml, of which the "
            "rate, decay and betas may change"
        )


def _notes(module: Any) -> set[str]:
    """Return the names of what an optimizer as configured notes of a weight; of one that cannot be tried, none."""
    weight = nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.zeros(2, 2)
    try:
        optimizer = module.optimizer_factory([{"params": [weight]}])
        optimizer.step()
    except Exception:
        return set()
    return set(optimizer.state[weight])


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
