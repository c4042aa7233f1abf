"""``export --gguf``: a file whose numbers, read by the format's own library and by transformers, are the model's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.commands import export
from lit_llm.llama_cpp import GGUF_TYPES
from lit_llm.report import open_run

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])


@pytest.fixture
def run(short_runs: Path) -> Path:
    return short_runs / "plain"


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(input_ids=IDS).logits
    return found


MOVED = {"F32": 0.0, "F16": 1e-3, "BF16": 1e-2, "Q8_0": 5e-2, "Q4_0": 0.5}
"""Most that each type may move logits, relative to their largest."""


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] if kind in ("F16", "BF16") else []) for kind in GGUF_TYPES]
)
def test_the_file_holds_the_model(kind: str, run: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    assert main(["export", "--run", str(run), "--gguf", str(path), "--type", kind]) == 0
    merged: Any = open_run(run).model.merge_adapter().eval()
    found = logits(AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32).eval())
    wanted = logits(merged)
    assert (found - wanted).abs().max() / wanted.abs().max() <= MOVED[kind]
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert len(tensors) == len(list(merged.parameters()))
    stored = tensors["blk.1.ffn_up.weight"]
    assert stored.tensor_type.name == kind
    assert tensors["blk.1.attn_norm.weight"].tensor_type.name == "F32"
    values = gguf.dequantize(stored.data, stored.tensor_type)
    # A block of 32 weights is rounded to steps of its largest over 127, or over 8.
    weight = merged.model.layers[1].mlp.up_proj.weight.detach().numpy()
    step = {"Q8_0": 1 / 127, "Q4_0": 1 / 8}.get(kind, 0.0) * np.abs(weight).max()
    assert np.abs(values - weight).max() <= step + 1e-2 * np.abs(weight).max()


def test_its_tokenizer_reads_texts_alike(run: Path, tmp_path: Path, root: Path) -> None:
    assert main(["export", "--run", str(run), "--gguf", str(tmp_path / "model.gguf")]) == 0
    own = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    other = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    text = "¿Cuántas tortas de jamón a 25.50? — 😀\n<|im_end|> ok"
    assert other(text)["input_ids"] == own(text)["input_ids"]
    assert other.chat_template == own.chat_template
    assert other.eos_token_id == own.eos_token_id


@pytest.mark.parametrize("option", ["--gguf", "--merged"])
def test_nothing_is_left_of_what_answers_otherwise(
    option: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    assert main(["export", "--run", str(run), option, str(tmp_path / "out")]) == 1
    assert "was not written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_type_is_one_of_gguf(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--run", str(run), "--merged", str(tmp_path / "out"), "--type", "Q8_0"]) == 1
    assert "--type: Q8_0 is a way to store weights in GGUF" in capsys.readouterr().err


def test_a_file_is_not_written_twice(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.gguf").touch()
    assert main(["export", "--run", str(run), "--gguf", str(tmp_path / "out.gguf")]) == 1
    assert "exists already" in capsys.readouterr().err
