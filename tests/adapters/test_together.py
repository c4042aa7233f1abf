"""Several adapters on one backbone: one computes at a time, and what learns is said once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lit_llm.adapters import AdaLoRA, DoRA, Full, LoRA, VeRA
from lit_llm.adapters.together import (
    active,
    active_name,
    adapter_parameters,
    let_learn,
    refuse_together,
    wrap_together,
)
from lit_llm.errors import ConfigError
from tests import families

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(input_ids=IDS).logits
    return found


def disturb(network: Any, name: str, seed: int) -> None:
    """Give an adapter weights that change what is computed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for own, parameters in adapter_parameters(network):
            for weight in parameters if own == name else []:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.1)


@pytest.mark.parametrize("kind", [LoRA, DoRA])
def test_each_computes_as_if_it_were_alone(tmp_path, kind):
    adapters = {name: kind(r=4 + at).named(name) for at, name in enumerate(("one", "two", "six"))}
    network = wrap_together(families.build("qwen3"), list(adapters.values())).eval()
    plain = logits(families.build("qwen3").eval())
    assert active_name(network) == "one"
    for seed, (name, adapter) in enumerate(adapters.items()):
        disturb(network, name, seed)
        adapter.save(network, tmp_path / name)
    for name in adapters:
        with active(network, name):
            found = logits(network)
        alone = kind(r=adapters[name].r)
        other = alone.wrap(families.build("qwen3")).eval()
        alone.load(other, tmp_path / name)
        torch.testing.assert_close(found, logits(other), rtol=0, atol=2e-5)
        assert (found - plain).abs().max() > 1e-3
    assert active_name(network) == "one"


def test_adapters_on_other_layers_leave_each_other_alone(tmp_path):
    adapters = [LoRA(r=4, target_modules=["q_proj"]).named("one"), DoRA(r=2, target_modules=["up_proj"]).named("two")]
    network = wrap_together(families.build("qwen3"), adapters).eval()
    disturb(network, "two", 0)
    with active(network, "two"):
        before = logits(network)
    adapters[1].save(network, tmp_path)
    disturb(network, "two", 1)
    disturb(network, "one", 1)
    adapters[1].load(network, tmp_path)
    with active(network, "two"):
        torch.testing.assert_close(logits(network), before, rtol=0, atol=0)


@pytest.mark.parametrize("names", [{"one"}, {"one", "two"}, set()])
def test_what_computes_says_nothing_of_what_learns(names):
    network = wrap_together(families.build("qwen3"), [LoRA(r=2).named("one"), LoRA(r=2).named("two")])
    let_learn(network, names)
    with active(network, "two"):
        pass
    for name, parameters in adapter_parameters(network):
        assert all(weight.requires_grad == (name in names) for weight in parameters)
    learning = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert all(any(f".{name}." in key for name in names) for key in learning)


def test_the_one_before_computes_again_after_an_error():
    network = wrap_together(families.build("qwen3"), [LoRA(r=2).named("one"), LoRA(r=2).named("two")])
    with pytest.raises(RuntimeError, match="halt"), active(network, "two"):
        raise RuntimeError("halt")
    assert active_name(network) == "one"


@pytest.mark.parametrize(
    ("adapter", "said"),
    [
        (VeRA(), "VeRA cannot share"),
        (AdaLoRA(), "AdaLoRA cannot share"),
        (Full(), "Full cannot share"),
        (LoRA(init="pissa"), "LoRA pissa cannot share"),
        (LoRA(init="eva"), "LoRA eva cannot share"),
        (LoRA(modules_to_save=["lm_head"]), r"other\.modules_to_save: "),
        (DoRA(bias="all"), r"other\.bias: "),
    ],
)
def test_what_cannot_share_a_backbone_is_refused(adapter, said):
    refuse_together({"one": LoRA(), "two": DoRA(init="gaussian")})
    with pytest.raises(ConfigError, match=rf"model\.init_args\.other.*{said}|{said}"):
        refuse_together({"one": LoRA(), "other": adapter})
