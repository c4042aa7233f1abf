"""Which rank and scale each layer of a LoRA has: what EVA changes, and files say."""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Self

from torch import nn

from lit_llm.adapters.base import matches
from lit_llm.adapters.peft_base import base_name, tuner_layers


class Ranks(NamedTuple):
    """Which layers are adapted, with which rank and scale: what EVA may change."""

    target_modules: list[str]
    rank_pattern: dict[str, int]
    alpha_pattern: dict[str, float]

    @classmethod
    def of(cls, config: Any) -> Self:
        """Return what a configuration of PEFT says."""
        return cls(sorted(config.target_modules), dict(config.rank_pattern), dict(config.alpha_pattern))

    @classmethod
    def after(cls, network: nn.Module, ranks: dict[str, int], adapter: str) -> Self:
        """Give each layer its new rank, at the scale that it has."""
        config, found = peft_config_of(network, adapter), cls([], {}, {})
        for name, layer in tuner_layers(network):
            key, r = base_name(name, layer), ranks[name]
            if r > 0:
                found.target_modules.append(key)
                found.rank_pattern[key] = r
                found.alpha_pattern[key] = layer.scaling[adapter] * (math.sqrt(r) if config.use_rslora else r)
        return found


def peft_config_of(network: nn.Module, adapter: str) -> Any:
    """Return PEFT's configuration of an adapter."""
    peft: Any = network
    return peft.peft_config[adapter]


def conform(network: nn.Module, ranks: Ranks, adapter: str) -> None:
    """Give every layer the rank and scale of ``ranks``, and unwrap those that it leaves out."""
    config = peft_config_of(network, adapter)
    config.target_modules = set(ranks.target_modules)
    config.rank_pattern, config.alpha_pattern = dict(ranks.rank_pattern), dict(ranks.alpha_pattern)
    for name, layer in list(tuner_layers(network)):
        key = base_name(name, layer)
        if any(matches(target, key) for target in ranks.target_modules):
            _set_rank(layer, *rank_and_scale(config, key), adapter)
        else:
            parent, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(parent), leaf, layer.get_base_layer())


def rank_and_scale(config: Any, key: str) -> tuple[int, float, float]:
    """Return ``r``, ``alpha`` and ``s`` that a configuration of PEFT means for the layer called ``key``."""
    from peft.utils.other import get_pattern_key

    r = config.rank_pattern.get(get_pattern_key(list(config.rank_pattern), key), config.r)
    alpha = config.alpha_pattern.get(get_pattern_key(list(config.alpha_pattern), key), config.lora_alpha)
    return r, alpha, alpha / (math.sqrt(r) if config.use_rslora else r)


def _set_rank(layer: Any, r: int, alpha: float, scale: float, adapter: str) -> None:
    """Change rank and scale within the same parameters; a new rank starts with ``A`` and ``B`` at zero."""
    a, b = layer.lora_A[adapter], layer.lora_B[adapter]
    if r != layer.r[adapter]:
        a.weight.data, b.weight.data = a.weight.new_zeros(r, a.in_features), b.weight.new_zeros(b.out_features, r)
        a.out_features = b.in_features = r
    layer.r[adapter], layer.lora_alpha[adapter], layer.scaling[adapter] = r, alpha, scale
