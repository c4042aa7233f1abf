"""Several adapters on one network, of which one computes at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import nn

from lit_llm.adapters.peft_base import PeftAdapter, put_on, tuner_layers
from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def refuse_together(adapters: dict[str, Any]) -> None:
    """Refuse adapters that cannot share a network.

    Args:
        adapters: by the setting that names them.

    Raises:
        ConfigError: if one is none of PEFT's, changes the frozen weights, starts from data, follows the run, or lets
            weights learn that are not its own.
    """
    for key, adapter in adapters.items():
        place = f"model.init_args.{key}"
        if not isinstance(adapter, PeftAdapter) or not adapter.shares:
            raise ConfigError(f"{place}: {adapter.kind} cannot share a backbone with other adapters; use LoRA or DoRA")
        if adapter.modules_to_save or adapter.bias != "none":
            name = "modules_to_save" if adapter.modules_to_save else "bias"
            raise ConfigError(f"{place}.{name}: what learns besides the adapter would be shared by all; leave it out")


def wrap_together(model: PreTrainedModel, adapters: Sequence[PeftAdapter]) -> nn.Module:
    """Freeze a model and put adapters on it, each under its own name; the first one computes until ``active`` says.

    Args:
        model: the backbone.
        adapters: with names that differ.

    Raises:
        ConfigError: for the reasons of each adapter's own ``wrap``.
    """
    network: nn.Module = model
    # All before the first is put on: layers have other names afterwards.
    for adapter, config in [(adapter, adapter.configuration(model)) for adapter in adapters]:
        network = put_on(network, config, adapter.name)
    for adapter in adapters:
        adapter.prepare(network)
    return network


def let_learn(network: nn.Module, names: Collection[str]) -> None:
    """Let the adapters of these names learn, and no others."""
    for name, parameters in adapter_parameters(network):
        for parameter in parameters:
            parameter.requires_grad_(name in names)


def stop_dropout(network: nn.Module, name: str) -> None:
    """Take dropout out of an adapter that does not learn, so that no switch to training brings it back."""
    for _, layer in tuner_layers(network):
        if name in layer.lora_dropout:
            layer.lora_dropout[name] = nn.Identity()


def adapter_parameters(network: nn.Module) -> Iterator[tuple[str, list[nn.Parameter]]]:
    """Yield the parameters of each adapter on each layer, with the adapter's name."""
    for _, layer in tuner_layers(network):
        for part in layer.adapter_layer_names:
            for name, held in getattr(layer, part).items():
                yield name, list(held.parameters()) if hasattr(held, "parameters") else [held]


@contextmanager
def active(network: nn.Module, name: str) -> Iterator[None]:
    """Let one adapter compute meanwhile; unlike PEFT's ``set_adapter`` this says nothing of what learns."""
    layers = [layer for _, layer in tuner_layers(network)]
    before = [layer._active_adapter for layer in layers]
    try:
        for layer in layers:
            layer._active_adapter = [name]
        yield
    finally:
        for layer, other in zip(layers, before, strict=True):
            layer._active_adapter = other


def active_name(network: nn.Module) -> str:
    """Return the name of the adapter that computes."""
    return str(next(layer for _, layer in tuner_layers(network)).active_adapters[0])
