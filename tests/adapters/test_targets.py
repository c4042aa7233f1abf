"""What adapters reach where no layers are named, by family, and that it is learned, saved and merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lit_llm.adapters import AdaLoRA, Adapter, DoRA, LoRA, VeRA, trainable_table
from lit_llm.adapters.coverage import Share, coverage
from lit_llm.errors import ConfigError
from tests import families

REACHED = {"attention", "feed-forward", "linear attention", "experts"}
"""Kinds of layers that are adapted by default, with all of their matrices."""

REST = {
    # Biases, and the convolution and time constants of linear attention.
    "qwen2": {"attention": 12_288},
    "qwen3_5": {"linear attention": 13_056},
    "qwen3_next": {"linear attention": 13_056},
}
IDS = torch.arange(3, 27).view(2, 12)


def shares(network: Any) -> dict[str, Share]:
    return {share.kind: share for share in coverage(network)}


@pytest.mark.parametrize("family", ["qwen2", "qwen3_5", "qwen3_next", "phi3", "mixtral", "granitemoe", "gemma3"])
def test_all_that_learns_is_reached_by_default(family: str) -> None:
    model = families.build(family)
    weights = sum(weight.numel() for weight in model.parameters())
    found = shares(LoRA(r=2).wrap(model))
    assert sum(share.weights for share in found.values()) == weights
    for kind, share in found.items():
        wanted = REST.get(family, {}).get(kind, share.weights) if kind in REACHED else 0
        assert share.adapted == wanted, kind


def learned(adapter: Adapter, family: str, seed: int = 1) -> Any:
    network = adapter.wrap(families.build(family))
    torch.manual_seed(seed)
    for weight in network.parameters():
        if weight.requires_grad:
            weight.data.normal_(std=0.03)
    return network.eval()


@torch.no_grad()
def logits(network: Any) -> torch.Tensor:
    return network(input_ids=IDS).logits


@pytest.mark.parametrize("family", ["qwen3_moe", "qwen3_next", "qwen3_5_moe", "mixtral", "granitemoe"])
def test_experts_are_saved_reopened_by_peft_and_merged(family: str, tmp_path: Path) -> None:
    from peft import PeftModel

    adapter = LoRA(r=3, rank_pattern={"experts.down_proj": 2})
    network = learned(adapter, family)
    wanted = logits(network)
    assert float((wanted - logits(families.build(family))).abs().max()) > 1e-2
    adapter.save(network, tmp_path / "adapter")
    reopened = PeftModel.from_pretrained(families.build(family), tmp_path / "adapter").eval()
    # PEFT adds in another order, and a router turns rounding into other shares.
    torch.testing.assert_close(logits(reopened), wanted, rtol=1e-4, atol=1e-4)
    again = learned(LoRA(r=3, rank_pattern={"experts.down_proj": 2}), family, seed=2)
    adapter.load(again, tmp_path / "adapter")
    torch.testing.assert_close(logits(again), wanted, rtol=0, atol=0)
    merged = adapter.merge(network)
    torch.testing.assert_close(logits(merged), wanted, rtol=1e-4, atol=1e-4)
    assert not any("lora" in name for name, _ in merged.named_parameters())


def test_gradients_reach_each_expert_alone() -> None:
    network = LoRA(r=2).wrap(families.build("mixtral"))
    for name, weight in network.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=0.03)
    network(input_ids=IDS, labels=IDS).loss.backward()
    grads = {name: weight.grad for name, weight in network.named_parameters() if "experts" in name and "lora" in name}
    assert len(grads) == 4 * 4
    assert all(grad is not None and float(grad.abs().sum()) > 0 for grad in grads.values())
    assert network.get_base_model().model.layers[0].mlp.gate.weight.grad is None


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        (LoRA(r=2, dropout=0.1), "set dropout to 0"),
        (DoRA(r=2), "DoRA reaches linear layers alone"),
        (LoRA(r=2, init="pissa"), "init: pissa is for"),
        (VeRA(r=4), "VeRA reaches linear layers alone"),
        (AdaLoRA(r=1, initial_r=2), "AdaLoRA reaches linear layers alone"),
    ],
)
def test_experts_that_peft_cannot_reach_are_left_and_the_reason_is_known(adapter: Any, reason: str) -> None:
    found = shares(adapter.wrap(families.build("qwen3_moe")))
    assert found["experts"].adapted == 0
    assert found["attention"].adapted == found["attention"].weights
    assert reason in adapter.experts_left()


@pytest.mark.parametrize(
    ("build", "family", "message"),
    [
        (lambda: LoRA(dropout=0.1, target_parameters=["experts.down_proj"]), "mixtral", "set dropout to 0"),
        (lambda: LoRA(target_parameters=["experts.donw_proj"]), "mixtral", "nearest: 'experts.down_proj'"),
        (lambda: LoRA(target_modules=["gate_proj"]), "mixtral", "target_parameters, such as 'experts.gate_up_proj'"),
        (lambda: LoRA(target_modules=["v_proj"]), "phi3", "nearest: 'qkv_proj'.*without the setting, all linear"),
        (lambda: VeRA(target_modules=["out_proj"]), "mamba", "'out_proj' would do nothing"),
        (lambda: DoRA(target_modules=["q_proj", "up_proj"]), "qwen3_next", "takes 'up_proj' .* leave it out"),
    ],
)
def test_names_that_cannot_be_adapted_are_refused(build: Any, family: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build().wrap(families.build(family))


def test_names_mean_the_shared_expert_where_peft_takes_them_for_the_others() -> None:
    network = LoRA(r=2, target_modules=["q_proj", "up_proj"]).wrap(families.build("qwen3_next"))
    assert shares(network)["experts"].adapted == 0
    assert 0 < shares(network)["feed-forward"].adapted == 4 * 32 * 16


@pytest.mark.parametrize(
    ("wanted", "modules"), [("norm", 1), ("q_norm", 4), ("layers.1.input_layernorm", 1), ("model.norm", 1)]
)
def test_a_name_to_save_means_modules_of_this_whole_name(wanted: str, modules: int, tmp_path: Path) -> None:
    from peft import PeftModel

    adapter = LoRA(r=2, target_modules=["v_proj"], modules_to_save=[wanted])
    network = learned(adapter, "qwen3")
    rows = [row for row in trainable_table(network) if "modules_to_save" in row.pattern]
    assert sum(row.tensors for row in rows) == modules
    adapter.save(network, tmp_path)
    reopened = PeftModel.from_pretrained(families.build("qwen3"), tmp_path).eval()
    torch.testing.assert_close(logits(reopened), logits(network), rtol=1e-5, atol=1e-5)
