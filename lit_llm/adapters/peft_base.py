"""What the adapters built on PEFT share: targets, dtype, files, merging."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from lit_llm.adapters.base import NAME, Adapter, is_quantized, matches, nearest, replace_file
from lit_llm.errors import ConfigError, UserError

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


class PeftAdapter(Adapter):
    """What LoRA, DoRA, VeRA and AdaLoRA share: targets, dtype, files, merging.

    Args:
        target_modules: names of linear layers to adapt, or ``all-linear`` for each one but the output head.
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
        self.target_modules = list(ATTENTION) if target_modules is None else target_modules
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
        from peft import get_peft_model

        targets = resolve_targets(model, self.target_modules)
        self._check(model, targets)
        bias = {"adapted": f"{self._bias_prefix}_only"}.get(self.bias, self.bias)
        shared = {"target_modules": targets, "modules_to_save": self.modules_to_save, "bias": bias}
        return cast(nn.Module, get_peft_model(model, self._config(task_type="CAUSAL_LM", **shared)))

    _bias_prefix: ClassVar[str] = "lora"

    def _check(self, model: PreTrainedModel, targets: Sequence[str]) -> None:
        for name in self.modules_to_save or []:
            if not any(matches(name, key) for key, _ in model.named_modules()):
                known = nearest(name, (key.rpartition(".")[2] for key, _ in model.named_modules()))
                raise ConfigError(f"adapter.modules_to_save: {name!r} is no module of the model; nearest: {known}")
        for name in (*targets, *(self.modules_to_save or [])):
            _refuse_tied(model, name)
        if self.bias != "none" and not any(key.endswith(".bias") for key, _ in model.named_parameters()):
            raise ConfigError(f"adapter.bias: {self.bias!r}, but {type(model).__name__} has no bias terms; use 'none'")

    def save(self, network: nn.Module, folder: Path) -> None:
        """Write ``adapter_model.safetensors`` and ``adapter_config.json``, which PEFT alone can open."""
        folder.mkdir(parents=True, exist_ok=True)
        config, tensors = self._export(network)
        config.inference_mode = True
        targets: Any = config
        targets.target_modules = sorted(targets.target_modules)
        replace_file(folder / "adapter_model.safetensors", tensors)
        config.save_pretrained(str(folder))

    def _tensors(self, network: nn.Module) -> dict[str, Tensor]:
        """Return what learns under the names that PEFT writes, as held in memory."""
        from peft import get_peft_model_state_dict

        return dict(get_peft_model_state_dict(cast(Any, network), adapter_name=NAME, save_embedding_layers=False))

    def _export(self, network: nn.Module) -> tuple[PeftConfig, dict[str, Tensor]]:
        """Return the configuration and tensors to write; both are the caller's to change."""
        return copy.deepcopy(cast(Any, network).peft_config[NAME]), self._tensors(network)

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
        if saved.peft_type != peft.peft_config[NAME].peft_type:
            kinds = f"{saved.peft_type} but the configuration asks for {peft.peft_config[NAME].peft_type}"
            raise ConfigError(f"adapter.class_path: {folder} holds {kinds}; use the run's own config.yaml")
        tensors = self._import(network, saved, load_peft_weights(str(folder), device="cpu"))
        _compare(self._tensors(network), tensors, folder)
        set_peft_model_state_dict(peft, tensors, adapter_name=NAME)

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
            if is_quantized(layer.get_base_layer()):
                kind = type(layer.get_base_layer()).__name__
                raise ConfigError(f"adapter: cannot merge into the {kind} at {name}: open the backbone unquantized")
        with torch.no_grad():
            for name, layer in layers:
                self._merge_layer(name, layer)
        return cast("PreTrainedModel", cast(Any, network).base_model.unload())

    def _merge_layer(self, name: str, layer: Any) -> None:
        base = layer.get_base_layer()
        dtype = base.weight.dtype
        # In float32, because a 16-bit sum of base and update rounds small updates away.
        layer.float()
        weight = self.effective_weight(layer)
        if not bool(torch.isfinite(weight).all()):
            raise UserError(f"adapter: the merged weight of {name} is not finite; the run has diverged")
        base.weight.data = weight
        base.to(dtype)

    def effective_weight(self, layer: nn.Module) -> Tensor:
        """Return ``W + ΔW``, ``[out, in]``; of a layer that is not wrapped, or learns whole, its own weight."""
        from peft.tuners.tuners_utils import BaseTunerLayer
        from peft.utils.integrations import dequantize_module_weight

        inner: Any = layer
        if hasattr(inner, "modules_to_save"):
            return cast(Tensor, inner.modules_to_save[NAME].weight)
        if not isinstance(inner, BaseTunerLayer):
            return cast(Tensor, dequantize_module_weight(inner))
        return self._combine(inner, dequantize_module_weight(inner.get_base_layer()))

    def _combine(self, layer: Any, weight: Tensor) -> Tensor:
        """Return the weight of a wrapped layer from that of its base, in the wider dtype of the two."""
        delta = self._delta(layer)
        return weight.to(torch.promote_types(weight.dtype, delta.dtype)) + delta

    def _delta(self, layer: Any) -> Tensor:
        """Return the update ``ΔW`` of a wrapped layer."""
        delta: Tensor = layer.get_delta_weight(NAME)
        return delta


def tuner_layers(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield name and module of every layer that PEFT wrapped."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    yield from ((name, module) for name, module in network.named_modules() if isinstance(module, BaseTunerLayer))


def resolve_targets(model: PreTrainedModel, wanted: Sequence[str] | str) -> list[str]:
    """Return the names of linear layers to adapt, sorted.

    Raises:
        ConfigError: a name means no linear layer of ``model``; the nearest ones are named.
    """
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    linears = {key: module for key, module in model.named_modules() if hasattr(module, "in_features")}
    if wanted == "all-linear":
        return sorted({key.rpartition(".")[2] for key, module in linears.items() if module is not head})
    for name in wanted:
        if not any(matches(name, key) for key in linears):
            known = nearest(name, (key.rpartition(".")[2] for key in linears))
            kind = type(model).__name__
            raise ConfigError(f"adapter.target_modules: {name!r} is no linear layer of {kind}; nearest: {known}")
    if not wanted:
        raise ConfigError("adapter.target_modules: the list is empty; name linear layers or write all-linear")
    return sorted(set(wanted))


def _refuse_tied(model: PreTrainedModel, name: str) -> None:
    embedding: Any = model.get_input_embeddings()
    head: Any = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    if head is None or embedding is None or head.weight is not embedding.weight:
        return
    for key, module in model.named_modules():
        if module in (embedding, head) and matches(name, key):
            remedy = "leave it out, or use a backbone with tie_word_embeddings: false"
            raise ConfigError(
                f"adapter: {name!r} shares its weight with the model's other embedding, so that adapting one of "
                f"them would untie them or change both; {remedy}"
            )


def _compare(expected: dict[str, Tensor], found: dict[str, Tensor], folder: Path) -> None:
    differ = sorted(expected.keys() ^ found.keys())
    if differ:
        side = "lacks" if differ[0] in expected else "has an unexpected"
        raise ConfigError(f"adapter: {folder} {side} {differ[0]} ({len(differ)} names differ); use the run's config")
    for name, tensor in found.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, the configuration gives {tuple(expected[name].shape)}"
            raise ConfigError(f"adapter: {folder}: {name} is {shapes}; use the run's own config.yaml")
