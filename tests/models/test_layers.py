"""Checkpoints and compilation change what a step costs, and nothing that it computes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch._dynamo.utils import counters
from torch.utils.flop_counter import FlopCounterMode

from lit_llm.__main__ import main
from lit_llm.adapters import AdaLoRA, DoRA, Full, LoRA, VeRA
from lit_llm.batch import IGNORE, Batch
from lit_llm.errors import ConfigError
from lit_llm.generation import Generator, generate_rows
from lit_llm.models import CausalLM, Loading
from lit_llm.models.backbone import open_tokenizer
from lit_llm.models.layers import decoder_layers
from lit_llm.planning import Plan
from tests import families
from tests.short_runs import fit

ROWS = [[5 + k * 7 % 900 for k in range(length)] for length in (40, 3, 17, 29)]


def batch(rows: list[list[int]]) -> Batch:
    """Return rows padded on the right, whose second halves are learned."""
    width = max(map(len, rows))
    ids, labels = torch.full((len(rows), width), 1), torch.full((len(rows), width), IGNORE)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
        labels[at, len(row) // 2 : len(row)] = torch.tensor(row[len(row) // 2 :])
    return Batch([str(at) for at in range(len(rows))], "train", "text", torch.ones_like(ids), labels, ids)


def opened(base: Path, adapter: Any = None, dtype: str = "float64", **settings: Any) -> CausalLM:
    torch.manual_seed(0)
    model = CausalLM(backbone=str(base), adapter=adapter or LoRA(dropout=0.1), loading=Loading(dtype=dtype), **settings)
    model.configure_model()
    assert model.network is not None
    for name, weight in model.network.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight.data, std=0.1)
    return model.to(getattr(torch, dtype))


def step(model: CausalLM, *batches: Batch) -> tuple[list[float], torch.Tensor]:
    """Return the losses of batches and the gradients that they leave."""
    torch.manual_seed(1)
    losses = []
    for each in batches:
        loss, _ = model.summed_loss(each)
        loss.backward()
        losses.append(loss.item())
    return losses, torch.cat([w.grad.flatten() for w in model.parameters() if w.grad is not None])


@pytest.mark.parametrize(
    ("family", "how", "layers"),
    [
        *(("qwen3", how, layers) for how, layers in ((True, 4), (0.5, 2), (0.75, 3), (0.0, 0), ("selective", 4))),
        *((family, how, layers) for family in ("gemma3", "qwen3_5") for how, layers in ((0.5, 2), ("selective", 4))),
    ],
)
def test_what_is_computed_again_is_the_same(family: str, how: Any, layers: int, tmp_path: Path) -> None:
    base = families.folder(tmp_path / "base", family)
    plain = step(opened(base), batch(ROWS))
    model = opened(base, gradient_checkpointing=how)
    marked = [layer.gradient_checkpointing for layer in decoder_layers(model.language_model)]
    assert sum(marked) == layers
    assert marked[-1] is (layers > 0)
    losses, gradients = step(model, batch(ROWS))
    assert losses == plain[0]
    assert (gradients - plain[1]).norm() / plain[1].norm() < 1e-12


@pytest.mark.parametrize("adapter", [DoRA(), VeRA(), Full(), LoRA(bias="all")], ids=lambda adapter: adapter.kind)
def test_whatever_learns_learns_the_same(adapter: Any, tmp_path: Path) -> None:
    base = families.folder(tmp_path / "base", "qwen2")
    plain = step(opened(base, copy.deepcopy(adapter)), batch(ROWS))
    losses, gradients = step(opened(base, copy.deepcopy(adapter), gradient_checkpointing="selective"), batch(ROWS))
    assert losses == plain[0]
    assert (gradients - plain[1]).norm() / plain[1].norm() < 1e-12


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_no_product_of_a_layer_is_computed_twice(family: str, tmp_path: Path) -> None:
    base = families.folder(tmp_path / "base", family)
    products = []
    for how in (False, "selective", True):
        model = opened(base, Full(), gradient_checkpointing=how)
        with FlopCounterMode(display=False) as counter:
            step(model, batch(ROWS))
        counts = counter.get_flop_counts()["Global"]
        products.append(sum(count for name, count in counts.items() if str(name) in ("aten.mm", "aten.addmm")))
    assert products[0] == products[1] < products[2]


def test_what_would_be_changed_is_not_kept() -> None:
    with pytest.raises(ConfigError, match=r"gradient_checkpointing is selective: PEFT's AdaLoRA adds to"):
        CausalLM(gradient_checkpointing="selective", adapter=AdaLoRA())
    with pytest.raises(
        ConfigError, match=r"gradient_checkpointing is selective, and model\.init_args\.compile is true"
    ):
        CausalLM(gradient_checkpointing="selective", compile=True)


@pytest.mark.parametrize("how", [1.5, -0.1, "some"])
def test_what_says_nothing_about_layers_is_refused(how: Any) -> None:
    with pytest.raises(ConfigError, match=r"gradient_checkpointing is .*: use true, false, a share"):
        CausalLM(gradient_checkpointing=how)


@pytest.mark.slow
def test_each_way_keeps_less_than_the_one_before(tmp_path: Path) -> None:
    base = families.folder(tmp_path / "base", "qwen3")
    kept = []
    for how in (False, "selective", 0.5, True):
        model = CausalLM(backbone=str(base), adapter=LoRA())
        settings = {"quantizer": None, "precision": "32-true", "checkpointing": how, "batch": 2, "length": 64}
        plan = Plan(str(base), model.loading, model.adapter, model.optimizer_factory, **settings)
        kept.append(plan.memory().activations)
        if how == 0.5:
            assert plan.memory(exact=True).activations == pytest.approx(kept[-1], rel=0.03)
    none, selective, half, every = kept
    assert none > selective > every
    assert none > half > every


@pytest.mark.slow
def test_compiled_layers_compute_the_same(tmp_path: Path) -> None:
    base = families.folder(tmp_path / "base", "qwen3", num_hidden_layers=2)
    batches = [batch(ROWS), batch(ROWS[:2]), batch(ROWS[1:])]
    without = LoRA(dropout=0.0)
    plain = opened(base, without, "float32")
    compiled = opened(base, LoRA(dropout=0.0), "float32", compile=True, gradient_checkpointing=0.5)
    counters.clear()
    expected, found = step(plain, *batches), step(compiled, *batches)
    # A layer is one graph, for rows of any length; each of the two is compiled for itself.
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] <= 4
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    assert (found[1] - expected[1]).norm() / expected[1].norm() < 1e-5
    answers = [
        generate_rows(Generator(max_new_tokens=8), model.network, open_tokenizer(str(base), model.loading), ROWS)
        for model in (plain, compiled)
    ]
    assert answers[0] == answers[1]


@pytest.mark.slow
def test_a_compiled_run_goes_on_to_rounding(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f'{{"text": "{"pan " * (k % 5 + 1)}", "json": {{"n": {k}}}}}\n' for k in range(24)))
    settings: dict[str, Any] = {"backbone": str(root / "checkpoints/qwen3-tiny"), "compile": True}
    settings["schedule"] = {"name": "constant", "warmup": 0}
    data = {"train": str(file), "batch_size": 4}
    whole = fit(tmp_path / "whole", data, steps=6, **settings)
    parts = fit(tmp_path / "parts", data, steps=3, **settings)
    config = str(parts.with_suffix(".yaml"))
    assert main(["fit", "--config", config, "--trainer.max_steps", "6", "--ckpt_path", "last"]) == 0
    # What is compiled for the first widths that are met rounds otherwise than what is compiled for others.
    found = [load_file(run / "adapter" / "adapter_model.safetensors") for run in (parts, whole)]
    one, other = (torch.cat([part.flatten() for part in each.values()]) for each in found)
    assert (one - other).norm() / other.norm() < 1e-5
