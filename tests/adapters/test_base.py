"""What adapters share: targets, dtypes, effective weights, errors."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lit_llm.adapters import (
    AdaLoRA,
    Adapter,
    DoRA,
    Full,
    LoRA,
    VeRA,
    causal_lm,
    parameter_totals,
    trainable_table,
)
from lit_llm.adapters.peft_base import tuner_layers
from lit_llm.batch import Batch
from lit_llm.errors import ConfigError, UserError


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_effective_weight_is_the_merged_one(
    name: str, make: Callable[[], Adapter], dtype: torch.dtype, prepared: Callable, train: Callable
) -> None:
    adapter = make()
    network = prepared(adapter, dtype=dtype)
    train(adapter, network)
    wrapped = dict(causal_lm(network).named_modules())
    names = [name for name in wrapped if name.endswith(("_proj", "lm_head"))]
    before = {name: adapter.effective_weight(wrapped[name]).detach().clone() for name in names}
    after = adapter.merge(network).state_dict()
    assert len(before) == 15
    for name, weight in before.items():
        torch.testing.assert_close(weight.to(dtype), after[f"{name}.weight"], rtol=0, atol=0)


def test_a_16_bit_backbone_keeps_its_dtype_and_its_adapter_float32(
    name: str, make: Callable[[], Adapter], prepared: Callable, open_base: Callable, train: Callable, logits: Callable
) -> None:
    adapter = make()
    network = prepared(adapter, dtype=torch.bfloat16)
    untouched = logits(open_base(dtype=torch.bfloat16))
    noise = (untouched - logits(open_base())).abs().mean()
    # PiSSA and OLoRA round the frozen remainder again; the others start as the backbone itself.
    moves_base = "pissa" in name or name == "olora"
    assert (logits(network) - untouched).abs().mean() <= (2 * noise if moves_base else 0)
    if adapter.folder == "adapter":
        assert {p.dtype for p in network.parameters() if p.requires_grad} == {torch.float32}
    train(adapter, network)
    trained = logits(network)
    merged = adapter.merge(network)
    assert {p.dtype for p in merged.parameters()} == {torch.bfloat16}
    assert (logits(merged) - trained).abs().max() < 0.1 * (trained - untouched).abs().max()


@pytest.mark.parametrize(
    ("name", "reentrant", "before"),
    [(n, False, True) for n in ("lora", "dora", "vera", "adalora")]
    + [("lora", False, False), ("lora", True, True), ("lora", True, False)],
)
def test_gradient_checkpointing_gives_the_same_gradients(
    name: str, reentrant: bool, before: bool, make: Callable[[], Adapter], open_base: Callable, batch: Batch
) -> None:
    gradients = []
    for checkpointed in (False, True):
        adapter, model = make(), open_base()
        torch.manual_seed(0)
        network = None if before else adapter.wrap(model)
        if checkpointed:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
            if reentrant and not before:
                model.enable_input_require_grads()
        network = network or adapter.wrap(model)
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.requires_grad and not bool(parameter.any()):
                    parameter.fill_(0.01)
        network.train()
        torch.manual_seed(0)
        network(input_ids=batch.input_ids, labels=batch.labels).loss.backward()
        gradients.append({k: p.grad for k, p in network.named_parameters() if p.requires_grad})
    assert all(g is not None and bool(g.any()) for g in gradients[1].values())
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["lora", "dora", "vera", "adalora"])
def test_the_effective_weight_passes_gradients_to_the_adapter(
    name: str, make: Callable[[], Adapter], prepared: Callable
) -> None:
    adapter = make()
    layer = next(layer for _, layer in tuner_layers(prepared(adapter)))
    adapter.effective_weight(layer).square().sum().backward()
    assert any(p.grad is not None for p in layer.parameters())
    assert layer.get_base_layer().weight.grad is None


@pytest.mark.parametrize(
    "target", ["q_prj", "self_atn.q_proj", "layers.7.self_attn.q_proj", "model", "input_layernorm"]
)
def test_a_target_that_is_no_linear_layer_names_the_nearest(target: str, open_base: Callable) -> None:
    with pytest.raises(ConfigError, match=rf"adapter\.target_modules: '{target}' .*nearest: '\w+_proj'"):
        LoRA(target_modules=["v_proj", target]).wrap(open_base())


@pytest.mark.parametrize("adapter", [LoRA, DoRA, VeRA, AdaLoRA])
def test_all_linear_means_the_seven_of_each_layer_and_not_the_head(
    adapter: Callable[..., Adapter], open_base: Callable
) -> None:
    for base in ("qwen3", "untied"):
        network = adapter(target_modules="all-linear").wrap(open_base(base))
        names = {name.rpartition(".")[2] for name, _ in tuner_layers(network)}
        assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
        assert len(list(tuner_layers(network))) == 14


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"modules_to_save": ["embed_tokens"]},
        {"modules_to_save": ["model.embed_tokens"]},
    ],
)
@pytest.mark.parametrize("adapter", [LoRA, VeRA, AdaLoRA])
def test_tied_embeddings_are_not_untied(settings: dict, adapter: Callable[..., Adapter], open_base: Callable) -> None:
    with pytest.raises(ConfigError, match="shares its weight"):
        adapter(**settings).wrap(open_base("qwen3"))
    adapter(**settings).wrap(open_base("untied"))


def test_a_setting_that_would_do_nothing_is_refused(open_base: Callable) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.bias: 'all'.*no bias terms"):
        LoRA(bias="all").wrap(open_base("qwen3"))
    with pytest.raises(ConfigError, match=r"adapter\.modules_to_save: 'lm_haed' .*nearest: 'lm_head'"):
        LoRA(modules_to_save=["lm_haed"]).wrap(open_base("untied"))
    with pytest.raises(ConfigError, match="list is empty"):
        LoRA(target_modules=[]).wrap(open_base("qwen3"))


def test_the_table_counts_what_learns(open_base: Callable) -> None:
    network = LoRA(r=4, target_modules=["q_proj", "down_proj"], rank_pattern={"layers.1.self_attn.q_proj": 2}).wrap(
        open_base()
    )
    rows = {(row.pattern, row.shape): (row.tensors, row.parameters) for row in trainable_table(network)}
    assert rows == {
        ("model.layers.*.self_attn.q_proj.lora_A.weight", (4, 128)): (1, 512),
        ("model.layers.*.self_attn.q_proj.lora_B.weight", (128, 4)): (1, 512),
        ("model.layers.*.self_attn.q_proj.lora_A.weight", (2, 128)): (1, 256),
        ("model.layers.*.self_attn.q_proj.lora_B.weight", (128, 2)): (1, 256),
        ("model.layers.*.mlp.down_proj.lora_A.weight", (4, 256)): (2, 2048),
        ("model.layers.*.mlp.down_proj.lora_B.weight", (128, 4)): (2, 1024),
    }
    trainable, total = parameter_totals(network)
    assert trainable == sum(parameters for _, parameters in rows.values()) == 4608
    assert total == trainable + sum(p.numel() for p in open_base().parameters())


@pytest.mark.parametrize(
    ("saved", "asked", "message"),
    [
        (LoRA(r=4), VeRA(), "class_path"),
        (LoRA(r=4, alpha=16), LoRA(r=8), r"\(4, \d+\), the configuration gives \(8, \d+\)"),
        (LoRA(r=4), DoRA(r=4), "lacks .*magnitude"),
        (LoRA(r=4), LoRA(r=4, target_modules=["q_proj"]), "unexpected .*down_proj"),
        (LoRA(r=4), LoRA(r=4, init="pissa"), "adapter.init: 'pissa'"),
        (LoRA(r=4, init="pissa"), LoRA(r=4), r"\(8, \d+\)"),
        (LoRA(r=4, alpha=8), LoRA(r=4), r"scale"),
        (LoRA(r=4, rslora=True), LoRA(r=4), r"scale"),
        (AdaLoRA(alpha=8), AdaLoRA(), r"scale"),
    ],
    ids=["kind", "rank", "dora", "targets", "init", "init-back", "alpha", "rslora", "adalora"],
)
def test_a_folder_of_another_configuration_is_refused(
    saved: Adapter, asked: Adapter, message: str, open_base: Callable, tmp_path: Path
) -> None:
    saved.save(saved.wrap(open_base()), tmp_path)
    with pytest.raises(ConfigError, match=message):
        asked.load(asked.wrap(open_base()), tmp_path)


def test_an_unfinished_folder_is_refused(open_base: Callable, tmp_path: Path) -> None:
    for adapter in (LoRA(), Full()):
        with pytest.raises(ConfigError, match="is the run finished"):
            adapter.load(adapter.wrap(open_base()), tmp_path)


def test_a_quantized_backbone_cannot_be_merged_into(open_base: Callable) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")

    def quantized():
        model = open_base()
        for layer in model.model.layers:
            layer.mlp.down_proj = bitsandbytes.nn.Linear4bit(256, 128, bias=False, quant_type="nf4").to("cpu")
        return model

    adapter = LoRA(target_modules=["down_proj"])
    network = adapter.wrap(quantized())
    assert adapter.effective_weight(next(tuner_layers(network))[1]).shape == (128, 256)
    with pytest.raises(ConfigError, match="cannot merge into the Linear4bit"):
        adapter.merge(network)
    for other in (LoRA(target_modules=["down_proj"], init="pissa"), Full()):
        with pytest.raises(ConfigError, match="is quantized"):
            other.wrap(quantized())


def test_a_diverged_run_is_not_merged(prepared: Callable) -> None:
    adapter = LoRA(r=4)
    network = prepared(adapter)
    next(tuner_layers(network))[1].lora_B["default"].weight.data[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        adapter.merge(network)


CODE = """
import sys
from jsonargparse import ArgumentParser
from lit_llm.adapters import Adapter
parser = ArgumentParser()
parser.add_subclass_arguments(Adapter, "adapter")
for name in ("LoRA", "DoRA", "VeRA", "AdaLoRA", "Full"):
    config = parser.parse_object({"adapter": {"class_path": "lit_llm.adapters." + name, "init_args": {}}})
    assert type(parser.instantiate_classes(config).adapter).__name__ == name
print(sorted({"peft", "bitsandbytes", "torchao", "transformers"} & set(sys.modules)))
"""


def test_reading_any_adapter_from_yaml_imports_no_heavy_library() -> None:
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
