"""AdaLoRA's budget, penalty and files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_llm.adapters import AdaLoRA
from lit_llm.adapters.base import NAME
from lit_llm.adapters.peft_base import tuner_layers
from lit_llm.errors import ConfigError

STEPS = 10
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def directions(network) -> int:
    return sum(int(layer.lora_E[NAME].count_nonzero()) for _, layer in tuner_layers(network))


def test_the_budget_falls_to_the_average_rank(prepared: Callable, train: Callable) -> None:
    adapter = AdaLoRA(r=2, initial_r=4, target_modules=ATTENTION, interval=1, initial_share=0.2, final_share=0.3)
    network = prepared(adapter)
    counts = []
    optimizer = None
    for step in range(1, STEPS + 1):
        optimizer = train(adapter, network, range(step, step + 1), total=STEPS, optimizer=optimizer)
        counts.append(directions(network))
    assert counts[:2] == [32, 32]
    assert counts == sorted(counts, reverse=True)
    assert counts[-4:] == [16] * 4
    ranks = {int(layer.lora_E[NAME].count_nonzero()) for _, layer in tuner_layers(network)}
    assert len(ranks) > 1, "every layer kept the same rank"


def test_masked_directions_are_left_out_of_the_file_only_while_they_are_zero(
    prepared: Callable, train: Callable, tmp_path: Path
) -> None:
    adapter = AdaLoRA(r=2, initial_r=4, target_modules=ATTENTION, interval=1)
    network = prepared(adapter)
    train(adapter, network, range(1, STEPS + 1), total=STEPS)
    adapter.save(network, tmp_path)
    small = (tmp_path / "adapter_model.safetensors").stat().st_size
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert sum(map(sum, config["rank_pattern"].values())) == 16
    with torch.no_grad():
        next(tuner_layers(network))[1].lora_E[NAME][:] = 1.0
    adapter.save(network, tmp_path)
    assert (tmp_path / "adapter_model.safetensors").stat().st_size > small
    assert json.loads((tmp_path / "adapter_config.json").read_text())["rank_pattern"] is None


def test_the_penalty_is_the_mean_distance_from_orthogonality(prepared: Callable) -> None:
    network = prepared(AdaLoRA(r=2, initial_r=4, target_modules=ATTENTION))
    with torch.no_grad():
        for _, layer in tuner_layers(network):
            torch.nn.init.orthogonal_(layer.lora_A[NAME])
            torch.nn.init.orthogonal_(layer.lora_B[NAME])
    adapter = AdaLoRA(r=2, initial_r=4, target_modules=ATTENTION, orthogonality=0.5)
    assert adapter.penalty(network).item() == pytest.approx(0.0, abs=1e-5)
    with torch.no_grad():
        next(tuner_layers(network))[1].lora_A[NAME] *= 2  # A·Aᵀ is 4·I: the distance is 3·√4, one of 16 matrices
    penalty = adapter.penalty(network)
    assert penalty.item() == pytest.approx(0.5 * 3 * math.sqrt(4) / 16, rel=1e-4)
    penalty.backward()
    assert next(tuner_layers(network))[1].lora_A[NAME].grad.any()
    assert AdaLoRA(orthogonality=0.0).penalty(network) is None


@pytest.mark.parametrize("total", [1, 2, 3])
def test_a_run_of_few_steps_works(total: int, prepared: Callable, train: Callable, logits: Callable) -> None:
    adapter = AdaLoRA(r=2, initial_r=4, target_modules=ATTENTION)
    network = prepared(adapter)
    train(adapter, network, range(1, total + 1), total=total)
    assert directions(network) <= 16
    assert bool(torch.isfinite(logits(network)).all())


def test_a_run_without_an_end_is_refused(prepared: Callable) -> None:
    adapter = AdaLoRA()
    for total in (-1, 0, math.inf):
        with pytest.raises(ConfigError, match="max_steps or max_epochs"):
            adapter.after_step(prepared(adapter), 1, total)


@pytest.mark.parametrize(
    "settings",
    [{"r": 12}, {"r": 0}, {"initial_share": 0.7, "final_share": 0.3}, {"final_share": -0.1}, {"interval": 0}],
)
def test_an_impossible_plan_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.(initial_r|final_share|interval)"):
        AdaLoRA(**settings)
