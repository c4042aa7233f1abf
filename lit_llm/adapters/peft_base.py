"""What the adapters built on PEFT share: targets, dtype, files, merging."""

from __future__ import annotations

import copy
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from lit_llm.adapters.base import Adapter, is_quantized, replace_file
from lit_llm.adapters.targets import (
    ALL,
    Targets,
    plain_weights,
    read_as_experts,
    refuse_tied,
    resolve_modules,
    whole_names,
)
from lit_llm.errors import ConfigError, UserError

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


class PeftAdapter(Adapter):
    """What LoRA, DoRA, VeRA and AdaLoRA share: targets, dtype, files, merging.

    Args:
        target_modules: names of linear layers to adapt; by default, or with ``all-linear``, each one but routers and
            the output head.
        modules_to_save: names of modules that learn whole beside the adapter.
        bias: which bias terms learn: ``none``, ``all`` of the model, or those of the ``adapted`` layers.
    """

    folder = "adapter"

    def __init__(
        self,
        target_modules: list[str] | Literal["all-linear"] | None = None,
        modules_to_save: list[str] | None = None,
        bias: Literal["none", "all", "adapted"] = "none",
    ) -> None:
        self.target_modules: list[str] | str = ALL if target_modules is None else target_modules
        self.modules_to_save = modules_to_save
        self.bias = bias

    @abstractmethod
    def _config(self, **shared: Any) -> PeftConfig:
        """Build PEFT's configuration from the shared settings and this adapter's own."""

    def wrap(self, model: PreTrainedModel) -> nn.Module:
        """Freeze ``model`` and wrap its target layers; a 16-bit backbone gets float32 adapter weights.

        Raises:
            ConfigError: a name fits no layer, a target's weight is tied to another's, or ``bias`` finds none.
        """
        network = put_on(model, self.configuration(model), self.name)
        self.prepare(network)
        return network

    def configuration(self, model: PreTrainedModel) -> PeftConfig:
        """Return PEFT's configuration of this adapter on a model that none is on yet; raises what ``wrap`` does."""
        targets = self._targets(model)
        whole = whole_names(model, self.modules_to_save or [])
        for name in (*targets.modules, *whole):
            refuse_tied(model, name)
        if self.bias != "none" and not any(key.endswith(".bias") for key, _ in model.named_parameters()):
            raise ConfigError(f"adapter.bias: {self.bias!r}, but {type(model).__name__} has no bias terms; use 'none'")
        bias = {"adapted": f"{self._bias_prefix}_only"}.get(self.bias, self.bias)
        shared: dict[str, Any] = {"modules_to_save": whole or None, "bias": bias, "task_type": "CAUSAL_LM"}
        if targets.parameters:
            shared["target_parameters"] = targets.parameters
        return self._config(target_modules=targets.modules, **shared)

    def prepare(self, network: nn.Module) -> None:
        """Start the layers of this adapter, which has just been put on; raises what ``wrap`` does."""

    @property
    def shares(self) -> bool:
        """Whether the backbone may have other adapters beside it."""
        return False

    _bias_prefix: ClassVar[str] = "lora"

    def experts_left(self) -> str:
        """Return why this adapter does not reach weights of no linear layer, such as fused experts; "" if it does."""
        return f"{type(self).__name__} reaches linear layers alone"

    def _targets(self, model: PreTrainedModel) -> Targets:
        """Return what is adapted.

        Raises:
            ConfigError: a name fits no layer, or one that PEFT would put on fused experts.
        """
        modules = resolve_modules(model, self.target_modules)
        experts = read_as_experts(model, self._config(target_modules=modules, bias="none", task_type="CAUSAL_LM"))
        reached = [] if self.experts_left() else list(plain_weights(model, experts))
        if len(reached) < len(experts) and self.target_modules != ALL:
            why = self.experts_left() or "they are quantized"
            raise ConfigError(
                f"adapter.target_modules: PEFT takes {experts[0]!r} of {type(model).__name__} for its experts, and its "
                f"linear layers of that name are out of reach ({why}); leave it out"
            )
        return Targets([name for name in modules if name not in experts], reached)

    def save(self, network: nn.Module, folder: Path) -> None:
        """Write ``adapter_model.safetensors`` and ``adapter_config.json``, which PEFT alone can open."""
        folder.mkdir(parents=True, exist_ok=True)
        config, tensors = self._export(network)
        config.inference_mode = True
        targets: Any = config
        targets.target_modules = sorted(targets.target_modules)
        if getattr(config, "target_parameters", None):
            targets.target_parameters = sorted(targets.target_parameters)
        replace_file(folder / "adapter_model.safetensors", tensors)
        config.save_pretrained(str(folder))

    def _tensors(self, network: nn.Module) -> dict[str, Tensor]:
        """Return what learns under the names that PEFT writes, as held in memory."""
        from peft import get_peft_model_state_dict

        return dict(get_peft_model_state_dict(cast(Any, network), adapter_name=self.name, save_embedding_layers=False))

    def _export(self, network: nn.Module) -> tuple[PeftConfig, dict[str, Tensor]]:
        """Return the configuration and tensors to write; both are the caller's to change."""
        return copy.deepcopy(cast(Any, network).peft_config[self.name]), self._tensors(network)

    def load(self, network: nn.Module, folder: Path) -> None:
        """Put saved weights into a network that ``wrap`` made with the same settings.

        Raises:
            ConfigError: the folder lacks the file, or holds another kind, other layers or other ranks.
        """
        from peft import PeftConfig, set_peft_model_state_dict
        from peft.utils.save_and_load import load_peft_weights

        if not (folder / "adapter_model.safetensors").is_file():
            raise ConfigError(f"adapter: {folder} holds no adapter_model.safetensors; is the run finished?")
        saved, peft = PeftConfig.from_pretrained(str(folder)), cast(Any, network)
        if saved.peft_type != peft.peft_config[self.name].peft_type:
            kinds = f"{saved.peft_type} but the configuration asks for {peft.peft_config[self.name].peft_type}"
            raise ConfigError(f"adapter.class_path: {folder} holds {kinds}; use the run's own config.yaml")
        tensors = self._import(network, saved, load_peft_weights(str(folder), device="cpu"))
        _compare(self._tensors(network), tensors, folder)
        set_peft_model_state_dict(peft, tensors, adapter_name=self.name)

    def _import(self, network: nn.Module, saved: PeftConfig, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Undo ``_export``: fit the network to what was saved, and the tensors to the network."""
        return tensors

    def merge(self, network: nn.Module) -> PreTrainedModel:
        """Write each layer's effective weight, computed in float32, into the backbone, and unwrap it.

        Raises:
            ConfigError: the backbone is quantized.
            UserError: a merged weight is not finite.
        """
        layers = list(tuner_layers(network))
        for name, layer in layers:
            if not parameter_name(layer) and is_quantized(layer.get_base_layer()):
                kind = type(layer.get_base_layer()).__name__
                raise ConfigError(f"adapter: cannot merge into the {kind} at {name}: open the backbone unquantized")
        with torch.no_grad():
            for name, layer in layers:
                self._merge_layer(name, layer)
        return cast("PreTrainedModel", cast(Any, network).base_model.unload())

    def _merge_layer(self, name: str, layer: Any) -> None:
        base, dtype = layer.get_base_layer(), own_weight(layer).dtype
        # In float32, because a 16-bit sum of base and update rounds small updates away.
        layer.float()
        weight = self.effective_weight(layer)
        if not bool(torch.isfinite(weight).all()):
            raise UserError(f"adapter: the merged weight of {name} is not finite; the run has diverged")
        own_weight(layer).data = weight
        base.to(dtype)

    def effective_weight(self, layer: nn.Module) -> Tensor:
        """Return ``W + ΔW``, ``[out, in]`` (``[E, …]`` of fused experts); of a plain layer, its own weight."""
        from peft.tuners.tuners_utils import BaseTunerLayer
        from peft.utils.integrations import dequantize_module_weight

        inner: Any = layer
        if hasattr(inner, "modules_to_save"):
            return cast(Tensor, inner.modules_to_save[self.name].weight)
        if not isinstance(inner, BaseTunerLayer):
            return cast(Tensor, dequantize_module_weight(inner))
        stored = own_weight(inner) if parameter_name(inner) else dequantize_module_weight(inner.get_base_layer())
        return self._combine(inner, stored)

    def _combine(self, layer: Any, weight: Tensor) -> Tensor:
        """Return the weight of a wrapped layer from that of its base, in the wider dtype of the two."""
        delta = self._delta(layer)
        return weight.to(torch.promote_types(weight.dtype, delta.dtype)) + delta

    def _delta(self, layer: Any) -> Tensor:
        """Return the update ``ΔW`` of a wrapped layer."""
        delta: Tensor = layer.get_delta_weight(self.name)
        return delta


def put_on(model: nn.Module, config: PeftConfig, name: str) -> nn.Module:
    """Put an adapter on a model, beside those that are on it already, and return the network that holds both."""
    from peft import get_peft_model

    with warnings.catch_warnings():
        # PEFT says so of patterns that fit a parameter too, and LoRA refuses those that fit nothing.
        warnings.filterwarnings("ignore", message=r"The following \w+_pattern keys")
        if not hasattr(model, "peft_config"):
            return cast(nn.Module, get_peft_model(cast(Any, model), config, adapter_name=name))
        cast(Any, model).add_adapter(name, config)
        return model


def parameter_name(layer: Any) -> str:
    """Return the name of the parameter that PEFT has wrapped instead of a linear layer; "" for a linear layer."""
    return str(getattr(layer, "parameter_name", ""))


def own_weight(layer: Any) -> Tensor:
    """Return the frozen weight under an adapted layer, as it is stored."""
    return cast(Tensor, getattr(layer.get_base_layer(), parameter_name(layer) or "weight"))


def base_name(name: str, layer: Any) -> str:
    """Return what a wrapped layer, or parameter, is called in the backbone."""
    plain = name.removeprefix("base_model.model.").replace(".base_layer", "")
    return f"{plain}.{parameter_name(layer)}" if parameter_name(layer) else plain


def tuner_layers(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield name and module of every layer that PEFT wrapped."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    yield from ((name, module) for name, module in network.named_modules() if isinstance(module, BaseTunerLayer))


def _compare(expected: dict[str, Tensor], found: dict[str, Tensor], folder: Path) -> None:
    differ = sorted(expected.keys() ^ found.keys())
    if differ:
        side = "lacks" if differ[0] in expected else "has an unexpected"
        raise ConfigError(f"adapter: {folder} {side} {differ[0]} ({len(differ)} names differ); use the run's config")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, the configuration gives {tuple(expected[name].shape)}"
            raise ConfigError(f"adapter: {folder}: {name} is {shapes}; use the run's own config.yaml")
