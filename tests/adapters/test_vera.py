"""VeRA's shared projections."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_llm.adapters import VeRA, trainable_table
from lit_llm.adapters.peft_base import tuner_layers
from lit_llm.errors import ConfigError


def test_projections_depend_on_their_seed_alone_and_fit_the_largest_layer(prepared: Callable) -> None:
    found = []
    for seed, projection_seed in ((0, 0), (1, 0), (0, 1)):
        network = prepared(VeRA(r=16, projection_seed=projection_seed, target_modules="all-linear"), seed=seed)
        found.append((network.base_model.vera_A["default"], network.base_model.vera_B["default"]))
    assert found[0][0].shape == (16, 256)
    assert found[0][1].shape == (256, 16)
    assert torch.equal(found[0][0], found[1][0])
    assert not torch.equal(found[0][0], found[2][0])


def test_only_vectors_learn(prepared: Callable) -> None:
    rows = {row.pattern.rpartition(".")[2]: row.shape for row in trainable_table(prepared(VeRA(r=16)))}
    assert rows["vera_lambda_d"] == (16,)
    assert set(rows) == {"vera_lambda_b", "vera_lambda_d"}


def test_seed_and_projections_are_saved(prepared: Callable, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    adapter = VeRA(r=16, projection_seed=7)
    network = prepared(adapter)
    adapter.save(network, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["projection_prng_key"] == 7
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert [key for key in tensors if "vera_A" in key] == ["base_model.vera_A"]
    # Projections of another machine's generator win over our own.
    other = prepared(VeRA(r=16, projection_seed=8))
    VeRA(r=16).load(other, tmp_path)
    layer = next(layer for _, layer in tuner_layers(other))
    assert torch.equal(layer.vera_A["default"], network.base_model.vera_A["default"])


def test_a_rank_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"adapter\.r"):
        VeRA(r=0)
