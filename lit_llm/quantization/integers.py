"""Weights as integers of a few bits with a scale for each group: which layers get how many, and how to round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lit_llm.adapters.targets import expert_weights
from lit_llm.errors import ConfigError

WIDTHS = (2, 3, 4, 8)
"""Bits that a weight may have."""

Method = Literal["rtn", "hqq"]


@dataclass(frozen=True)
class IntFormat:
    """How the linear layers of a model are stored as integers: symmetric, one scale for each group of weights.

    Attributes:
        bits: of each weight: 2, 3, 4 or 8.
        group_size: neighbouring weights of a row that share a scale; null for a whole row.
        activations: ``int8`` rounds the inputs of these layers too, to 8 bits with a scale for each token.
        layers: bits of the layers whose names fit a pattern, such as ``{"model.layers.0.*": 8, "*.down_proj": null}``;
            the first that fits counts, null leaves layers as they are. The output head is left unless it is named.
    """

    bits: int = 4
    group_size: int | None = 32
    activations: Literal["none", "int8"] = "none"
    layers: Mapping[str, int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse widths that cannot be.

        Raises:
            ConfigError: if one is none of 2, 3, 4 and 8.
        """
        for key, bits in {"bits": self.bits, **{f"layers[{name!r}]": b for name, b in self.layers.items()}}.items():
            if not (bits in WIDTHS and isinstance(bits, int)) and not (bits is None and key != "bits"):
                raise ConfigError(f"{key}: {bits!r} is not possible; a weight has 2, 3, 4 or 8 bits")
        if self.group_size is not None and self.group_size < 1:
            raise ConfigError(f"group_size: {self.group_size} is not possible; it is at least 1, or null for a row")

    def plan(self, model: Any) -> dict[str, int]:
        """Return the bits of each layer of a causal LM that becomes integers, by its name.

        Raises:
            ConfigError: if a pattern fits no linear layer, none is left, a group does not divide a row, a package is
                missing, or the head that is named shares its weight with the embedding.
        """
        for package in ("torchao", "compressed_tensors"):
            if find_spec(package) is None:
                raise ConfigError(f"bits: it needs the package {package}: pip install -e '.[quantization]'")
        linears = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)}
        head = model.get_output_embeddings()
        for pattern in self.layers:
            fits = [layer for name, layer in linears.items() if fnmatchcase(name, pattern)]
            if not fits:
                raise ConfigError(f"layers: {pattern!r} fits no linear layer, such as {next(iter(linears))!r}")
            if fits == [head] and pattern not in linears and self.layers[pattern]:
                raise ConfigError(f"layers: {pattern!r} fits the output head alone, which has to be named in full")
        found = {}
        for name, layer in linears.items():
            named = [bits for pattern, bits in self.layers.items() if fnmatchcase(name, pattern)]
            exact = any(not set("*?[") & set(pattern) and pattern == name for pattern in self.layers)
            bits = named[0] if named else self.bits
            if bits is None or (layer is head and not exact):
                continue
            if layer is head and head.weight is model.get_input_embeddings().weight:
                raise ConfigError(f"layers: {name!r} shares its weight with the embedding, which stays as it is")
            if self.group_size and layer.in_features % self.group_size:
                raise ConfigError(
                    f"group_size: {self.group_size} does not divide the {layer.in_features} inputs of {name!r}; "
                    "choose a divisor, or null for a whole row"
                )
            found[name] = bits
        if not found:
            raise ConfigError(f"layers: {dict(self.layers)} leave no layer to round; name one, or take a plain run")
        return found

    def rounded(self, weight: Tensor, bits: int, log_ranges: Tensor | None = None) -> Tensor:
        """Return what a weight ``[out, in]`` stands for once it is stored, in float32.

        Gradients pass as if nothing were rounded, and are 0 where a weight lies beyond the integers (straight-through
        estimator, Bengio et al. 2013).

        Args:
            weight: in any dtype; it is rounded from float32.
            bits: of each integer.
            log_ranges: logarithm of the largest absolute value of each group, ``[out * in / group]``; NaN, or none,
                takes that of its weights. Its gradient is that of learned step sizes (Esser et al. 2020), without
                their factor.
        """
        found: Tensor = _Round.apply(weight.float(), log_ranges, bits, self.group_size or weight.shape[1])  # type: ignore[no-untyped-call]
        return found

    def rounded_input(self, values: Tensor) -> Tensor:
        """Return the input of a layer ``[..., in]`` as it is there, rounded where ``activations`` says so."""
        return _fake_input()(values) if self.activations == "int8" else values  # type: ignore[no-any-return]

    def integers(self, weight: Tensor, bits: int, method: Method = "rtn", log_ranges: Tensor | None = None) -> Integers:
        """Return the integers and scales of a weight ``[out, in]``.

        Args:
            weight: in any dtype; it is rounded from float32.
            bits: of each integer.
            method: ``rtn`` takes scales from the largest weight of a group, ``hqq`` searches those that bring the
                result closest to the weights (half-quadratic quantization, Badri & Shaji 2023).
            log_ranges: as for ``rounded``, in place of a method.
        """
        if log_ranges is not None:
            with torch.no_grad():
                groups = weight.float().unflatten(1, (-1, self.group_size or weight.shape[1]))
                low, high, scales = _grid(groups, bits, log_ranges)
                values = (groups * (1 / scales)).round().clamp(low, high).to(torch.int8)
            return Integers(values.flatten(1), scales[..., 0])
        from torchao.quantization import IntxUnpackedToInt8Tensor
        from torchao.quantization.quantize_.workflows import IntxChooseQParamsAlgorithm as Algorithm

        stored = IntxUnpackedToInt8Tensor.from_hp(
            weight.detach().float(),
            (1, self.group_size or weight.shape[1]),
            getattr(torch, f"int{bits}"),
            intx_choose_qparams_algorithm=Algorithm.AFFINE if method == "rtn" else Algorithm.HQQ_SCALE_ONLY,
        )
        return Integers(stored.qdata, stored.scale)

    def convert(self, model: nn.Module, plan: Mapping[str, int]) -> None:
        """Replace the weights of the layers in ``plan`` by torchao's tensors of integers, in place, for inference."""
        from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig, quantize_
        from torchao.quantization.granularity import PerAxis, PerGroup

        granularity = PerGroup(self.group_size) if self.group_size else PerAxis(0)
        for bits in sorted(set(plan.values())):
            dtype = getattr(torch, f"int{bits}")
            config = (
                Int8DynamicActivationIntxWeightConfig(weight_dtype=dtype, weight_granularity=granularity)
                if self.activations == "int8"
                else IntxWeightOnlyConfig(weight_dtype=dtype, granularity=granularity)
            )
            quantize_(model, config, filter_fn=lambda _, name, bits=bits: plan.get(name) == bits)


class Integers(NamedTuple):
    """A stored weight.

    Attributes:
        values: integers ``[out, in]``, each in a byte of its own.
        scales: ``[out, in / group]`` in float32; a weight is its integer times its group's scale.
    """

    values: Tensor
    scales: Tensor

    def weight(self) -> Tensor:
        """Return what is stored, ``[out, in]`` in float32."""
        groups: Tensor = self.values.unflatten(1, (self.scales.shape[1], -1)).float() * self.scales[..., None]
        return groups.flatten(1)


def ranges(weight: Tensor, group_size: int | None) -> Tensor:
    """Return the largest absolute value of each group of a weight ``[out, in]``, ``[out * in / group]``."""
    groups: Tensor = weight.detach().float().unflatten(1, (-1, group_size or weight.shape[1]))
    return groups.abs().amax(2).flatten()


def _grid(groups: Tensor, bits: int, log_ranges: Tensor | None) -> tuple[int, int, Tensor]:
    """Return the smallest and largest integer, and the scales ``[out, groups, 1]``, as torchao takes them."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    largest = groups.abs().amax(2, keepdim=True)
    if log_ranges is not None:
        given = log_ranges.float().exp().view_as(largest)
        largest = given.where(~given.isnan(), largest)
    return low, high, (largest / ((high - low) / 2)).clamp_(min=torch.finfo(torch.float32).smallest_normal)


class _Round(torch.autograd.Function):
    """What torchao's ``IntxFakeQuantizer`` computes, to the last bit, keeping a byte for each weight.

    With ranges that learn, it keeps five.
    """

    @staticmethod
    def forward(context: Any, weight: Tensor, log_ranges: Tensor | None, bits: int, group_size: int) -> Tensor:
        groups = weight.unflatten(1, (-1, group_size))
        low, high, scales = _grid(groups, bits, log_ranges)
        steps = (groups * (1 / scales)).round_()
        passes = (steps >= low) & (steps <= high)
        rounded: Tensor = steps.clamp_(low, high).mul_(scales)
        learned = log_ranges is not None and log_ranges.requires_grad
        context.save_for_backward(passes.flatten(1), rounded - groups * passes if learned else None)
        return rounded.flatten(1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        passes, slopes = context.saved_tensors
        of_ranges = None if slopes is None else (gradient.view_as(slopes) * slopes).sum(2).flatten()
        return gradient * passes, of_ranges, None, None


@cache
def _fake_input() -> Any:
    from torchao.quantization.qat import IntxFakeQuantizeConfig, IntxFakeQuantizer

    return IntxFakeQuantizer(IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False))


def refuse_experts(model: Any, key: str, instead: str) -> None:
    """Refuse to round a causal LM whose experts share one weight, which no linear layer holds.

    They would stay as they are, and transformers opens no folder of packed integers whose experts are not packed.

    Args:
        model: a Hugging Face causal LM, under an adapter or not.
        key: the setting that asked for it.
        instead: what to do.

    Raises:
        ConfigError: if it has such experts.
    """
    if experts := sorted({name.rpartition(".")[2] for name in expert_weights(model)}):
        raise ConfigError(
            f"{key}: {model.config.get_text_config().model_type} keeps its experts in weights of three dimensions "
            f"({', '.join(experts)}), which are not rounded, and transformers opens no packed folder without them: "
            f"{instead}; nf4 and int8 store the other layers"
        )
