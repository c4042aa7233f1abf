"""Learning-rate schedules and parameter groups, both per optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from lit_llm.errors import ConfigError


@dataclass
class Schedule:
    """A learning-rate schedule with warm-up.

    Attributes:
        name: ``cosine``, ``linear``, ``constant``, or ``wsd`` (warm-up, stable, decay).
        warmup: optimizer steps of linear warm-up, or a fraction of all steps if below 1.
        final: factor of the learning rate that the decay ends at.
        decay: fraction of all steps that ``wsd`` decays over.
    """

    name: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    warmup: float = 0.05
    final: float = 0.0
    decay: float = 0.2

    def __post_init__(self) -> None:
        if self.warmup < 0 or not 0 <= self.final <= 1 or not 0 < self.decay <= 1:
            raise ConfigError(
                f"model.init_args.schedule: warmup {self.warmup} must be >= 0, final {self.final} in [0, 1], "
                f"decay {self.decay} in (0, 1]"
            )

    def factor(self, step: int, total: int) -> float:
        """Return what the learning rate is multiplied by at optimizer step ``step`` of ``total``, counted from 0."""
        warmup = self.warmup * total if self.warmup < 1 else self.warmup
        if step < warmup:
            # Counted from 1: a first step at a rate of zero would teach nothing.
            return (step + 1) / (math.floor(warmup) + 1)
        progress = min(1.0, (step - warmup) / max(1.0, total - warmup))
        return self.final + (1 - self.final) * self._shape(progress, total, warmup)

    def _shape(self, progress: float, total: int, warmup: float) -> float:
        if self.name == "cosine":
            return 0.5 * (1 + math.cos(math.pi * progress))
        if self.name == "linear":
            return 1 - progress
        if self.name == "constant":
            return 1.0
        share = min(1.0, self.decay * total / max(1.0, total - warmup))
        return min(1.0, (1 - progress) / share)


def parameter_groups(
    parameters: Iterable[tuple[str, nn.Parameter]], scale: Callable[[str], float]
) -> list[dict[str, Any]]:
    """Group trainable weights for an optimizer: no decay on norms and biases, and a learning rate factor by name.

    Args:
        parameters: names and weights; frozen ones are left out.
        scale: factor of the learning rate for a name, as in LoRA+; kept in the group as ``lr_scale``.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, weight in parameters:
        if weight.requires_grad:
            # Norms and biases have one dimension; decay would pull them away from their neutral value.
            groups.setdefault((weight.ndim > 1, scale(name)), []).append(weight)
    return [
        {"params": weights, "lr_scale": factor} | ({} if decays else {"weight_decay": 0.0})
        for (decays, factor), weights in groups.items()
    ]
