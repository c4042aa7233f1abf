"""A frozen layer and its LoRA as one function: values and gradients of PEFT, which does what is more than that."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lit_llm.adapters.base import NAME
from lit_llm.adapters.fused import _LowRank, fuse


def layer(dtype: torch.dtype = torch.float64, bias: bool = False, dropout: float = 0.0, dora: bool = False) -> Any:
    """Return a LoRA of PEFT on a linear layer, fused, whose update is not zero."""
    from peft import LoraConfig, inject_adapter_in_model

    torch.manual_seed(0)
    config = LoraConfig(
        r=3, lora_alpha=7, target_modules=["0"], lora_dropout=dropout, use_dora=dora, init_lora_weights=False
    )
    network = inject_adapter_in_model(config, nn.Sequential(nn.Linear(8, 5, bias=bias, dtype=dtype)), NAME)
    for name, weight in network.named_parameters():
        weight.requires_grad_("lora_" in name)
        weight.data = weight.data.to(dtype)
    fuse(network)
    return network[0]


def learned(module: Any, x: Tensor, forward: Any) -> list[Tensor]:
    """Return the result and the gradients of input and adapter."""
    y = forward(x)
    weight = torch.linspace(-1, 1, y.numel(), dtype=torch.float64).to(y.dtype).view_as(y)
    wanted = [x, *(w for w in module.parameters() if w.requires_grad)]
    return [y, *torch.autograd.grad((y * weight).sum(), wanted)]


def theirs(module: Any) -> Any:
    from peft.tuners.lora.layer import Linear

    return lambda x: Linear.forward(module, x)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(4, 8), (2, 3, 8), (2, 0, 8)])
def test_values_and_gradients_are_those_of_peft(
    dtype: torch.dtype, rtol: float, bias: bool, shape: tuple[int, ...]
) -> None:
    module = layer(dtype, bias)
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    for ours, wanted in zip(learned(module, x, module), learned(module, x, theirs(module)), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("bias", [False, True])
def test_a_bias_learns_where_it_is_asked_to(bias: bool) -> None:
    module = layer(bias=True)
    module.base_layer.bias.requires_grad_(bias)
    x = torch.randn(4, 8, dtype=torch.float64, requires_grad=True)
    for ours, wanted in zip(learned(module, x, module), learned(module, x, theirs(module)), strict=True):
        torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_under_autocast_only_rounding_differs(stored: torch.dtype, given: torch.dtype) -> None:
    module = layer(torch.float32)
    module.base_layer.to(stored)
    x = torch.randn(50, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        results = [learned(module, x, lambda x, f=f: f(x.to(given))) for f in (module, theirs(module))]
    for ours, wanted in zip(*results, strict=True):
        assert ours.dtype == wanted.dtype
        torch.testing.assert_close(
            ours.float(), wanted.float(), rtol=0.02, atol=0.02 * float(wanted.detach().abs().max())
        )


def disabled(module: Any) -> None:
    module.enable_adapters(False)


def merged(module: Any) -> None:
    module.merge()


def rounded(module: Any) -> None:
    plain = module.base_layer.forward
    module.base_layer.forward = lambda x: plain(x).round()


def hooked(module: Any) -> None:
    module.base_layer.register_forward_hook(lambda module, given, got: got + 1)


def wider(module: Any) -> None:
    module.base_layer.to(torch.float32)


def whole(module: Any) -> None:
    module.base_layer.weight.requires_grad_()


def watched(module: Any) -> None:
    module.lora_A[NAME].register_full_backward_hook(lambda *_: None)


def dropped_by_channels(module: Any) -> None:
    module.lora_dropout[NAME] = nn.Dropout1d(0.5).eval()


def dropped_whole(module: Any) -> None:
    module.lora_dropout[NAME] = nn.Dropout(1.0)


@pytest.mark.parametrize(
    "change", [disabled, merged, rounded, hooked, watched, whole, dropped_by_channels, dropped_whole]
)
def test_what_is_more_is_left_to_peft(change: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = layer()
    x = torch.randn(4, 8, dtype=torch.float64)
    monkeypatch.setattr(_LowRank, "forward", staticmethod(lambda *_: pytest.fail("was fused")))
    change(module)
    torch.testing.assert_close(module(x), theirs(module)(x), rtol=0, atol=0)


def test_dora_is_left_to_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_LowRank, "forward", staticmethod(lambda *_: pytest.fail("was fused")))
    layer(dora=True)(torch.randn(4, 8, dtype=torch.float64))


def test_a_wider_adapter_is_left_to_peft(monkeypatch: pytest.MonkeyPatch) -> None:
    module = layer()
    wider(module)
    monkeypatch.setattr(_LowRank, "forward", staticmethod(lambda *_: pytest.fail("was fused")))
    assert module(torch.randn(4, 8)).dtype == torch.float32


def test_dropout_keeps_as_many_as_it_says_and_scales_the_rest() -> None:
    module = layer(dropout=0.3)
    module.lora_A[NAME].weight.data[:] = 1.0
    module.lora_B[NAME].weight.data[:] = 1.0
    module.base_layer.weight.data.zero_()
    x = torch.ones(20_000, 8, dtype=torch.float64)
    torch.manual_seed(1)
    sums = module(x)[:, 0] / (3 * module.scaling[NAME]) * 0.7
    torch.testing.assert_close(sums, sums.round())
    assert float(sums.mean()) == pytest.approx(8 * 0.7, abs=5 * (8 * 0.21 / 20_000) ** 0.5)
    assert float(sums.var()) == pytest.approx(8 * 0.21, rel=0.1)
    torch.manual_seed(1)
    torch.testing.assert_close(module(x)[:, 0] / (3 * module.scaling[NAME]) * 0.7, sums, rtol=0, atol=0)
    assert not torch.equal(module(x)[:, 0] / (3 * module.scaling[NAME]) * 0.7, sums)
    module.eval()
    assert float((module(x)[:, 0] / (3 * module.scaling[NAME])).var()) == 0


def test_what_is_given_may_be_changed_in_place() -> None:
    """Some models clamp what a projection gives."""
    module = layer()
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)
    ours = learned(module, x, lambda x: module(x).clamp_(-0.5, 0.5))
    for a, b in zip(ours, learned(module, x, lambda x: theirs(module)(x).clamp_(-0.5, 0.5)), strict=True):
        torch.testing.assert_close(a, b)


def test_a_dropout_of_its_own_mode_is_followed() -> None:
    module = layer(dropout=0.5)
    module.lora_dropout[NAME].eval()
    x = torch.randn(4, 8, dtype=torch.float64)
    torch.testing.assert_close(module(x), theirs(module)(x))


@pytest.mark.parametrize("kept", [None, torch.arange(32).view(4, 8) % 3 > 0])
def test_gradients_are_those_of_small_steps(kept: Tensor | None) -> None:
    torch.manual_seed(0)
    x, a, b = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in ((4, 8), (3, 8), (5, 3)))
    weight = torch.randn(5, 8, dtype=torch.float64)

    def run(x: Tensor, a: Tensor, b: Tensor) -> Any:
        return _LowRank.apply(x, weight, None, a, b, 1.7, kept, 0.4)  # type: ignore[no-untyped-call]

    assert torch.autograd.gradcheck(run, (x, a, b))


def test_activations_that_are_computed_again_meet_the_same_dropout() -> None:
    module = layer(dropout=0.5)
    x = torch.randn(6, 8, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    plain = learned(module, x, module)
    torch.manual_seed(3)
    again = learned(module, x, lambda x: checkpoint(module, x, use_reentrant=False))
    for a, b in zip(plain, again, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_a_copy_computes_with_its_own_weights(make: Any) -> None:
    module = layer()
    other = make(module)
    other.lora_B[NAME].weight.data.zero_()
    x = torch.randn(4, 8, dtype=torch.float64)
    torch.testing.assert_close(other(x), module.base_layer(x))
    assert not torch.allclose(other(x), module(x))
