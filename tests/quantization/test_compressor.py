"""GPTQ, AWQ and SmoothQuant, where there is the environment of llm-compressor; what is said where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.data import ExtractionData
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM
from lit_llm.quantization.compressor import ENVIRONMENT, compressor_python
from tests import short_runs

EVERY, TIMES = 16, 40.0
"""Which channels are outliers, and how far they stand out."""


@pytest.fixture
def compressor() -> None:
    """Skips a test where there is no environment of llm-compressor."""
    try:
        compressor_python()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three steps on the tiny base with planted outliers, which change nothing it computes."""
    folder = tmp_path_factory.mktemp("outliers")
    tiny = root / "checkpoints/qwen3-tiny"
    model: Any = AutoModelForCausalLM.from_pretrained(tiny)
    with torch.no_grad():
        before = model(input_ids=torch.arange(5, 40)[None]).logits
        for layer in model.model.layers:
            attention, feed = layer.self_attn, layer.mlp
            for norm, readers in (
                (layer.input_layernorm, [attention.q_proj, attention.k_proj, attention.v_proj]),
                (layer.post_attention_layernorm, [feed.gate_proj, feed.up_proj]),
            ):
                norm.weight[::EVERY] *= TIMES
                for reader in readers:
                    reader.weight[:, ::EVERY] /= TIMES
        assert (model(input_ids=torch.arange(5, 40)[None]).logits - before).abs().max() < 1e-3
    model.save_pretrained(folder / "base")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder / "base")
    orders = root / "configs/data/orders"
    data = {
        "train": str(orders / "train.jsonl"),
        "test": {"known": str(orders / "test_known.jsonl")},
        "batch_size": 8,
    }
    return short_runs.fit(folder / "run", data, steps=3, backbone=str(folder / "base"))


def answers(folder: Path, root: Path) -> torch.Tensor:
    """Log-probabilities ``[N, V]`` of the next token at the answers to 64 orders."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    data = ExtractionData(train=str(root / "configs/data/orders/valid.jsonl"))
    data.tokenizer = AutoTokenizer.from_pretrained(folder)
    data.setup("fit")
    found = []
    for row in data.splits["train"].rows[:64]:
        learned = torch.tensor(row.encoded.labels) != -100
        with torch.no_grad():
            found.append(model(input_ids=torch.tensor([row.encoded.input_ids])).logits[0, learned])
    return torch.cat(found).log_softmax(-1)


@pytest.mark.slow
@pytest.mark.usefixtures("compressor")
def test_what_looks_at_inputs_withstands_outliers(run: Path, tmp_path: Path, root: Path) -> None:
    assert main(["export", "--run", str(run), "--merged", str(tmp_path / "plain")]) == 0
    plain = answers(tmp_path / "plain", root)
    moved: dict[str, float] = {}
    for method in ("rtn", "gptq", "awq", "autoround", "w8a8", "smoothquant"):
        assert main(["quantize", "--run", str(run), "--output", str(tmp_path / method), "--method", method]) == 0
        moved[method] = float((plain.exp() * (plain - answers(tmp_path / method, root))).sum(-1).mean())
    print("divergence from the unquantized model:", moved)
    assert moved["gptq"] < moved["rtn"]
    assert moved["awq"] < moved["rtn"]
    assert moved["autoround"] < moved["rtn"]
    assert moved["smoothquant"] < moved["w8a8"]
    built = CausalLM(backbone=str(tmp_path / "smoothquant"))
    built.configure_model()
    theirs: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "smoothquant").eval()
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        assert torch.equal(built.eval().language_model(input_ids=ids).logits, theirs(input_ids=ids).logits)


@pytest.mark.slow
@pytest.mark.usefixtures("compressor")
@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_one_table_gives_each_layer_its_bits(method: str, run: Path, tmp_path: Path) -> None:
    layers = ["--layers", '{"*.layers.0.*": null, "*.down_proj": 8}', "--bits", "3"]
    assert main(["quantize", "--run", str(run), "--output", str(tmp_path / "out"), "--method", method, *layers]) == 0
    description = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]
    assert {group["weights"]["num_bits"] for group in description["config_groups"].values()} == {3, 8}
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    # Stored weights are unpacked when they are first used.
    model(input_ids=torch.arange(5, 9)[None])

    def levels(name: str) -> int:
        """Most values that a group of 32 weights has."""
        groups = model.get_submodule(name).weight.detach().unflatten(1, (-1, 32)).flatten(0, 1)
        return max(len(group.unique()) for group in groups)

    assert levels("model.layers.0.self_attn.q_proj") == 32
    assert levels("model.layers.1.self_attn.q_proj") <= 8
    assert 8 < levels("model.layers.1.mlp.down_proj") <= 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "gptq"], "make the environment of llm-compressor with scripts/make_compressor.sh"),
        (["--method", "autoround", "--layers", '{"*": 8}'], "--layers: autoround gives all layers the same bits"),
        (["--method", "awq", "--layers", '{"*.kv": 8}'], "layers: '*.kv' fits no linear layer"),
        (["--method", "smoothquant", "--bits", "4"], "--bits: smoothquant has no such setting"),
    ],
)
def test_what_is_missing_is_said(
    options: list[str],
    message: str,
    short_runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "none"))
    assert main(["quantize", "--run", str(short_runs / "plain"), "--output", str(tmp_path / "out"), *options]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
