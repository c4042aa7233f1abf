"""NF4 under LoRA: stored small, learned on, and the same before and after a validation."""

from __future__ import annotations

from pathlib import Path

import bitsandbytes
import pytest
import torch

from lit_llm.adapters import DoRA, Full, LoRA
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM, Loading
from lit_llm.quantization import NF4

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])


def model(root: Path, **settings: object) -> CausalLM:
    built = CausalLM(backbone=str(root / "checkpoints/qwen3-tiny"), **settings)  # type: ignore[arg-type]
    built.configure_model()
    return built


def loss(built: CausalLM) -> torch.Tensor:
    assert built.network is not None
    found: torch.Tensor = built.network(input_ids=IDS, labels=IDS).loss
    return found


@pytest.mark.parametrize("double_quant", [False, True])
def test_linear_layers_are_stored_in_half_a_byte_per_weight(root: Path, double_quant: bool) -> None:
    built = model(root, quantizer=NF4(double_quant))
    layers = [m for m in built.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    assert len(layers) == 7 * 4
    weight = layers[0].weight
    assert weight.dtype == torch.uint8
    assert weight.numel() * 2 == layers[0].in_features * layers[0].out_features
    assert weight.quant_state.nested is double_quant
    plain = model(root)
    assert loss(built).item() == pytest.approx(loss(plain).item(), rel=0.1)
    assert loss(built).item() != loss(plain).item()


@pytest.mark.parametrize("kind", [LoRA, DoRA])
def test_a_validation_changes_nothing(root: Path, kind: type[LoRA]) -> None:
    built = model(root, quantizer=NF4(), adapter=kind(r=4, dropout=0.0))
    before = loss(built).item()
    built.eval()
    with torch.no_grad():
        evaluated = loss(built).item()
    built.train()
    assert evaluated == pytest.approx(before, abs=1e-5)
    assert loss(built).item() == pytest.approx(before, abs=1e-5)


def test_an_adapter_learns_on_top_of_it(root: Path) -> None:
    built = model(root, quantizer=NF4(), adapter=LoRA(r=4))
    learned = [weight for weight in built.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        current = loss(built)
        current.backward()
        optimizer.step()
        losses.append(float(current))
    assert losses[-1] < losses[0] - 0.5


def test_random_weights_can_be_quantized_too(root: Path) -> None:
    loading = Loading(random_init=True, config_overrides={"num_hidden_layers": 1})
    built = model(root, quantizer=NF4(), loading=loading)
    assert sum(isinstance(m, bitsandbytes.nn.Linear4bit) for m in built.modules()) == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"merge": True}, "merge: weights that are quantized round"), ({"adapter": Full()}, "Full trains the weights")],
)
def test_what_4_bits_cannot_do_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        CausalLM(quantizer=NF4(), **settings)  # type: ignore[arg-type]
