"""Weights on llama.cpp's own blocks: rounded as it rounds, trained so, and written to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from torch import Tensor

from lit_llm.__main__ import main
from lit_llm.errors import ConfigError
from lit_llm.quantization import QAT, BlockFormat
from lit_llm.report import open_run
from tests import short_runs

TYPES = {8: gguf.GGMLQuantizationType.Q8_0, 4: gguf.GGMLQuantizationType.Q4_0}


def awkward() -> Tensor:
    """Weights of all sizes, with ties of both signs, halves of a step, zeros, and scales that 16 bits round to 0."""
    parts = [torch.randn(64, 96) * size for size in (1.0, 1e-4, 1e-9, 300.0)]
    parts += [torch.randn(32, 96).sign(), torch.zeros(2, 96), torch.randint(-8, 9, (64, 96)).float()]
    return torch.cat([*parts, torch.randint(-127, 128, (64, 96)).float() / 2])


@pytest.mark.parametrize("bits", TYPES)
def test_blocks_are_those_of_the_format(bits: int) -> None:
    weight, form, kind = awkward(), BlockFormat(bits), TYPES[bits]
    wanted = torch.from_numpy(gguf.dequantize(gguf.quantize(weight.numpy(), kind), kind))
    rounded = form.rounded(weight, bits)
    assert rounded.equal(wanted)
    assert form.integers(weight, bits).weight().equal(wanted)
    # What lies on blocks stays there.
    assert form.rounded(rounded, bits).equal(rounded)


@pytest.mark.parametrize("bits", TYPES)
def test_gradients_pass_but_for_what_is_cut(bits: int) -> None:
    weight = torch.linspace(-1.0, 0.9, 32).repeat(2, 1)
    weight[1, -1] = 1.0
    weight.requires_grad_()
    slopes = torch.randn(2, 32)
    (BlockFormat(bits).rounded(weight, bits) * slopes).sum().backward()
    assert weight.grad is not None
    wanted = slopes.clone()
    if bits == 4:
        # Steps of an eighth go from -8 to 7: what is above 7.5 of them is cut.
        wanted[weight.detach() >= 0.9375] = 0.0
        assert (wanted == 0).sum() == 1
    assert weight.grad.equal(wanted)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"grid": "q4_0", "bits": 8}, "bits: 8 are not those of grid: q4_0"),
        ({"grid": "q4_1"}, "grid: 'q4_1' is not possible"),
        ({"grid": "q8_0", "group_size": 64}, "group_size: 64 is not possible"),
        ({"grid": "q8_0", "activations": "int8"}, "activations: llama.cpp rounds inputs in its own way"),
        ({"grid": "q4_0", "learn_ranges": True}, "learn_ranges: the scales of q4_0"),
        ({"grid": "q4_0", "freeze": 0.5}, "learn_ranges: the scales of q4_0"),
        ({"grid": "q4_0", "layers": {"*.up_proj": 3}}, "3 bits have no block"),
        ({"grid": "q8_0", "bits": 8, "gradual": {0: 8}}, "above the final 8"),
    ],
)
def test_settings_without_blocks_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        QAT(**settings)
    assert said in str(caught.value)
    assert str(caught.value).startswith("model.init_args.qat.init_args.")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """A run of two steps on Q4_0, with one kind of layers on Q8_0 and one layer as it is."""
    folder = tmp_path_factory.mktemp("blocks")
    rows = [f'{{"text": "quiero {k} panes", "json": {{"n": {k}}}}}\n' for k in range(8)]
    (folder / "rows.jsonl").write_text("".join(rows))
    layers = {"*.down_proj": 8, "model.layers.0.self_attn.q_proj": None}
    return short_runs.fit(
        folder / "run",
        {"train": str(folder / "rows.jsonl"), "batch_size": 4},
        backbone=str(root / "checkpoints/qwen3-tiny"),
        qat={"class_path": "lit_llm.quantization.QAT", "init_args": {"grid": "q4_0", "layers": layers}},
        generator={"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 12}},
    )


def test_the_file_is_the_trained_model_to_the_bit(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = open_run(run).model
    trained: dict[str, Tensor] = {}
    for name, layer in model.language_model.named_modules():
        if (rounded := vars(layer).get("forward")) is not None:
            with torch.no_grad():
                trained[name.replace(".base_layer", "")] = rounded._weight(rounded.bits, torch.float32)
    assert len(trained) == 4 * 7 - 1
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, 4)
    for option in ([], ["--type", "F32"]):
        file = tmp_path / f"{len(option)}.gguf"
        assert main(["export", "--run", str(run), "--gguf", str(file), *option]) == 0
        tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
        for name, weight in trained.items():
            stored = tensors[f"{names.get_name(name)}.weight"]
            own = "F32" if option else "Q8_0" if name.endswith("down_proj") else "Q4_0"
            assert stored.tensor_type.name == own
            assert np.array_equal(gguf.dequantize(stored.data, stored.tensor_type), weight.numpy()), name
        assert tensors["token_embd.weight"].tensor_type.name == "F32"
        assert tensors["blk.0.attn_q.weight"].tensor_type.name == "F32"
        assert "not rounded" not in file.with_name(f"{file.name}.md").read_text()
    out = capsys.readouterr().out
    assert "those that were trained, to the bit: 27 matrices on their blocks, 2 as they are, in plain floats" in out


def test_a_file_of_other_blocks_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--run", str(run), "--gguf", str(tmp_path / "x.gguf"), "--type", "Q8_0"]) == 1
    assert "--type: the run has learned with weights of Q4_0" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_transformers_can_have_them_too(run: Path, tmp_path: Path) -> None:
    assert main(["quantize", "--run", str(run), "--output", str(tmp_path / "out")]) == 0
