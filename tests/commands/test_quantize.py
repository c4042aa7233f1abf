"""``python -m lit_llm quantize``: what a run computes with its weights rounded is what the written folder computes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_llm.__main__ import main
from lit_llm.commands import quantize
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM
from lit_llm.quantization import IntFormat
from lit_llm.report import open_run

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
"""A row that the command itself does not compare."""


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(input_ids=IDS).logits
    return found


def opened(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


FORMATS = {
    "rtn": (["--method", "rtn"], IntFormat(4, 32)),
    "three": (["--method", "rtn", "--bits", "3", "--group_size", "64"], IntFormat(3, 64)),
    "rows": (["--bits", "8", "--group_size", "0"], IntFormat(8, None)),
    "mixed": (["--layers", '{"*.down_proj": 8, "*.layers.0.*": null}'], None),
    "hqq": (["--method", "hqq", "--bits", "2"], None),
}


@pytest.mark.parametrize("case", FORMATS)
def test_integers_are_read_back_as_they_were_computed(case: str, short_runs: Path, tmp_path: Path) -> None:
    options, form = FORMATS[case]
    assert main(["quantize", "--run", str(short_runs / "plain"), "--output", str(tmp_path / "out"), *options]) == 0
    merged: Any = open_run(short_runs / "plain").model.merge_adapter().eval()
    before = logits(merged)
    found = logits(opened(tmp_path / "out"))
    assert 1e-4 < (found - before).abs().max() / before.abs().max() < 0.8
    if form:
        for name, bits in form.plan(merged).items():
            layer = merged.get_submodule(name)
            layer.weight.data = form.rounded(layer.weight, bits)
        assert torch.equal(found, logits(merged))


FOLDERS = {
    "rtn": FORMATS["rtn"][0],
    "mixed": FORMATS["mixed"][0],
    "hqq": FORMATS["hqq"][0],
    "nf4": ["--method", "nf4"],
    "int8": ["--method", "int8"],
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_stored_folder_is_a_backbone_that_learns_and_merges(case: str, short_runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert main(["quantize", "--run", str(short_runs / "plain"), "--output", str(folder), *FOLDERS[case]]) == 0
    built = CausalLM(backbone=str(folder), merge=True)
    built.configure_model()
    stored = logits(opened(folder))
    # int8 rounds inputs as well, where it is not opened as plain weights; NF4 computes in another order.
    tolerance = {"int8": 0.05, "nf4": 0.02}.get(case, 0.0)
    assert (logits(built.eval().language_model) - stored).abs().max() <= tolerance * stored.abs().max()
    names = {name for name, _ in built.language_model.named_parameters()}
    assert not any("scale" in name or "packed" in name for name in names)
    built.train().language_model(input_ids=IDS, labels=IDS).loss.backward()
    assert any(weight.grad is not None for weight in built.parameters())
    learned = logits(built.eval().language_model)
    built.merge_if_asked()
    assert (logits(built.language_model) - learned).abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["plain", "aware"])
def test_a_run_in_sixteen_bits_is_rounded_from_float32(kind: str, short_runs: Path, tmp_path: Path) -> None:
    config = json.loads((short_runs / f"{kind}.yaml").read_text())
    config["model"]["init_args"]["loading"] = {"dtype": "bfloat16"}
    config["trainer"] |= {"precision": "bf16-mixed", "default_root_dir": str(tmp_path / "run")}
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    assert main(["fit", "--config", str(tmp_path / "run.yaml")]) == 0
    assert main(["quantize", "--run", str(tmp_path / "run"), "--output", str(tmp_path / "out")]) == 0
    assert main(["export", "--run", str(tmp_path / "run"), "--gguf", str(tmp_path / "new/out.gguf")]) == 0


def test_a_folder_that_rounds_inputs_is_no_backbone(short_runs: Path, tmp_path: Path) -> None:
    assert main(["quantize", "--run", str(short_runs / "plain"), "--output", str(tmp_path / "out")]) == 0
    path = tmp_path / "out/config.json"
    config = json.loads(path.read_text())
    inputs = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    config["quantization_config"]["config_groups"]["group_0"]["input_activations"] = inputs
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="rounds inputs or its cache too"):
        CausalLM(backbone=str(tmp_path / "out")).configure_model()


@pytest.mark.parametrize(("method", "most"), [("nf4", 0.3), ("int8", 0.05)])
def test_bitsandbytes_folders_open_too(method: str, most: float, short_runs: Path, tmp_path: Path) -> None:
    command = ["quantize", "--run", str(short_runs / "plain"), "--output", str(tmp_path / "out"), "--method", method]
    assert main(command) == 0
    before = logits(open_run(short_runs / "plain").model.merge_adapter().eval())
    moved = (logits(opened(tmp_path / "out")) - before).abs().max() / before.abs().max()
    assert 1e-4 < moved < most


@pytest.mark.parametrize("method", ["nf4", "int8"])
def test_layers_can_be_left_out_of_bitsandbytes(method: str, short_runs: Path, tmp_path: Path) -> None:
    command = ["quantize", "--run", str(short_runs / "plain"), "--output", str(tmp_path / "out"), "--method", method]
    assert main([*command, "--layers", '{"*.layers.1.mlp.*": null}']) == 0
    model = opened(tmp_path / "out")
    plain = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    assert plain == {"lm_head", *(f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down"))}


def test_a_run_that_was_trained_for_it_is_written_as_it_was_trained(
    short_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", "--run", str(short_runs / "aware"), "--output", str(tmp_path / "out")]) == 0
    assert "(qat)" in capsys.readouterr().out
    trained = logits(open_run(short_runs / "aware").model.language_model)
    assert torch.equal(logits(opened(tmp_path / "out")), trained)
    assert not torch.equal(trained, logits(open_run(short_runs / "aware").model.merge_adapter().eval()))


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_searched_scales_bring_weights_closer(bits: int) -> None:
    weight = torch.randn(64, 128) * torch.rand(64, 1).exp()
    form = IntFormat(bits, 32)
    errors = {how: (form.integers(weight, bits, how).weight() - weight).abs().mean() for how in ("rtn", "hqq")}
    assert errors["hqq"] < errors["rtn"]


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("plain", ["--method", "qat"], "--method: qat needs a run with model.qat; use rtn"),
        ("aware", ["--method", "rtn"], "--method: rtn is not what the run was trained for; leave the option out"),
        ("aware", ["--bits", "2"], "--bits: qat has no such setting"),
        ("plain", ["--method", "nf4", "--group_size", "8"], "--group_size: nf4 has no such setting"),
        ("plain", ["--method", "nf4", "--layers", '{"*.q_proj": 8}'], "--layers: nf4 has one width; null leaves"),
        ("plain", ["--bits", "7"], "bits: 7 is not possible"),
        ("plain", ["--layers", "{"], "--layers: '{' is no JSON"),
        ("plain", ["--layers", "[1]"], "--layers: [1] is no JSON object of patterns and bits"),
        ("plain", ["--layers", '{"*.down_proj": 8.0}'], "layers['*.down_proj']: 8.0 is not possible"),
        ("plain", ["--layers", '{"*.kv": 8}'], "layers: '*.kv' fits no linear layer"),
        ("plain", ["--group_size", "100"], "group_size: 100 does not divide the 256 inputs"),
        ("none", [], "--run: there is no "),
    ],
)
def test_what_cannot_be_done_is_said(
    run: str, options: list[str], message: str, short_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", "--run", str(short_runs / run), "--output", str(tmp_path / "out"), *options]) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_written_twice(short_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "--run", str(short_runs / "plain"), "--output", str(tmp_path)]) == 1
    assert re.search(r"--output: .* exists already", capsys.readouterr().err)


def test_a_folder_that_answers_otherwise_is_removed(
    short_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quantize, "TOLERANCE", -1.0)
    assert main(["quantize", "--run", str(short_runs / "plain"), "--output", str(tmp_path / "out")]) == 1
    assert "was not written" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
