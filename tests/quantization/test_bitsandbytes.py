"""Bases in 4 and 8 bits under adapters: stored small, learned on, the same before and after a validation, merged."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from lightning.pytorch import Callback, Trainer

from lit_llm.__main__ import main
from lit_llm.adapters import AdaLoRA, Adapter, DoRA, Full, LoRA, VeRA
from lit_llm.data import ExtractionData
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM, Loading
from lit_llm.quantization import NF4, Int8, Quantizer
from lit_llm.quantization.memory import loaded_bytes
from lit_llm.quantization.support import REFUSED
from lit_llm.report import open_run

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])


def model(root: Path, **settings: object) -> CausalLM:
    built = CausalLM(backbone=str(root / "checkpoints/qwen3-tiny"), **settings)  # type: ignore[arg-type]
    built.configure_model()
    return built


def loss(built: CausalLM) -> torch.Tensor:
    # Of the model inside: AdaLoRA's wrapper adds its penalty.
    found: torch.Tensor = built.language_model(input_ids=IDS, labels=IDS).loss
    return found


def train(built: CausalLM, steps: int) -> list[float]:
    """Learn one row by heart; return the losses."""
    optimizer = torch.optim.AdamW([weight for weight in built.parameters() if weight.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        current = loss(built)
        current.backward()
        optimizer.step()
        losses.append(float(current))
    return losses


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
    losses = train(built, 10)
    assert losses[-1] < losses[0] - 0.5


def test_random_weights_can_be_quantized_too(root: Path) -> None:
    loading = Loading(random_init=True, config_overrides={"num_hidden_layers": 1})
    built = model(root, quantizer=NF4(), loading=loading)
    assert sum(isinstance(m, bitsandbytes.nn.Linear4bit) for m in built.modules()) == 7


@pytest.mark.parametrize("kind", [LoRA, DoRA])
def test_a_merge_into_the_numbers_that_were_trained_on_moves_nothing(root: Path, kind: type[LoRA]) -> None:
    built = model(root, quantizer=NF4(), adapter=kind(r=4))
    train(built, 5)
    trained = loss(built.eval()).item()
    built.merge_adapter()
    assert not any(isinstance(m, bitsandbytes.nn.Linear4bit) for m in built.modules())
    assert loss(built).item() == pytest.approx(trained, abs=1e-4)


ADAPTERS: dict[str, Callable[[], Adapter]] = {
    "lora": lambda: LoRA(r=4),
    "rslora": lambda: LoRA(r=4, rslora=True),
    "pissa": lambda: LoRA(r=4, init="pissa"),
    "olora": lambda: LoRA(r=4, init="olora"),
    "eva": lambda: LoRA(r=4, init="eva", eva_batches=2),
    "dora": lambda: DoRA(r=4),
    "dora pissa": lambda: DoRA(r=4, init="pissa"),
    "dora olora": lambda: DoRA(r=4, init="olora"),
    "dora eva": lambda: DoRA(r=4, init="eva", eva_batches=2),
    "vera": lambda: VeRA(r=8),
    "adalora": lambda: AdaLoRA(r=2, initial_r=4),
    "full": Full,
}
BASES: dict[str, tuple[Quantizer | None, str]] = {
    "fp32": (None, "32-true"),
    "bf16": (None, "bf16-mixed"),
    "nf4": (NF4(), "bf16-mixed"),
    "int8": (Int8(), "bf16-mixed"),
}


def quick(adapter: str, base: str) -> bool:
    """Say whether the fast tier tries it: LoRA on every base, and all but DoRA's other starts on NF4."""
    return adapter == "lora" or (base == "nf4" and not adapter.startswith("dora "))


PAIRS = [
    pytest.param(*pair, marks=[] if quick(*pair) else pytest.mark.slow)
    for pair in itertools.product(ADAPTERS, BASES)
    # DoRA's other starts differ where the base is rounded, and the round trips of adapters try them on one that is not.
    if not pair[0].startswith("dora ") or pair[1] == "nf4"
]


@pytest.mark.parametrize(("adapter", "base"), PAIRS)
def test_every_adapter_on_every_base_trains_and_merges_or_is_refused_with_a_reason(
    adapter: str, base: str, root: Path, tmp_path: Path
) -> None:
    made, (quantizer, precision) = ADAPTERS[adapter](), BASES[base]
    refused = REFUSED.get((made.kind, type(quantizer).__name__))
    if refused:
        with pytest.raises(ConfigError, match=re.escape(f"{refused.reason}; use {refused.instead}")):
            CausalLM(adapter=made, quantizer=quantizer)
        return
    # VeRA and AdaLoRA start slowly: what learns there are vectors, or a factor that begins at zero.
    rate = {"vera": 3e-2, "adalora": 1e-2}.get(adapter, 1e-3)
    optimizer = partial(torch.optim.AdamW, lr=rate)
    built = CausalLM(
        backbone=str(root / "checkpoints/qwen3-tiny"), adapter=made, quantizer=quantizer, optimizer=optimizer
    )
    rows = [{"text": f"quiero {k} panes", "json": {"n": k}} for k in range(8)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ExtractionData(train=str(tmp_path / "rows.jsonl"), batch_size=8)
    trainer = Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        precision=precision,
        max_steps=6,
        log_every_n_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    seen = Losses()
    trainer.callbacks.append(seen)
    trainer.fit(built, data)
    assert len(seen.losses) == 6
    assert seen.losses[-1] < seen.losses[0]
    built.eval()
    # A loss computed in bf16 has steps of 0.4 % of its own; stored weights compute in it whatever surrounds them.
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=quantizer is not None):
        trained = loss(built).item()
        merged = built.merge_adapter()
        assert loss(built).item() == pytest.approx(trained, abs=0.05)
    assert all(type(module) is torch.nn.Linear for module in merged.modules() if hasattr(module, "in_features"))
    assert not hasattr(merged.config, "quantization_config")


def test_the_table_names_what_exists() -> None:
    assert {kind for kind, _ in REFUSED} <= {made().kind for made in ADAPTERS.values()}
    assert {base for _, base in REFUSED} == {"NF4", "Int8"}


class Losses(Callback):
    """Notes the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(float(trainer.callback_metrics["train/loss"]))


def test_int8_is_stored_in_a_byte_per_weight(root: Path) -> None:
    built = model(root, quantizer=Int8())
    layers = [m for m in built.modules() if isinstance(m, bitsandbytes.nn.Linear8bitLt)]
    assert len(layers) == 7 * 4
    assert layers[0].weight.dtype == torch.int8
    assert loss(built).item() == pytest.approx(loss(model(root)).item(), rel=0.02)


@pytest.mark.parametrize(("quantizer", "most"), [(NF4(), 0.30), (Int8(), 0.53)], ids=["nf4", "int8"])
def test_layers_of_qwen3_take_a_share_of_the_bytes(quantizer: Quantizer, most: float, root: Path) -> None:
    # Of Qwen3-0.6B.
    shape = {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8}
    changes = {**shape, "head_dim": 128, "num_hidden_layers": 1, "vocab_size": 1024}
    loading = Loading(random_init=True, config_overrides=changes, dtype="bfloat16")
    taken = []
    for used in (None, quantizer):
        built = model(root, loading=loading, quantizer=used, adapter=LoRA(r=4, target_modules=["q_proj"]))
        layers = built.language_model.get_submodule("model.layers.0.mlp")
        taken.append(loaded_bytes(layers))
        layers(torch.ones(1, 1, 1024, dtype=torch.bfloat16))
        assert loaded_bytes(layers) == taken[-1]
    assert taken[0] == 3 * 1024 * 3072 * 2
    assert 0.25 < taken[1] / taken[0] <= most


@pytest.mark.parametrize("kind", [NF4, Int8])
def test_layers_that_are_left_out_leave_the_head_out_too(kind: Callable[..., Quantizer], root: Path) -> None:
    network: Any = model(root, quantizer=kind(skip=["down_proj"]), adapter=LoRA(r=4, target_modules=["q_proj"]))
    plain = {name.split(".")[-1] for name, m in network.language_model.named_modules() if type(m) is torch.nn.Linear}
    assert {"down_proj", "lm_head"} <= plain
    assert not {"up_proj", "k_proj"} & plain


def fit(root: Path, folder: Path, **changes: Any) -> None:
    (folder / "rows.jsonl").write_text('{"text": "dos panes", "json": {"n": 2}}\n' * 4)
    settings = {
        "model": "lit_llm.models.CausalLM",
        "model.backbone": root / "checkpoints/qwen3-tiny",
        "model.quantizer": "lit_llm.quantization.NF4",
        "data": "lit_llm.data.ExtractionData",
        "data.train": folder / "rows.jsonl",
        "trainer.default_root_dir": folder / "run",
        "trainer.max_steps": 2,
        "trainer.accelerator": "cpu",
        "trainer.logger": "false",
        "trainer.callbacks": "lit_llm.callbacks.RunCheckpoint",
    } | changes
    assert main(["fit", *(f"--{key}={value}" for key, value in settings.items())]) == 0


@pytest.mark.parametrize("name", ["AdamW8bit", "PagedAdamW8bit", "AdamW"])
def test_optimizers_of_bitsandbytes_can_be_named(name: str, root: Path, tmp_path: Path) -> None:
    fit(root, tmp_path, **{"model.optimizer": f"bitsandbytes.optim.{name}"})


@pytest.mark.parametrize("quantizer", ["NF4", "Int8"])
def test_a_run_is_exported_as_a_plain_model_of_what_it_computes(quantizer: str, root: Path, tmp_path: Path) -> None:
    fit(root, tmp_path, **{"model.quantizer": f"lit_llm.quantization.{quantizer}"})
    assert main(["export", "--run", str(tmp_path / "run"), "--merged", str(tmp_path / "merged")]) == 0
    config = json.loads((tmp_path / "merged" / "config.json").read_text())
    assert "quantization_config" not in config
    plain = CausalLM(backbone=str(tmp_path / "merged"))
    plain.configure_model()
    run = open_run(tmp_path / "run").model
    assert loss(plain.eval()).item() == pytest.approx(loss(run).item(), abs=0.05)  # type: ignore[arg-type]
