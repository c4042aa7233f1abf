"""Cross-entropy at labelled positions only, with the vocabulary projection done in chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint

from lit_llm.batch import IGNORE
from lit_llm.models.head import AfterHead

if TYPE_CHECKING:
    from torch import Tensor, nn

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

    Each chunk's logits are computed again in the backward pass instead of being stored, so that memory grows with the
    chunk and not with the number of tokens; values and gradients are those of the plain computation.

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
