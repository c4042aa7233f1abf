"""LoRA's settings and initialisations, and DoRA."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_llm.adapters import DoRA, LoRA, causal_lm
from lit_llm.adapters.base import NAME
from lit_llm.adapters.lora_start import Passes
from lit_llm.adapters.peft_base import tuner_layers
from lit_llm.batch import Batch
from lit_llm.errors import ConfigError

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def test_the_defaults_are_all_linear_layers_with_rank_16(open_base: Callable) -> None:
    layers = dict(tuner_layers(LoRA().wrap(open_base())))
    assert {name.rpartition(".")[2] for name in layers} == {*ATTENTION, "gate_proj", "up_proj", "down_proj"}
    assert {layer.r[NAME] for layer in layers.values()} == {16}
    assert {layer.scaling[NAME] for layer in layers.values()} == {2.0}


def test_patterns_and_rslora_give_each_layer_its_rank_and_scale(open_base: Callable) -> None:
    patterns = {"rank_pattern": {"q_proj": 8, r"layers\.1\..*v_proj": 2}, "alpha_pattern": {"o_proj": 6.0}}
    for rslora, power in ((False, 1.0), (True, 0.5)):
        network = LoRA(r=4, alpha=16, rslora=rslora, **patterns).wrap(open_base())
        found = {name[-26:]: (layer.r[NAME], layer.scaling[NAME]) for name, layer in tuner_layers(network)}
        assert found["model.layers.0.self_attn.q_proj"[-26:]] == (8, 16 / 8**power)
        assert found["model.layers.0.self_attn.v_proj"[-26:]] == (4, 16 / 4**power)
        assert found["model.layers.1.self_attn.v_proj"[-26:]] == (2, 16 / 2**power)
        assert found["model.layers.1.self_attn.o_proj"[-26:]] == (4, 6 / 4**power)


@pytest.mark.parametrize("kind", ["rank_pattern", "alpha_pattern"])
def test_a_pattern_that_fits_nothing_is_refused(kind: str, open_base: Callable) -> None:
    with pytest.raises(ConfigError, match=rf"adapter\.{kind}: 'up_proj' .*nearest: '.*q_proj'"):
        LoRA(target_modules=["q_proj"], **{kind: {"up_proj": 8}}).wrap(open_base())


@pytest.mark.parametrize("settings", [{"r": 0}, {"rank_pattern": {"q_proj": -1}}])
def test_a_rank_below_one_is_refused(settings: dict) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        LoRA(**settings)


def test_lora_plus_speeds_up_b_alone(open_base: Callable) -> None:
    adapter = LoRA(plus_ratio=16.0)
    network = adapter.wrap(open_base())
    scales = {name: adapter.learning_rate_scale(name) for name, p in network.named_parameters() if p.requires_grad}
    assert set(scales.values()) == {1.0, 16.0}
    assert all((scale == 16.0) == ("lora_B" in name) for name, scale in scales.items())


def test_the_same_seed_gives_the_same_start(prepared: Callable) -> None:
    weights = [dict(prepared(LoRA(), seed=seed).named_parameters()) for seed in (3, 3, 4)]
    key = next(key for key in weights[0] if "lora_A" in key)
    assert torch.equal(weights[0][key], weights[1][key])
    assert not torch.equal(weights[0][key], weights[2][key])


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_factors_come_out_of_the_frozen_weight(init: str, open_base: Callable) -> None:
    model = open_base()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for name, layer in tuner_layers(LoRA(r=4, init=init).wrap(model)):
        weight = before[name.removeprefix("base_model.model.") + ".weight"]
        product = layer.get_delta_weight(NAME)
        torch.testing.assert_close(layer.get_base_layer().weight + product, weight, rtol=0, atol=1e-6)
        if init == "pissa":
            u, s, vh = torch.linalg.svd(weight, full_matrices=False)
            torch.testing.assert_close(product, u[:, :4] @ s[:4].diag() @ vh[:4], rtol=0, atol=1e-5)
        else:
            b = layer.lora_B[NAME].weight
            torch.testing.assert_close(b.T @ b, torch.eye(4), rtol=0, atol=1e-5)


def test_a_rank_above_the_weights_own_is_refused(open_base: Callable) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.r: 'pissa' allows at most 64"):
        LoRA(r=65, init="pissa").wrap(open_base())


def test_factors_of_another_machine_are_taken_out_instead_of_our_own(
    prepared: Callable, train: Callable, logits: Callable, tmp_path: Path, open_base: Callable
) -> None:
    adapter = LoRA(r=4, init="pissa")
    network = prepared(adapter)
    for _, layer in tuner_layers(network):  # another SVD: a direction has the other sign, and one is turned a little
        a, b = (factor.clone() for factor in layer.taken)
        a[0], b[:, 0] = -a[0], -b[:, 0]
        b[:, 1] += 0.01 * b[:, 2]
        change = layer.scaling[NAME] * (layer.taken[1] @ layer.taken[0] - b @ a)
        layer.get_base_layer().weight.data += change
        layer.lora_A[NAME].weight.data, layer.lora_B[NAME].weight.data = a.clone(), b.clone()
        layer.taken = (a, b)
    train(adapter, network)
    trained = logits(network)
    adapter.save(network, tmp_path)

    here = prepared(LoRA(r=4, init="pissa"))
    adapter.load(here, tmp_path)
    torch.testing.assert_close(logits(here), trained, rtol=0, atol=1e-5)

    resumed = prepared(LoRA(r=4, init="pissa"))
    adapter.load_state_dict(resumed, adapter.state_dict(network))
    learned = {k: v for k, v in network.named_parameters() if v.requires_grad}
    assert not resumed.load_state_dict(learned, strict=False).unexpected_keys
    torch.testing.assert_close(logits(resumed), trained, rtol=0, atol=1e-5)


def test_eva_takes_the_directions_of_the_inputs(open_base: Callable, batch: Batch) -> None:
    adapter = LoRA(r=4, init="eva")
    network = adapter.wrap(open_base())
    assert adapter.needs_data
    name, layer = next(tuner_layers(network))
    seen = []
    handle = layer.register_forward_hook(lambda _, args, __: seen.append(args[0].detach()))
    with torch.no_grad():
        network.eval()(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    handle.remove()
    adapter.initialize(network, [batch])
    rows = seen[0][batch.attention_mask.bool()]
    _, _, wanted = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    found = layer.lora_A[NAME].weight
    # The same four-dimensional space: EVA's own SVD is a randomised one.
    overlap = torch.linalg.svdvals(found @ wanted[:4].T / found.norm(dim=1, keepdim=True))
    assert overlap.min() > 0.95, name
    assert not any(bool(layer.lora_B[NAME].weight.any()) for _, layer in tuner_layers(network))


def test_eva_moves_ranks_within_the_budget_and_keeps_parameters_and_scales(
    open_base: Callable, batch: Batch, tmp_path: Path
) -> None:
    model = open_base()
    with torch.no_grad():  # the second block sees inputs that vary in one direction mostly
        model.model.layers[1].input_layernorm.weight[1:] = 0.03
    adapter = LoRA(r=4, init="eva", eva_rho=2.0, target_modules=ATTENTION)
    network = adapter.wrap(model)
    before = [p for p in network.parameters() if p.requires_grad]
    state = torch.random.get_rng_state()
    adapter.initialize(network, [batch, batch])
    assert torch.equal(torch.random.get_rng_state(), state)
    ranks = [layer.r[NAME] for _, layer in tuner_layers(network)]
    assert len(set(ranks)) > 1
    assert 28 <= sum(ranks) <= 32
    assert {layer.scaling[NAME] for _, layer in tuner_layers(network)} == {8.0}
    after = [p for p in network.parameters() if p.requires_grad]
    # An optimizer that was made before still holds every parameter that learns.
    assert {id(p) for p in after} <= {id(p) for p in before}
    adapter.save(network, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert sorted(set(config["rank_pattern"].values())) == sorted(set(ranks))
    assert config["init_lora_weights"] is True


def test_eva_never_waits_for_directions_that_are_not_there(open_base: Callable, batch: Batch) -> None:
    adapter = LoRA(r=4, init="eva", eva_rho=16.0)
    with pytest.raises(ConfigError, match=r"adapter\.init: EVA looks for 64 directions where .* has 44"):
        adapter.initialize(adapter.wrap(open_base()), [batch])
    passes = Passes([{"input_ids": batch.input_ids}])
    assert len([list(passes) for _ in range(passes.left)]) > 10
    with pytest.raises(ConfigError, match=r"adapter\.init: .* do not settle"):
        list(passes)


def test_dora_starts_as_the_backbone_and_refuses_a_row_of_zeros(open_base: Callable) -> None:
    model = open_base()
    for _, layer in tuner_layers(DoRA(r=4).wrap(model)):
        lengths = layer.get_base_layer().weight.norm(dim=1)
        torch.testing.assert_close(layer.lora_magnitude_vector[NAME].weight, lengths, rtol=0, atol=0)
    model = open_base()
    with torch.no_grad():
        model.model.layers[1].self_attn.k_proj.weight[[3, 9]] = 0
    with pytest.raises(ConfigError, match=r"rows \[3, 9\] of .*layers\.1\.self_attn\.k_proj are zero"):
        DoRA(r=4).wrap(model)


def test_dora_learns_lengths(prepared: Callable, train: Callable) -> None:
    adapter = DoRA(r=4)
    network = prepared(adapter)
    train(adapter, network)
    base = dict(causal_lm(prepared(LoRA(r=4))).named_modules())
    for name, layer in tuner_layers(network):
        weight = adapter.effective_weight(layer)
        torch.testing.assert_close(weight.norm(dim=1), layer.lora_magnitude_vector[NAME].weight)
        original = base[name.removeprefix("base_model.model.")].get_base_layer().weight
        assert not torch.allclose(weight.norm(dim=1), original.norm(dim=1), atol=1e-3)
