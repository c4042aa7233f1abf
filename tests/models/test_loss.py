"""The loss at labelled positions, computed in chunks, is the plain cross-entropy."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_llm.batch import IGNORE
from lit_llm.models.head import AfterHead
from lit_llm.models.loss import chunked_cross_entropy, labelled_states


class OfItsOwn(nn.Linear):
    """A head that could be more than one product."""


AFTER = [AfterHead(), AfterHead(0.25), AfterHead(2.0, 3.0)]


@pytest.mark.parametrize(("chunk", "dtype"), [(1, torch.float64), (3, torch.float64), (None, torch.float32)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("frozen", ["", "head", "states"])
@pytest.mark.parametrize("kind", [nn.Linear, OfItsOwn])
@pytest.mark.parametrize("after", AFTER, ids=str)
def test_equals_plain_cross_entropy(
    chunk: int | None, smoothing: float, frozen: str, dtype: torch.dtype, kind: type[nn.Linear], after: AfterHead
) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(3, 11, 16, dtype=dtype, requires_grad=frozen != "states")
    head = kind(16, 50, bias=chunk == 3, dtype=dtype).requires_grad_(frozen != "head")
    labels = torch.randint(0, 50, (3, 11))
    labels[0, :6] = IGNORE
    labels[2] = IGNORE
    plain = F.cross_entropy(
        after(head(hidden[:, :-1]).flatten(0, 1)),
        labels[:, 1:].flatten(),
        reduction="sum",
        label_smoothing=smoothing,
        ignore_index=IGNORE,
    )
    learned = [x for x in (hidden, *head.parameters()) if x.requires_grad]
    # What comes after a loss multiplies its gradient: accumulation, float16's scaler.
    wanted = torch.autograd.grad(3 * plain, learned)
    states, targets = labelled_states(hidden, labels)
    ours = chunked_cross_entropy(states, targets, head, smoothing, chunk, after)
    got = torch.autograd.grad(3 * ours, learned)
    rtol = 1e-10 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(ours, plain, rtol=rtol, atol=rtol)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)
    with torch.no_grad():
        torch.testing.assert_close(
            chunked_cross_entropy(states, targets, head, smoothing, chunk, after), plain, rtol=rtol, atol=rtol
        )


@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16])
def test_under_autocast_it_is_what_the_plain_one_is(weights: torch.dtype) -> None:
    torch.manual_seed(0)
    head = nn.Linear(64, 300, bias=False, dtype=weights)
    states, targets = torch.randn(40, 64, requires_grad=True), torch.randint(0, 300, (40,))
    with torch.autocast("cpu", torch.bfloat16):
        plain = F.cross_entropy(head(states).float(), targets, reduction="sum")
        ours = chunked_cross_entropy(states, targets, head)
    wanted = torch.autograd.grad(plain, [states, head.weight])
    got = torch.autograd.grad(ours, [states, head.weight])
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, plain, rtol=1e-6, atol=0)
    for a, b, x in zip(got, wanted, (states, head.weight), strict=True):
        assert a.dtype == x.dtype
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-2)


def test_a_loss_that_exponentials_cannot_hold_is_right() -> None:
    head = nn.Linear(1, 2, bias=False)
    head.weight.data[:] = torch.tensor([[1.0], [-1.0]])
    states = torch.tensor([[100.0]], requires_grad=True)
    loss = chunked_cross_entropy(states, torch.tensor([1]), head)
    loss.backward()
    assert loss == 200
    assert states.grad is not None
    assert states.grad.item() == 2


def test_a_head_that_something_else_computes_is_called() -> None:
    head = nn.Linear(8, 20, bias=False)
    states, targets = torch.randn(4, 8, requires_grad=True), torch.arange(4)
    head.register_forward_hook(lambda module, given, got: got * 0)
    assert chunked_cross_entropy(states, targets, head).item() == pytest.approx(4 * math.log(20))


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


def test_without_gradients_none_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    head = nn.Linear(8, 20, bias=False)
    monkeypatch.setattr(torch.Tensor, "softmax", lambda *_: pytest.fail("a gradient was computed"))
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert chunked_cross_entropy(torch.randn(4, 8), torch.arange(4), head) > 0


def test_in_float16_gradients_are_taken_once_they_are_scaled() -> None:
    """Of a token that is nearly sure, they are too small for float16."""
    head = nn.Linear(16, 50, bias=False)
    states = (20 * head.weight[:3]).detach().requires_grad_()
    with torch.autocast("cpu", torch.float16):
        ours = 65536 * chunked_cross_entropy(states, torch.arange(3), head)
        plain = 65536 * F.cross_entropy(head(states).float(), torch.arange(3), reduction="sum")
    for a, b in zip(*(torch.autograd.grad(loss, [states, head.weight]) for loss in (ours, plain)), strict=True):
        assert torch.equal(a, b)
        assert bool((a.abs().sum(1) > 0).all())
