"""The table of weights that learn says what the optimizer gets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from lit_llm.adapters import LoRA
from lit_llm.callbacks import TrainableTable
from lit_llm.quantization import NF4
from tests import families


def test_counts_are_those_of_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    shape = {"hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=50, num_hidden_layers=2, head_dim=32, **shape))
    network = LoRA(r=2, target_modules=["q_proj"]).wrap(model)
    trainer: Any = SimpleNamespace(loggers=[], is_global_zero=True)
    module: Any = SimpleNamespace(network=network)
    TrainableTable().on_fit_start(trainer, module)
    shown = capsys.readouterr().err
    trainable = 2 * (64 * 2 + 2 * 64)
    assert f"{trainable:,}" in shown
    assert f"{sum(p.numel() for p in network.parameters()):,}" in shown


def test_ranges_that_learn_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    ranges = nn.ParameterDict({"a": nn.Parameter(torch.ones(7)), "b": nn.Parameter(torch.ones(4))})
    trainer: Any = SimpleNamespace(loggers=[], is_global_zero=True)
    module: Any = SimpleNamespace(network=nn.Linear(3, 2, bias=False), ranges=ranges)
    TrainableTable().on_fit_start(trainer, module)
    shown = capsys.readouterr().err
    assert "ranges of groups" in shown
    assert "11" in shown and "17" in shown


@pytest.mark.parametrize(("dropout", "said"), [(0.0, False), (0.1, True)])
def test_experts_that_do_not_learn_are_said(dropout: float, said: bool, capsys: pytest.CaptureFixture[str]) -> None:
    adapter = LoRA(r=2, dropout=dropout)
    trainer: Any = SimpleNamespace(loggers=[], is_global_zero=True)
    module: Any = SimpleNamespace(network=adapter.wrap(families.build("qwen3_moe")), adapter=adapter, quantizer=NF4())
    TrainableTable().on_fit_start(trainer, module)
    shown = capsys.readouterr().err
    assert ("do not learn: PEFT has no dropout there: set dropout to 0" in shown) == said
    assert "are not quantized: NF4 stores linear layers alone" in shown
    assert "attention" in shown and "100%" in shown and "routers" in shown
