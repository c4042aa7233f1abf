"""Cross-entropy at labelled positions only, with the vocabulary projection done in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from lit_llm.batch import IGNORE
from lit_llm.models.head import AfterHead
from lit_llm.tensors import is_plain, product_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN = AfterHead()
"""Logits as the head gives them."""

CHUNK_ELEMENTS = 1 << 25
"""Logits held at a time: 2^25 floats, 128 MiB."""


def labelled_states(hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Pick the states that predict a labelled token.

    Args:
        hidden: ``[B, T, D]`` last hidden states.
        labels: ``[B, T]``, not shifted, ``IGNORE`` where nothing is learned.

    Returns:
        States ``[N, D]`` and the token that follows each, ``[N]``.
    """
    targets = labels[:, 1:]
    learned = targets != IGNORE
    return hidden[:, :-1][learned], targets[learned]


def chunked_cross_entropy(
    states: Tensor,
    targets: Tensor,
    head: nn.Module,
    label_smoothing: float = 0.0,
    chunk: int | None = None,
    after: AfterHead = PLAIN,
) -> Tensor:
    """Return the summed cross-entropy in float32.

    The gradient of each chunk is taken while its logits are there, so that memory grows with the chunk and not with
    the number of tokens, and no logit is computed twice (as in Wijmans et al. 2024, Liger). A head that is more than
    one product, of rounded weights for instance, computes its logits again in the backward pass instead, and so does
    one in float16, whose gradients are too small for it until they are scaled. Values and gradients are those of the
    plain computation.

    Args:
        states: ``[N, D]``.
        targets: ``[N]`` token ids.
        head: the projection to the vocabulary.
        label_smoothing: share of probability spread over the vocabulary.
        chunk: rows at a time; by default as many as keep the logits under ``CHUNK_ELEMENTS``.
        after: what the model does to the logits of its head.
    """
    weight: Tensor | None = getattr(head, "weight", None)
    vocabulary = states.shape[-1] if weight is None else weight.shape[0]
    size = chunk or max(1, CHUNK_ELEMENTS // vocabulary)
    if _is_one_product(head) and product_dtype(states) != torch.float16:
        learns = torch.is_grad_enabled()
        loss: Tensor = _HeadLoss.apply(states, head.weight, head.bias, targets, label_smoothing, size, after, learns)  # type: ignore[no-untyped-call]
        return loss
    # One chunk holds no more than the plain computation, which need not compute anything twice.
    if len(targets) <= size:
        return _summed(states, targets, head, label_smoothing, after)
    total = states.new_zeros((), dtype=torch.promote_types(states.dtype, torch.float32))
    for part, wanted in zip(states.split(size), targets.split(size), strict=True):
        total = total + checkpoint(_summed, part, wanted, head, label_smoothing, after, use_reentrant=False)
    return total


def _summed(states: Tensor, targets: Tensor, head: nn.Module, label_smoothing: float, after: AfterHead) -> Tensor:
    logits = head(states)
    # Half-precision logits lose the loss; float64 stays what it is, for tests against a reference.
    wide = torch.promote_types(logits.dtype, torch.float32)
    return F.cross_entropy(after(logits.to(wide)), targets, reduction="sum", label_smoothing=label_smoothing)


def _is_one_product(head: nn.Module) -> bool:
    """Tell whether a head is a plain linear layer that nothing has changed, with its weight whole on this process."""
    hooks = (head._forward_hooks, head._forward_pre_hooks, head._backward_hooks, head._backward_pre_hooks)
    plain = type(head) is nn.Linear and "forward" not in vars(head) and not any(hooks)
    return plain and is_plain(head.weight)


class _HeadLoss(torch.autograd.Function):
    """Summed cross-entropy of ``after(states @ weight.T + bias)``; its gradient is ready when the value is."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        label_smoothing: float,
        size: int,
        after: AfterHead,
        learns: bool,
    ) -> Tensor:
        device, dtype = states.device.type, product_dtype(states)
        # What needs a gradient says so without one too.
        wanted = [bool(needed) and learns for needed in ctx.needs_input_grad[:3]]
        # Inside of a function of its own, autocast would cast the weight for every chunk anew.
        given = (states, weight, bias)
        found = [torch.zeros_like(x) if w and x is not None else None for x, w in zip(given, wanted, strict=True)]
        total = states.new_zeros((), dtype=torch.promote_types(states.dtype, torch.float32))
        with torch.autocast(device, enabled=False):
            cast = states.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
            for rows in _chunks(len(targets), size):
                part = cast[0][rows]
                logits = F.linear(part, cast[1], cast[2])
                loss, slope = _loss_and_slope(logits, targets[rows], label_smoothing, after, any(wanted))
                total += loss
                if slope is None:
                    continue
                slope = slope.to(dtype)
                if found[0] is not None:
                    found[0][rows] = slope @ cast[1]
                if found[1] is not None:
                    found[1] += slope.T @ part
                if found[2] is not None:
                    found[2] += slope.sum(0)
        ctx.save_for_backward(*found)
        return total

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        return *(None if x is None else x * gradient for x in ctx.saved_tensors), None, None, None, None, None


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)


def _loss_and_slope(
    logits: Tensor, targets: Tensor, label_smoothing: float, after: AfterHead, learns: bool
) -> tuple[Tensor, Tensor | None]:
    """Return the summed loss of logits ``[N, V]`` and, where something learns, its gradient by them."""
    # Half-precision logits lose the loss; float64 stays what it is, for tests against a reference.
    wide = after(logits.to(torch.promote_types(logits.dtype, torch.float32)))
    if not learns:
        return F.cross_entropy(wide, targets, reduction="sum", label_smoothing=label_smoothing), None
    index = targets[:, None]
    # The largest probability is 1 / Σ exp(x - max x), so one pass over the logits gives the softmax and its divisor.
    slope = wide.softmax(-1)
    largest, place = wide.max(-1, keepdim=True)
    loss = (largest - slope.gather(1, place).log() - wide.gather(1, index) * (1 - label_smoothing)).sum()
    if label_smoothing:
        loss -= label_smoothing * wide.mean(-1).sum()
        slope -= label_smoothing / wide.shape[1]
    slope.scatter_add_(1, index, slope.new_full((), label_smoothing - 1).expand_as(index))
    if after.cap is not None:
        slope *= 1 - (wide / after.cap).square()
    return loss, slope if after.scale == 1.0 else slope.mul_(after.scale)
