"""One function for a frozen linear layer and the LoRA on it, in place of PEFT's chain of small ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lit_llm.tensors import is_plain, product_dtype

STEPS = 1 << 16
"""Into how many parts dropout's probability is cut where random numbers are drawn on the CPU."""


_keeps_products = False


@contextmanager
def keeping_products() -> Iterator[None]:
    """Leave the results of products as they are meanwhile, for whoever keeps them; that costs a copy each."""
    # A plain name, which compiled code can look at without being broken off.
    global _keeps_products
    before, _keeps_products = _keeps_products, True
    try:
        yield
    finally:
        _keeps_products = before


def fuse(network: nn.Module) -> None:
    """Let each plain linear layer under a LoRA of PEFT compute in one function, wherever that is exact.

    It is not where something else is asked of the layer at the time of the call (DoRA, a merged or disabled adapter,
    rounded or quantized weights, hooks, weights in a wider dtype than their input): PEFT's own forward pass is taken
    then. Parameters, their names and files stay PEFT's.
    """
    from peft.tuners.lora.layer import Linear

    for module in network.modules():
        if type(module) is Linear:
            module.__class__ = _fused_kind()


def __getattr__(name: str) -> Any:
    if name == "FusedLinear":
        return _fused_kind()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _fused_kind() -> type[Any]:
    """Return PEFT's layer with another forward pass; made when it is needed, because PEFT is slow to import."""
    from peft.tuners.lora.layer import Linear

    class FusedLinear(Linear):
        def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if args or kwargs or not _is_plain(self, x):
                return super().forward(x, *args, **kwargs)
            name = self.active_adapters[0]
            base, a, b = self.base_layer, self.lora_A[name], self.lora_B[name]
            dropout, flat = self.lora_dropout[name], x.flatten(0, -2)
            p = dropout.p if dropout.training and type(dropout) is nn.Dropout else 0.0
            kept = _kept(flat, p) if p else None
            found: Tensor = _LowRank.apply(
                flat, base.weight, base.bias, a.weight, b.weight, self.scaling[name], kept, p
            )  # type: ignore[no-untyped-call]
            return found.view(*x.shape[:-1], found.shape[-1])

    # Pickle looks for it here, by the name that it has.
    FusedLinear.__qualname__ = "FusedLinear"
    return FusedLinear


def _is_plain(layer: Any, x: Tensor) -> bool:
    """Tell whether a layer computes ``x·Wᵀ + s·(x·Aᵀ)·Bᵀ`` and nothing else."""
    base, names = layer.base_layer, layer.active_adapters
    if x.dim() < 2 or type(base) is not nn.Linear or len(names) != 1:
        return False
    name = names[0]
    if name in layer.lora_variant or name not in layer.lora_A:
        return False
    a, b = layer.lora_A[name], layer.lora_B[name]
    if layer.disable_adapters or layer.merged or base.weight.requires_grad or a.bias is not None or b.bias is not None:
        return False
    if any("forward" in vars(part) or _hooks(part) for part in (base, a, b)):
        return False
    dropout = layer.lora_dropout[name]
    if type(dropout) is not nn.Identity and not (type(dropout) is nn.Dropout and dropout.p < 1):
        return False
    if not all(is_plain(part.weight) for part in (base, a, b)):
        return False
    # Without autocast PEFT computes the adapter in its own, wider dtype.
    return torch.is_autocast_enabled(x.device.type) or x.dtype == base.weight.dtype == a.weight.dtype == b.weight.dtype


def _hooks(module: nn.Module) -> bool:
    backward = module._backward_hooks, module._backward_pre_hooks
    return any((module._forward_hooks, module._forward_pre_hooks, *backward))


def _kept(x: Tensor, p: float) -> Tensor:
    """Return which inputs dropout keeps, drawn from torch's generator.

    On a CPU that generator gives one number at a time, so it gives a seed alone there; the probability is that of
    ``p`` within 1 / (2 · ``STEPS``).
    """
    if x.device.type != "cpu":
        return torch.rand_like(x, dtype=torch.float32) >= p
    seed = int(torch.randint(1 << 62, ()))
    drawn = np.random.Generator(np.random.SFC64(seed)).integers(0, STEPS, x.numel(), dtype=np.uint16)
    return torch.from_numpy(drawn >= round(p * STEPS)).view(x.shape)


class _LowRank(torch.autograd.Function):
    """``x·Wᵀ + c + s·(d(x)·Aᵀ)·Bᵀ`` of rows ``x`` with frozen ``W``, and ``d`` the dropout that ``kept`` says."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
        kept: Tensor | None,
        p: float,
    ) -> Tensor:
        dtype = product_dtype(x)
        # What dropout keeps is made larger once, where there is least of it.
        scale = scale if kept is None else scale / (1 - p)
        with torch.autocast(x.device.type, enabled=False):
            flat = x.to(dtype)
            w, low_a, low_b = weight.to(dtype), a.to(dtype), b.to(dtype)
            result = F.linear(flat, w, None if bias is None else bias.to(dtype))
            low = _dropped(flat, kept) @ low_a.T
            if _keeps_products:
                result = result.addmm(low, low_b.T, alpha=scale)
            else:
                result.addmm_(low, low_b.T, alpha=scale)
        ctx.save_for_backward(flat, w, low_a, low_b, low, kept)
        ctx.settings = scale, x.dtype, (a.dtype, b.dtype), None if bias is None else bias.dtype
        return result

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        x, w, a, b, low, kept = ctx.saved_tensors
        scale, dtype, learned, bias_dtype = ctx.settings
        dx = da = db = dc = None
        with torch.autocast(gradient.device.type, enabled=False):
            dy = gradient.to(x.dtype)
            d_low = dy @ b * scale
            if ctx.needs_input_grad[0]:
                dx = dy @ w
                if kept is None:
                    dx.addmm_(d_low, a)
                else:
                    dx += _dropped(d_low @ a, kept)
                dx = dx.to(dtype)
            if bias_dtype is not None and ctx.needs_input_grad[2]:
                dc = dy.sum(0).to(bias_dtype)
            if ctx.needs_input_grad[3]:
                da = (d_low.T @ _dropped(x, kept)).to(learned[0])
            if ctx.needs_input_grad[4]:
                db = (dy.T @ low * scale).to(learned[1])
        return dx, None, dc, da, db, None, None, None


def _dropped(values: Tensor, kept: Tensor | None) -> Tensor:
    """Return values that are zero where they are not kept, but not yet larger elsewhere."""
    # Numbers of one type are multiplied several times as fast as numbers and truth values.
    return values if kept is None else kept.view(torch.uint8).to(values.dtype).mul_(values)
