"""Quantization-aware training: layers compute with the weights that will be deployed (Jacob et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from lit_llm.errors import ConfigError
from lit_llm.quantization.blocks import WIDTHS as BLOCK_WIDTHS
from lit_llm.quantization.blocks import BlockFormat, Grid
from lit_llm.quantization.integers import WIDTHS, IntFormat, ranges, refuse_experts

if TYPE_CHECKING:
    from lit_llm.adapters import Adapter
    from lit_llm.quantization.base import Quantizer

KEY = "model.init_args.qat"
FLOAT = 32
"""What is logged as the bits of a weight that is not rounded yet."""


class QAT:
    """Rounds the weights of linear layers in the forward pass, and lets gradients pass as if it had not.

    Under an adapter it is the merged weight ``W + ΔW`` that is rounded: what is deployed is what was trained. Rounding
    ``W`` alone, as other libraries do, is lost when the adapter is merged. Only ranges that learn or freeze are
    added to a checkpoint. Validation, test and prediction use the final widths from the first step on: they measure
    what would be deployed.

    Args:
        bits: of each weight: 2, 3, 4 or 8; by default 4, or those of ``grid``.
        group_size: neighbouring weights of a row that share a scale; null for a whole row.
        activations: ``int8`` rounds the inputs of these layers too, to 8 bits with a scale for each token.
        layers: bits by pattern of the layer's name, as for ``IntFormat``.
        start: optimizer steps before training rounds weights, or their share of the run where it is below 1.
        gradual: fewest bits of any layer from a share of the run on, such as ``{0: 8, 0.2: 4}`` before ``bits: 2``.
        settled: share of the run at which ``gradual`` ends, and all layers have their final bits.
        learn_ranges: let the largest value of each group learn too, from that of its weights when rounding begins
            (learned step sizes, Esser et al. 2020); else it is always that of its weights.
        freeze: optimizer steps, or share of the run, after which these ranges stay as they are; null for never.
        grid: ``integers`` for what transformers and vLLM open; ``q8_0`` or ``q4_0`` for llama.cpp's own blocks of 32
            weights, which ``export --gguf`` writes to the bit. Their 8 or 4 bits may differ by ``layers``.

    Raises:
        ConfigError: if a value is impossible.
    """

    def __init__(
        self,
        bits: int | None = None,
        group_size: int | None = 32,
        activations: Literal["none", "int8"] = "none",
        layers: dict[str, int | None] | None = None,
        start: float = 0,
        gradual: dict[float, int] | None = None,
        settled: float = 0.5,
        learn_ranges: bool = False,
        freeze: float | None = None,
        grid: Grid = "integers",
    ) -> None:
        self.grid = grid
        gradual = _by_share(gradual or {})
        try:
            self._check_grid(bits, gradual, learn_ranges or freeze is not None)
            bits = bits or BLOCK_WIDTHS.get(grid, 4)
            form = IntFormat if grid == "integers" else BlockFormat
            self.format = form(bits, group_size, activations, layers or {})
        except ConfigError as error:
            raise ConfigError(f"{KEY}.init_args.{error}") from error
        for name, value in (("start", start), ("freeze", freeze or 0)):
            if value < 0:
                raise ConfigError(
                    f"{KEY}.init_args.{name}: {value} is below 0; it is a number of steps, or a share below 1"
                )
        if not 0 <= settled <= 1:
            raise ConfigError(f"{KEY}.init_args.settled: {settled} is no share of a run; it is between 0 and 1")
        for share, width in gradual.items():
            if not 0 <= share < 1 or width not in WIDTHS or width <= bits:
                raise ConfigError(
                    f"{KEY}.init_args.gradual: {{{share:g}: {width}}} is not possible; each is a share of the run "
                    f"below 1 and a width of 3, 4 or 8 bits, above the final {bits}"
                )
            if share >= settled:
                raise ConfigError(f"{KEY}.init_args.gradual: {{{share:g}: {width}}} begins after settled: {settled}")
        self.start, self.gradual, self.settled = start, gradual, settled
        self.learn_ranges, self.freeze = learn_ranges, freeze
        self.frozen = False
        """Whether ranges stay as they are from the current training step on."""
        self.fewest = 0
        """Fewest bits of any layer in the current training step; ``FLOAT`` rounds nothing."""
        self._layers: list[_Rounded] = []
        self._taken = False

    def settings(self) -> dict[str, Any]:
        """Return what decides the text that a trained model writes."""
        blocks = {} if self.grid == "integers" else {"grid": self.grid}
        return {**vars(self.format), "layers": dict(self.format.layers)} | blocks

    def _check_grid(self, bits: int | None, gradual: Mapping[float, int], own_ranges: bool) -> None:
        if self.grid == "integers":
            return
        if self.grid not in BLOCK_WIDTHS:
            raise ConfigError(f"grid: {self.grid!r} is not possible; it is integers, {' or '.join(BLOCK_WIDTHS)}")
        if bits not in (None, BLOCK_WIDTHS[self.grid]):
            raise ConfigError(f"bits: {bits} are not those of grid: {self.grid}; leave bits out")
        if own_ranges:
            raise ConfigError(
                f"learn_ranges: the scales of {self.grid} are always those of its weights; leave it and freeze out"
            )
        for share, width in gradual.items():
            if width not in BLOCK_WIDTHS.values():
                raise ConfigError(
                    f"gradual: {{{share:g}: {width}}} is not possible; {self.grid} has 8 bits alone before it"
                )

    def check(self, adapter: Adapter, quantizer: Quantizer | None, device_map: str | None = None) -> None:
        """Refuse what has no merged weight in training.

        Raises:
            ConfigError: if the adapter drops inputs out, or the base is stored by a quantizer or spread over devices.
        """
        if device_map:
            raise ConfigError(
                f"{KEY}: layers that loading.device_map: {device_map} moves cannot be rounded; leave it out"
            )
        if quantizer:
            raise ConfigError(
                f"{KEY}: the weights are stored by {type(quantizer).__name__} already and would be rounded twice; "
                "leave out model.init_args.quantizer, or qat"
            )
        dropout = getattr(adapter, "dropout", 0)
        if dropout:
            raise ConfigError(
                f"model.init_args.adapter: a dropout of {dropout} falls on the adapter's inputs alone, and the weight "
                "that is rounded has the adapter in it; set dropout to 0"
            )

    def plan(self, model: Any) -> dict[str, int]:
        """Return the final bits of each layer of a causal LM that is rounded, by its name.

        Raises:
            ConfigError: if ``layers`` or ``group_size`` do not fit the model, or it has fused experts.
        """
        refuse_experts(model, KEY, "train without it")
        try:
            return self.format.plan(model)
        except ConfigError as error:
            raise ConfigError(f"{KEY}.init_args.{error}") from error

    def new_ranges(self, model: nn.Module, plan: Mapping[str, int]) -> dict[str, nn.Parameter]:
        """Return a parameter for the ranges of each layer in ``plan``, as ``log_ranges`` of ``IntFormat.rounded``.

        None are returned where ranges are always those of the weights. Of one dimension, they are spared weight decay.
        """
        if not self.learn_ranges and self.freeze is None:
            return {}
        found = {}
        for name in plan:
            weight: Any = model.get_submodule(name).weight
            unset = torch.full_like(ranges(weight, self.format.group_size), torch.nan)
            found[range_key(name)] = nn.Parameter(unset, requires_grad=self.learn_ranges)
        return found

    def attach(
        self,
        model: nn.Module,
        plan: Mapping[str, int],
        adapter: Adapter | None = None,
        log_ranges: Ranges | None = None,
    ) -> None:
        """Let the layers named in ``plan`` compute with rounded weights.

        Args:
            model: the causal LM inside of what an adapter wrapped, or a plain one.
            plan: final bits of layers by name.
            adapter: gives the merged weights; without one they are the layers' own.
            log_ranges: of ``new_ranges``.
        """
        self._layers, self._taken = [], False
        for name, bits in plan.items():
            layer: Any = model.get_submodule(name)
            own: Any = log_ranges[range_key(name)] if log_ranges else None
            layer.forward = _Rounded(self, layer, bits, adapter, own)
            self._layers.append(layer.forward)

    def detach(self, model: nn.Module, plan: Mapping[str, int]) -> None:
        """Let the layers compute as they did."""
        for name in plan:
            vars(model.get_submodule(name)).pop("forward", None)

    def follow(self, step: int, total_steps: int) -> int:
        """Take the widths of an optimizer step, counted from 0; return the bits of the layers that set none.

        Raises:
            ConfigError: if the run ends before ``start`` or ``freeze``.
        """
        for name, limit in (("start", self.start), ("freeze", self.freeze or 0)):
            if limit >= max(1, total_steps):
                raise ConfigError(f"{KEY}.init_args.{name}: {limit:g} is not reached in a run of {total_steps} steps")
        share = step / max(1, total_steps)
        if not _reached(self.start, step, total_steps):
            self.fewest = FLOAT
        else:
            passed = [begin for begin in self.gradual if begin <= share]
            self.fewest = self.gradual[max(passed)] if passed and share < self.settled else 0
        self.frozen = self.freeze is not None and _reached(self.freeze, step, total_steps)
        begin = self.start if self.learn_ranges else self.freeze
        if begin is not None and _reached(begin, step, total_steps) and not self._taken:
            for layer in self._layers:
                layer.take_ranges()
            self._taken = True
        return self.width(self.format.bits, training=True)

    def before_step(self) -> None:
        """Keep the optimizer from moving ranges that are frozen."""
        for layer in self._layers if self.frozen else []:
            if layer.log_ranges is not None:
                layer.log_ranges.grad = None

    def weight(self, layer: Any, bits: int, adapter: Adapter | None, log_ranges: Tensor | None = None) -> Tensor:
        """Return the rounded weight ``[out, in]`` of a layer, merged with what the adapter has learned."""
        merged: Tensor = adapter.effective_weight(layer) if adapter else layer.weight
        return self.format.rounded(merged, bits, log_ranges)

    def width(self, bits: int, training: bool) -> int:
        """Return the bits of a layer, given its final ones."""
        return max(bits, self.fewest) if training else bits


def range_key(name: str) -> str:
    """Return the name of a layer as the key of a ``ParameterDict``, which has no dots."""
    return name.replace(".", "/")


def _reached(begin: float, step: int, total_steps: int) -> bool:
    """Whether a number of steps, or a share of the run below 1, is done."""
    return step >= begin if begin >= 1 else step / max(1, total_steps) >= begin


class Ranges(nn.ParameterDict):
    """Parameters that stay in float32 whatever the precision of a run: their steps are small beside them."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Ranges:
        exact = [weight.data for weight in self.values()]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for weight, own in zip(self.values(), exact, strict=True):
            if weight.dtype != own.dtype:
                weight.data = own.to(weight.device)
        return self


class _Rounded:
    """The forward pass of one layer with its merged weight, rounded."""

    def __init__(
        self, qat: QAT, layer: Any, bits: int, adapter: Adapter | None, log_ranges: nn.Parameter | None
    ) -> None:
        self.qat, self.layer, self.bits, self.adapter, self.log_ranges = qat, layer, bits, adapter, log_ranges
        self._kept: tuple[Any, Tensor] | None = None

    def __call__(self, values: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        bits = self.qat.width(self.bits, self.layer.training)
        if bits == FLOAT:
            plain: Tensor = type(self.layer).forward(self.layer, values, *args, **kwargs)
            return plain
        base: Any = self.layer.get_base_layer() if hasattr(self.layer, "get_base_layer") else self.layer
        return linear(self.qat.format.rounded_input(values), self._weight(bits, values.dtype), base.bias)

    def _weight(self, bits: int, dtype: torch.dtype) -> Tensor:
        if torch.is_grad_enabled():
            self._kept = None
            return self._compute(bits).to(dtype)
        # Generation asks for the same weight at every token.
        weights = [*self.layer.parameters(), *([] if self.log_ranges is None else [self.log_ranges])]
        now = bits, dtype, [(id(weight), weight.data_ptr(), weight._version) for weight in weights]
        if self._kept is None or self._kept[0] != now:
            self._kept = now, self._compute(bits).to(dtype)
        return self._kept[1]

    def _compute(self, bits: int) -> Tensor:
        # What is deployed is merged and rounded in float32, so training does not do it in 16 bits either.
        with torch.autocast(self.layer.weight.device.type, enabled=False):
            return self.qat.weight(self.layer, bits, self.adapter, self.log_ranges)

    @property
    def kept(self) -> Tensor | None:
        """The rounded weight of the last answer."""
        return self._kept and self._kept[1]

    @torch.no_grad()
    def take_ranges(self) -> None:
        """Set ranges that are not set yet to those of the merged weight as it is.

        They are equal up to a rounding error, by which a weight on the edge of a group may move to the next integer.
        """
        if self.log_ranges is not None:
            merged = self.adapter.effective_weight(self.layer) if self.adapter else self.layer.weight
            now = ranges(merged, self.qat.format.group_size).log()
            # A run that was resumed has them in its checkpoint.
            self.log_ranges.copy_(self.log_ranges.where(~self.log_ranges.isnan(), now))


def _by_share(gradual: Mapping[Any, int]) -> dict[float, int]:
    """Return widths by share; a run file gives its keys as text."""
    try:
        return {float(share): width for share, width in gradual.items()}
    except ValueError as error:
        raise ConfigError(f"{KEY}.init_args.gradual: {error}; each key is a share of the run") from None
