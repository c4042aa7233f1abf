"""How much of a network an adapter reaches, by kind of layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from lit_llm.adapters.base import causal_lm, is_quantized
from lit_llm.adapters.peft_base import own_weight, tuner_layers
from lit_llm.adapters.targets import is_expert, is_router

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

TOWERS = ("vision", "visual", "audio")
LINEAR_ATTENTION = ("linear_attn", "mamba", "mixer", "temporal_block")
FEED_FORWARD = ("mlp", "feed_forward", "ffn", "fc1", "fc2")
SMALL = 2
"""Dimensions that a weight of a layer has at least; those of norms and biases have one."""


class Share(NamedTuple):
    """The weights of one kind of layer.

    Attributes:
        kind: such as ``attention``.
        weights: how many the backbone has.
        adapted: how many of them belong to a matrix or module that learns, or that something which learns is added to.
        stored: how many of them a quantizer has stored in fewer bits.
    """

    kind: str
    weights: int
    adapted: int
    stored: int


def coverage(network: nn.Module) -> list[Share]:
    """List the backbone's weights by kind of layer, in its order, and how many of them are adapted."""
    model, reached = causal_lm(network), _reached(network)
    rows: dict[str, Share] = {}
    for name, module, weight in _own_weights(network):
        kind = layer_kind(model, name, module, weight)
        size = _size(weight)
        old = rows.get(kind, Share(kind, 0, 0, 0))
        stored = size if weight.dim() >= SMALL and name.endswith(".weight") and is_quantized(module) else 0
        adapted = size if id(weight) in reached else 0
        rows[kind] = Share(kind, old.weights + size, old.adapted + adapted, old.stored + stored)
    return list(rows.values())


def layer_kind(model: PreTrainedModel, name: str, module: nn.Module, weight: Tensor) -> str:
    """Return what kind of layer a weight belongs to, by the parts of its name."""
    parts = name.lower().split(".")
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if any(part.startswith(TOWERS) for part in parts):
        return "images and sounds"
    if weight is getattr(model.get_input_embeddings(), "weight", None):
        return "embedding and head" if head is not None and head.weight is weight else "embedding"
    if head is not None and weight is getattr(head, "weight", None):
        return "output head"
    if "norm" in type(module).__name__.lower() or any("norm" in part for part in parts[-2:]):
        return "norms"
    if is_router(name):
        return "routers"
    if is_expert(name):
        return "experts"
    for kind, marks in (("linear attention", LINEAR_ATTENTION), ("attention", ("attn", "attention"))):
        if any(mark in part for part in parts for mark in marks):
            return kind
    return "feed-forward" if any(mark in part for part in parts for mark in (*FEED_FORWARD, "expert")) else "other"


def _own_weights(network: nn.Module) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Yield name, module and weight of each parameter of the backbone, once, as if no adapter had wrapped it."""
    seen = _added(network)
    for place, module in causal_lm(network).named_modules():
        parts = [part for part in place.split(".") if part not in ("base_layer", "original_module")]
        for key, weight in module.named_parameters(recurse=False):
            if id(weight) not in seen:
                seen.add(id(weight))
                yield ".".join([*parts, key]), module, weight


def _added(network: nn.Module) -> set[int]:
    """Return the identities of the weights that an adapter has added to the backbone."""
    from peft.utils.other import ModulesToSaveWrapper

    parts: list[Any] = [m.modules_to_save for m in network.modules() if isinstance(m, ModulesToSaveWrapper)]
    for _, layer in tuner_layers(network):
        names = (*layer.adapter_layer_names, *layer.other_param_names)
        parts += [part for name in names if isinstance(part := getattr(layer, name, None), nn.Module)]
    return {id(weight) for part in parts for weight in part.parameters()}


def _reached(network: nn.Module) -> set[int]:
    """Return the identities of the backbone's weights that change, or that something is added to."""
    from peft.utils.other import ModulesToSaveWrapper

    found = {id(weight) for weight in network.parameters() if weight.requires_grad}
    for _, layer in tuner_layers(network):
        if any(weight.requires_grad for weight in layer.parameters()):
            found.add(id(own_weight(layer)))
    for module in network.modules():
        if isinstance(module, ModulesToSaveWrapper):
            found |= {id(weight) for weight in module.original_module.parameters()}
    return found


def _size(weight: Tensor) -> int:
    """Return how many numbers a parameter stands for; one of 4 bits holds two of them in a byte."""
    packed = type(weight).__name__ == "Params4bit" and weight.dtype == torch.uint8
    return weight.numel() * (2 if packed else 1)
