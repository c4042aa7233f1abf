"""AdaLoRA: ranks that move to the layers which need them."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from lit_llm.adapters.peft_base import PeftAdapter
from lit_llm.errors import ConfigError

# Annotations are evaluated here: postponed ones would make jsonargparse import what this block guards.
if TYPE_CHECKING:
    from peft import PeftConfig

_STATISTICS = ("ipt", "exp_avg_ipt", "exp_avg_unc")


class AdaLoRA(PeftAdapter):
    """Adaptive budget allocation, ``W + s·B·Λ·A`` with a mask on ``Λ`` (https://arxiv.org/abs/2303.10512).

    Every layer starts with rank ``initial_r``; between two phases of constant rank the budget falls to an average
    of ``r``, and the least important directions of the whole network are zeroed.

    Args:
        r: average rank at the end.
        initial_r: rank of every layer at the start.
        alpha: scale of the update; ``s`` is ``alpha / initial_r``.
        dropout: dropout on the adapter's input.
        initial_share: share of the run before the budget starts to fall.
        final_share: share of the run after the budget has fallen.
        interval: optimizer steps between two allocations.
        orthogonality: weight of the penalty that keeps the rows of ``A`` and the columns of ``B`` orthogonal.
        target_modules: names of linear layers to adapt; by default, or with ``all-linear``, each one but routers and
            the output head.
        modules_to_save: names of modules that learn whole beside the adapter.
        bias: which bias terms learn: ``none``, ``all`` of the model, or those of the ``adapted`` layers.
    """

    changes_products = True

    def __init__(
        self,
        r: int = 8,
        initial_r: int = 12,
        alpha: float = 32,
        dropout: float = 0.0,
        initial_share: float = 0.1,
        final_share: float = 0.3,
        interval: int = 10,
        orthogonality: float = 0.5,
        target_modules: list[str] | Literal["all-linear"] | None = None,
        modules_to_save: list[str] | None = None,
        bias: Literal["none", "all", "adapted"] = "none",
    ) -> None:
        super().__init__(target_modules, modules_to_save, bias)
        if not 1 <= r < initial_r:
            raise ConfigError(f"adapter.initial_r: must be above r and r at least 1, got {initial_r} and {r}")
        if min(initial_share, final_share) < 0 or initial_share + final_share >= 1:
            shares = f"{initial_share} + {final_share}"
            raise ConfigError(f"adapter.final_share: initial_share + final_share must stay below 1, got {shares}")
        if interval < 1:
            raise ConfigError(f"adapter.interval: at least 1 optimizer step, got {interval}")
        self.r, self.initial_r, self.alpha, self.dropout = r, initial_r, alpha, dropout
        self.initial_share, self.final_share, self.interval = initial_share, final_share, interval
        self.orthogonality = orthogonality

    def _config(self, **shared: Any) -> "PeftConfig":
        from peft import AdaLoraConfig

        return AdaLoraConfig(
            target_r=self.r,
            init_r=self.initial_r,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            deltaT=self.interval,
            orth_reg_weight=self.orthogonality,
            # The run's length is known at its first step only; PEFT wants some number before.
            total_step=1,
            **shared,
        )

    def penalty(self, network: nn.Module) -> Tensor | None:
        """Return ``orthogonality`` times the mean of ``‖A·Aᵀ − I‖`` and ``‖Bᵀ·B − I‖`` over all layers."""
        terms = []
        for name, p in network.named_parameters():
            if name.endswith((f"lora_A.{self.name}", f"lora_B.{self.name}")):
                gram = p @ p.T if "lora_A" in name else p.T @ p
                terms.append((gram - torch.eye(len(gram), device=p.device, dtype=p.dtype)).norm())
        return self.orthogonality * torch.stack(terms).mean() if terms and self.orthogonality else None

    def after_step(self, network: nn.Module, step: int, total_steps: int) -> None:
        """Score the directions from weights and gradients, and zero those beyond the budget of this step.

        Raises:
            ConfigError: the run has no fixed length.
        """
        if not 1 <= total_steps < math.inf:
            raise ConfigError(f"adapter: AdaLoRA plans over the whole run: set max_steps or max_epochs ({total_steps})")
        peft: Any = network
        config, allocator = peft.peft_config[self.name], peft.base_model.rankallocator
        config.total_step = int(total_steps)
        config.tinit, config.tfinal = int(self.initial_share * total_steps), int(self.final_share * total_steps)
        if not allocator.ipt and step == config.total_step - config.tfinal:
            # PEFT scores nothing at the last allocation, so a run too short for another would find no scores.
            allocator.update_ipt(peft.base_model.model)
        peft.base_model.update_and_allocate(step)

    def state_dict(self, network: nn.Module) -> dict[str, Any]:
        """Return the mask and the running scores of the allocator."""
        peft: Any = network
        allocator = peft.base_model.rankallocator
        scores = {key: dict(getattr(allocator, key)) for key in _STATISTICS}
        return {"rank_pattern": copy.deepcopy(peft.peft_config[self.name].rank_pattern), **scores}

    def load_state_dict(self, network: nn.Module, state: dict[str, Any]) -> None:
        """Give the allocator back its mask and scores, on the devices of the weights that they belong to."""
        peft: Any = network
        peft.peft_config[self.name].rank_pattern = copy.deepcopy(state["rank_pattern"])
        devices = {name: p.device for name, p in peft.base_model.model.named_parameters()}
        for key in _STATISTICS:
            scores = {name: score.to(devices[name]) for name, score in state[key].items()}
            setattr(peft.base_model.rankallocator, key, scores)

    def _export(self, network: nn.Module) -> tuple["PeftConfig", dict[str, Tensor]]:
        """Leave out masked directions, unless training has moved one since: then all are written."""
        config: Any
        config, tensors = super()._export(network)
        pattern = {key.replace(f".{self.name}", ""): mask for key, mask in (config.rank_pattern or {}).items()}
        rows = {f"base_model.model.{key}": torch.tensor(mask) for key, mask in pattern.items()}
        still = all(not tensors[key].cpu()[~mask].any() for key, mask in rows.items())
        config.rank_pattern = pattern if pattern and still else None
        if config.rank_pattern:
            for key, mask in rows.items():
                _resize(tensors, key, partial(_cut, mask))
        return config, tensors

    def _delta(self, layer: Any) -> Tensor:
        # PEFT has no such method for layers over a quantized base; this is what their forward pass computes.
        a, b, e = (part[self.name] for part in (layer.lora_A, layer.lora_B, layer.lora_E))
        delta: Tensor = layer.scaling[self.name] / (layer.ranknum[self.name] + 1e-5) * (b @ (a * e))
        return delta

    def _tensors(self, network: nn.Module) -> dict[str, Tensor]:
        """Return all ``initial_r`` directions: PEFT would cut masked ones, moved or not."""
        config = cast(Any, network).peft_config[self.name]
        pattern, config.rank_pattern = config.rank_pattern, None
        try:
            return super()._tensors(network)
        finally:
            config.rank_pattern = pattern

    def _import(self, network: nn.Module, saved: "PeftConfig", tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put the directions back in their rows; the others stay zero, which gives the same layer."""
        alpha, rank = cast(Any, saved).lora_alpha, cast(Any, saved).init_r
        if alpha / rank != self.alpha / self.initial_r:
            scales = f"a scale of {alpha} / {rank}, the configuration gives {self.alpha} / {self.initial_r}"
            raise ConfigError(f"adapter.alpha: what was saved has {scales}; use the run's own config.yaml")
        for key, mask in (cast(Any, saved).rank_pattern or {}).items():
            _resize(tensors, f"base_model.model.{key}", partial(_spread, torch.tensor(mask)))
        cast(Any, network).peft_config[self.name].rank_pattern = None
        return tensors


def _resize(tensors: dict[str, Tensor], key: str, change: Callable[[Tensor], Tensor]) -> None:
    """Apply ``change`` along the rank of the three tensors of the layer whose ``lora_E`` is ``key``."""
    key_a, key_b = key.replace("lora_E", "lora_A"), key.replace("lora_E", "lora_B")
    tensors[key], tensors[key_a] = change(tensors[key]), change(tensors[key_a])
    tensors[key_b] = change(tensors[key_b].T).T


def _cut(mask: Tensor, full: Tensor) -> Tensor:
    return full.cpu()[mask]


def _spread(mask: Tensor, cut: Tensor) -> Tensor:
    full = cut.new_zeros(len(mask), *cut.shape[1:])
    full[mask] = cut
    return full
