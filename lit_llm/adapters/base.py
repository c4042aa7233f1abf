"""What an adapter is, and what the ones built on PEFT share."""

from __future__ import annotations

import copy
import difflib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from lit_llm.errors import ConfigError, UserError

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from lit_llm.batch import Batch

NAME = "default"
"""The one adapter's name inside PEFT; PEFT leaves it out of the files."""

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


class Adapter(ABC):
    """Says which weights of a backbone learn. Holds settings only: what belongs to one network lives on that network.

    The order of calls is ``wrap``, ``initialize`` where ``needs_data``, ``load_state_dict`` where a run is resumed
    (before the trainable weights are restored), and only then the optimizer, because each may replace parameters.
    """

    folder: ClassVar[str]
    """The run folder's part that ``save`` writes: ``adapter`` (PEFT's format) or ``model`` (a whole model)."""

    @property
    def needs_data(self) -> bool:
        """Whether ``initialize`` must see training batches before the first step."""
        return False

    @abstractmethod
    def wrap(self, model: PreTrainedModel) -> nn.Module:
        """Freeze ``model`` and add what learns, in place; random numbers come from torch's global generator."""

    def initialize(self, network: nn.Module, batches: Iterable[Batch]) -> None:  # noqa: B027
        """Start the adapter's weights from what the network sees on a few training batches."""

    def learning_rate_scale(self, name: str) -> float:
        """Return the factor on the learning rate of the parameter called ``name``."""
        return 1.0

    def penalty(self, network: nn.Module) -> Tensor | None:
        """Return a scalar to add to the loss, its weight included, or None."""
        return None

    def after_step(self, network: nn.Module, step: int, total_steps: int) -> None:  # noqa: B027
        """Follow one optimizer step.

        Call it once per optimizer step, after the update and before the gradients are cleared.

        Args:
            network: what ``wrap`` returned.
            step: optimizer steps done, this one included: 1 after the first.
            total_steps: optimizer steps of the whole run.
        """

    def state_dict(self, network: nn.Module) -> dict[str, Any]:
        """Return what resuming needs besides the trainable weights: tensors and plain values only."""
        return {}

    def load_state_dict(self, network: nn.Module, state: dict[str, Any]) -> None:  # noqa: B027
        """Take up what ``state_dict`` returned; may replace parameters, so the optimizer comes after it."""

    @abstractmethod
    def save(self, network: nn.Module, folder: Path) -> None:
        """Write what was learned to ``folder``, each file replaced as a whole."""

    @abstractmethod
    def load(self, network: nn.Module, folder: Path) -> None:
        """Put the weights that ``save`` wrote into a wrapped network.

        Raises:
            ConfigError: the folder holds another kind or shape of adapter.
        """

    @abstractmethod
    def merge(self, network: nn.Module) -> PreTrainedModel:
        """Fold the adapter into the backbone, in place and computed in float32, and return the plain model.

        Raises:
            ConfigError: the backbone is quantized.
        """

    def effective_weight(self, layer: nn.Module) -> Tensor:
        """Return ``W + ΔW`` of one linear layer, ``[out, in]``, differentiable in what learns."""
        return cast(Tensor, layer.weight)


class TrainableRow(NamedTuple):
    """Parameters that differ only in their layer's number.

    Attributes:
        pattern: their name, with ``*`` for the number.
        shape: the shape of each.
        tensors: how many there are.
        parameters: their elements in all.
    """

    pattern: str
    shape: tuple[int, ...]
    tensors: int
    parameters: int


def trainable_table(network: nn.Module) -> list[TrainableRow]:
    """List what learns, in the network's order, one row for each kind of parameter and shape."""
    counts: dict[tuple[str, tuple[int, ...]], int] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            short = name.replace("base_model.model.", "", 1).replace(f".{NAME}", "")
            key = re.sub(r"\.\d+\.", ".*.", short), tuple(parameter.shape)
            counts[key] = counts.get(key, 0) + 1
    return [TrainableRow(*key, n, n * torch.Size(key[1]).numel()) for key, n in counts.items()]


def parameter_totals(network: nn.Module) -> tuple[int, int]:
    """Return how many parameters learn, and how many the backbone and the adapter hold together.

    A 4-bit weight of bitsandbytes stores two parameters a byte, and is counted as what it stands for.
    """
    trainable = total = 0
    for parameter in network.parameters():
        packed = type(parameter).__name__ == "Params4bit" and parameter.dtype != torch.float32
        size = parameter.numel() * (2 * parameter.element_size() if packed else 1)
        total += size
        trainable += size if parameter.requires_grad else 0
    return trainable, total


def causal_lm(network: nn.Module) -> PreTrainedModel:
    """Return the Hugging Face model inside a wrapped network; a plain one is returned as it is."""
    inner: Any = network
    return cast("PreTrainedModel", inner.get_base_model() if hasattr(inner, "peft_config") else inner)


def tuner_layers(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield name and module of every layer that PEFT wrapped."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    yield from ((name, module) for name, module in network.named_modules() if isinstance(module, BaseTunerLayer))


def is_quantized(layer: nn.Module) -> bool:
    """Whether a linear layer stores something else than plain floating-point numbers."""
    weight: Any = getattr(layer, "weight", None)
    plain = isinstance(weight, Tensor) and type(weight.data) is Tensor and weight.dtype.itemsize > 1
    return not plain or type(weight).__name__ in ("Params4bit", "Int8Params")


def replace_file(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file so that a reader finds either the old one or the new one, never a part."""
    from safetensors.torch import save_file

    part = path.with_name(path.name + ".part")
    save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, part, metadata={"format": "pt"})
    os.replace(part, path)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return up to three of ``known`` that look most like ``name``, quoted for an error message."""
    return ", ".join(repr(k) for k in difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.0))


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
        delta: Tensor = layer.get_delta_weight(NAME)
        return weight.to(torch.promote_types(weight.dtype, delta.dtype)) + delta


def matches(name: str, key: str) -> bool:
    """Whether PEFT takes ``name`` for the module called ``key``: the whole of it or its end."""
    return key == name or key.endswith(f".{name}")


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
