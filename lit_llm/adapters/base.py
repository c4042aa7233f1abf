"""What an adapter is, and what is said of any network that one has wrapped."""

from __future__ import annotations

import copy
import difflib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, cast

import torch
from torch import Tensor, nn

from lit_llm.storage import as_created

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lit_llm.batch import Batch

NAME = "default"
"""What PEFT calls an adapter that is the only one of its network; PEFT leaves names out of the files."""


class Adapter(ABC):
    """Says which weights of a backbone learn. Holds settings only: what belongs to one network lives on that network.

    The order of calls is ``wrap``, ``initialize`` where ``needs_data``, ``load_state_dict`` where a run is resumed
    (before the trainable weights are restored), and only then the optimizer, because each may replace parameters.
    """

    name: str = NAME
    """What PEFT calls it inside a network; of several on one network, each has its own."""

    folder: ClassVar[str]
    """The run folder's part that ``save`` writes: ``adapter`` (PEFT's format) or ``model`` (a whole model)."""

    changes_products: ClassVar[bool] = False
    """Whether its layers change the result of a frozen product in place, so that nobody else may keep it."""

    @property
    def kind(self) -> str:
        """Its class, and the way in which it starts where that is not its usual one, such as ``LoRA pissa``."""
        return type(self).__name__

    def named(self, name: str) -> Self:
        """Return a copy of the same settings under another name."""
        found = copy.copy(self)
        found.name = name
        return found

    @property
    def start_batches(self) -> int:
        """How many training batches ``initialize`` must see before the first step."""
        return 0

    @property
    def needs_data(self) -> bool:
        """Whether it is any."""
        return self.start_batches > 0

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
    as_created(part)
    os.replace(part, path)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return up to three of ``known`` that look most like ``name``, quoted for an error message."""
    return ", ".join(repr(k) for k in difflib.get_close_matches(name, sorted(set(known)), n=3, cutoff=0.0))


def matches(name: str, key: str) -> bool:
    """Whether PEFT takes ``name`` for the module called ``key``: the whole of it or its end."""
    return key == name or key.endswith(f".{name}")
