"""llama.cpp's blocks, rounded to the last bit as it does: 32 neighbouring weights of a row with a scale of 16 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lit_llm.errors import ConfigError
from lit_llm.quantization.integers import Integers, IntFormat, Method

BLOCK = 32
"""Weights that share a scale."""

Grid = Literal["integers", "q8_0", "q4_0"]
WIDTHS: dict[str, int] = {"q8_0": 8, "q4_0": 4}
"""Bits of a weight in each kind of block."""

KINDS: dict[int, str] = {8: "Q8_0", 4: "Q4_0"}
"""Names of the blocks in a GGUF file, by bits."""


@dataclass(frozen=True)
class BlockFormat(IntFormat):
    """How linear layers are stored in a file of llama.cpp: ``Q8_0`` for 8 bits and ``Q4_0`` for 4.

    The scale of ``Q8_0`` is the largest absolute weight over 127. That of ``Q4_0`` is the weight of the largest
    absolute value, with its sign, over -8: that weight itself is kept, and one of the opposite sign may be cut.
    """

    def __post_init__(self) -> None:
        """Refuse what these blocks have no form for.

        Raises:
            ConfigError: if a width is neither 4 nor 8, weights are grouped otherwise, or inputs are rounded.
        """
        super().__post_init__()
        for name, bits in self.layers.items():
            if bits not in (*KINDS, None):
                raise ConfigError(
                    f"layers[{name!r}]: {bits} bits have no block; 4 is Q4_0, 8 is Q8_0, null leaves layers"
                )
        if self.group_size != BLOCK:
            raise ConfigError(f"group_size: {self.group_size} is not possible; these blocks have {BLOCK} weights")
        if self.activations != "none":
            raise ConfigError("activations: llama.cpp rounds inputs in its own way, which is not trained; set none")

    @property
    def kind(self) -> str:
        """Name of the blocks of layers that ``layers`` does not name."""
        return KINDS[self.bits]

    def round_in_place(self, model: Any) -> dict[str, str]:
        """Round the weights of a merged model to its blocks; return the type of each that was rounded, by its name."""
        plan = self.plan(model)
        for name, bits in plan.items():
            layer = model.get_submodule(name)
            layer.weight.data = self.rounded(layer.weight.detach(), bits)
        return {f"{name}.weight": KINDS[bits] for name, bits in plan.items()}

    def rounded(self, weight: Tensor, bits: int, log_ranges: Tensor | None = None) -> Tensor:
        """Return what a weight ``[out, in]`` stands for once it is stored, in float32; ``log_ranges`` are not used.

        Gradients pass as if nothing were rounded, and are 0 where a weight lies beyond the integers.
        """
        found: Tensor = _Through.apply(weight.float(), bits)  # type: ignore[no-untyped-call]
        return found

    def integers(self, weight: Tensor, bits: int, method: Method = "rtn", log_ranges: Tensor | None = None) -> Integers:
        """Return the integers and scales of a weight ``[out, in]``; ``method`` and ``log_ranges`` are not used."""
        values, scales, _ = _stored(weight.detach().float(), bits)
        return Integers(values.flatten(1).to(torch.int8), scales[..., 0])


def _stored(weight: Tensor, bits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return integers ``[out, blocks, 32]`` and scales ``[out, blocks, 1]`` in float32, and which were not cut."""
    blocks = weight.unflatten(1, (-1, BLOCK))
    largest = blocks.abs()
    if bits == 8:
        scales = largest.amax(2, keepdim=True) / 127
    else:
        # Of several that are as large, the first one's sign counts.
        scales = blocks.gather(2, largest.argmax(2, keepdim=True)) / -8
    kept = scales.half().float()
    # Integers are counted in steps of the scale before it is rounded to 16 bits, as llama.cpp counts them.
    inverse = 1 / scales
    steps = blocks * inverse.where(inverse.isfinite(), 0)
    if bits == 8:
        # Halves go away from zero.
        whole = steps.abs().floor()
        values = steps.sign() * (whole + (2 * (steps.abs() - whole)).floor())
        return values, kept, torch.ones_like(values, dtype=torch.bool)
    values = (steps + 8.5).trunc() - 8
    return values.clamp(max=7), kept, values <= 7


class _Through(torch.autograd.Function):
    """Rounds in the forward pass and keeps a byte for each weight."""

    @staticmethod
    def forward(context: Any, weight: Tensor, bits: int) -> Tensor:
        values, scales, passes = _stored(weight, bits)
        context.save_for_backward(passes.flatten(1))
        return (values * scales).flatten(1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (passes,) = context.saved_tensors
        return gradient * passes, None
