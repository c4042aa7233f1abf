"""The loss at labelled positions, computed in chunks, is the plain cross-entropy."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_llm.batch import IGNORE
from lit_llm.models.loss import chunked_cross_entropy, labelled_states


@pytest.mark.parametrize("chunk", [None, 1, 3, 7, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("frozen_head", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_plain_cross_entropy(chunk: int | None, smoothing: float, frozen_head: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 11, 16, dtype=dtype, requires_grad=True)
    head = nn.Linear(16, 50, bias=False, dtype=dtype).requires_grad_(not frozen_head)
    labels = torch.randint(0, 50, (3, 11))
    labels[0, :6] = IGNORE
    labels[2] = IGNORE
    plain = F.cross_entropy(
        head(hidden[:, :-1]).flatten(0, 1),
        labels[:, 1:].flatten(),
        reduction="sum",
        label_smoothing=smoothing,
        ignore_index=IGNORE,
    )
    wanted = torch.autograd.grad(plain, [hidden, *(() if frozen_head else (head.weight,))])
    states, targets = labelled_states(hidden, labels)
    ours = chunked_cross_entropy(states, targets, head, smoothing, chunk)
    got = torch.autograd.grad(ours, [hidden, *(() if frozen_head else (head.weight,))])
    rtol = 1e-10 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(ours, plain, rtol=rtol, atol=rtol)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


def test_nothing_labelled_still_reaches_the_weights() -> None:
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    head = nn.Linear(8, 20, bias=False)
    states, targets = labelled_states(hidden, torch.full((2, 5), IGNORE))
    loss = chunked_cross_entropy(states, targets, head)
    loss.backward()
    assert loss == 0
    assert head.weight.grad is not None
    assert hidden.grad is not None
    assert hidden.grad.abs().sum() == 0
