"""``python -m lit_llm quantize``: what a run computes with its weights rounded is what the written folder computes."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.commands import quantize
from lit_llm.data import ExtractionData
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM
from lit_llm.quantization import NF4, Int8, IntFormat
from lit_llm.report import open_run
from lit_llm.report.runs import single_trainer

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
"""A row that the command itself does not compare."""


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = network(input_ids=IDS).logits
    return found


def opened(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def rounded(model: Any, form: IntFormat) -> Any:
    """Round the weights of a model in place, and return it."""
    for name, bits in form.plan(model).items():
        layer = model.get_submodule(name)
        layer.weight.data = form.rounded(layer.weight, bits)
    return model


Stored = Callable[..., Path]


@pytest.fixture(scope="module")
def stored(short_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """The plain run, rounded as the options say and written once; nobody may change the folder."""

    @functools.cache
    def write(*options: str) -> Path:
        folder = tmp_path_factory.mktemp("stored") / "out"
        assert main(["quantize", "--run", str(short_runs / "plain"), "--output", str(folder), *options]) == 0
        return folder

    return write


@pytest.fixture(scope="module")
def plain_logits(short_runs: Path) -> torch.Tensor:
    return logits(merged(short_runs / "plain"))


def merged(run: Path) -> Any:
    return open_run(run).model.merge_adapter().eval()


def seldom(cases: dict[str, Any]) -> list[Any]:
    """Return the names of cases, of which the fast tier tries the first."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (at > 0)) for at, name in enumerate(cases)]


FORMATS = {
    "rtn": (["--method", "rtn"], IntFormat(4, 32)),
    "three": (["--method", "rtn", "--bits", "3", "--group_size", "64"], IntFormat(3, 64)),
    "rows": (["--bits", "8", "--group_size", "0"], IntFormat(8, None)),
    "mixed": (["--layers", '{"*.down_proj": 8, "*.layers.0.*": null}'], None),
    "hqq": (["--method", "hqq", "--bits", "2"], None),
}


@pytest.mark.parametrize("case", seldom(FORMATS))
def test_integers_are_read_back_as_they_were_computed(
    case: str, short_runs: Path, stored: Stored, plain_logits: torch.Tensor
) -> None:
    options, form = FORMATS[case]
    found = logits(opened(stored(*options)))
    assert 1e-4 < (found - plain_logits).abs().max() / plain_logits.abs().max() < 0.8
    if form:
        assert torch.equal(found, logits(rounded(merged(short_runs / "plain"), form)))


FOLDERS = {
    "rtn": FORMATS["rtn"][0],
    "mixed": FORMATS["mixed"][0],
    "hqq": FORMATS["hqq"][0],
    "nf4": ["--method", "nf4"],
    "int8": ["--method", "int8"],
}


@pytest.mark.parametrize("case", seldom(FOLDERS))
def test_a_stored_folder_is_a_backbone_that_learns_and_merges(case: str, stored: Stored) -> None:
    folder = stored(*FOLDERS[case])
    built = CausalLM(backbone=str(folder), merge=True)
    built.configure_model()
    written = logits(opened(folder))
    # int8 rounds inputs as well, where it is not opened as plain weights; NF4 computes in another order.
    tolerance = {"int8": 0.05, "nf4": 0.02}.get(case, 0.0)
    assert (logits(built.eval().language_model) - written).abs().max() <= tolerance * written.abs().max()
    names = {name for name, _ in built.language_model.named_parameters()}
    assert not any("scale" in name or "packed" in name for name in names)
    built.train().language_model(input_ids=IDS, labels=IDS).loss.backward()
    assert any(weight.grad is not None for weight in built.parameters())
    learned = logits(built.eval().language_model)
    built.merge_if_asked()
    assert (logits(built.language_model) - learned).abs().max() < 1e-3


@pytest.mark.parametrize("kind", ["plain", pytest.param("aware", marks=pytest.mark.slow)])
def test_a_run_in_sixteen_bits_is_rounded_from_float32(kind: str, short_runs: Path, tmp_path: Path) -> None:
    config = json.loads((short_runs / f"{kind}.yaml").read_text())
    config["model"]["init_args"]["loading"] = {"dtype": "bfloat16"}
    config["trainer"] |= {"precision": "bf16-mixed", "default_root_dir": str(tmp_path / "run")}
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    assert main(["fit", "--config", str(tmp_path / "run.yaml")]) == 0
    assert main(["quantize", "--run", str(tmp_path / "run"), "--output", str(tmp_path / "out")]) == 0
    assert main(["export", "--run", str(tmp_path / "run"), "--gguf", str(tmp_path / "new/out.gguf")]) == 0


def test_a_run_is_opened_with_the_weights_it_was_trained_on(short_runs: Path, tmp_path: Path, root: Path) -> None:
    run = ["--config", str(short_runs / "aware.yaml"), "--trainer.precision", "bf16-mixed"]
    assert main(["fit", *run, "--trainer.default_root_dir", str(tmp_path / "run")]) == 0
    found, trained = (
        open_run(tmp_path / "run", "best", trainer).model for trainer in (None, single_trainer(tmp_path / "run"))
    )
    name = "model.layers.0.mlp.up_proj.weight"
    weights = [model.language_model.get_parameter(name) for model in (found, trained)]
    file = load_file(root / "checkpoints/qwen3-tiny/model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert [weight.dtype for weight in weights] == [torch.float32, torch.bfloat16]
    assert torch.equal(*(weight.float() for weight in weights))
    assert not torch.equal(weights[0], file)


def rounding_more(stored: Stored, folder: Path, what: str) -> str:
    """A run in four bits, in a folder that says that something of its layers is rounded to eight too."""
    shutil.copytree(stored(*FORMATS["rtn"][0]), folder)
    config = json.loads((folder / "config.json").read_text())
    rounding = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True}
    config["quantization_config"]["config_groups"]["group_0"][what] = rounding
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


def test_a_folder_that_rounds_inputs_answers_and_does_not_learn(
    short_runs: Path,
    stored: Stored,
    plain_logits: torch.Tensor,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = rounding_more(stored, tmp_path / "out", "input_activations")
    built = CausalLM(backbone=folder, merge=True)
    built.configure_model()
    found = logits(built.eval().language_model)
    assert torch.equal(found, logits(opened(tmp_path / "out")))
    built.merge_if_asked()
    assert torch.equal(found, logits(built.language_model))
    inputs: list[torch.Tensor] = []
    layer = built.language_model.get_submodule("model.layers.0.self_attn.o_proj")
    layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    written = []
    layer.register_forward_hook(lambda *given: written.append(given[2]))
    logits(built.language_model)
    # Symmetric, with a scale for each token, written out.
    scales = inputs[0].abs().amax(-1, keepdim=True) / 127.5
    given = (inputs[0] / scales).round().clamp(-128, 127) * scales
    assert (given - inputs[0]).abs().max() > 0
    torch.testing.assert_close(written[0], given @ layer.weight.T, rtol=1e-4, atol=1e-5)
    assert not torch.equal(found, plain_logits)
    run = ["--config", str(short_runs / "plain.yaml"), "--model.init_args.backbone", folder]
    assert main(["fit", *run, "--trainer.default_root_dir", str(tmp_path / "run")]) == 1
    assert "rounds the inputs of its layers" in capsys.readouterr().err
    assert main(["test", *run, "--ckpt_path", "none", "--trainer.default_root_dir", str(tmp_path / "run")]) == 0


def test_a_folder_that_rounds_outputs_is_no_backbone(stored: Stored, tmp_path: Path) -> None:
    folder = rounding_more(stored, tmp_path / "out", "output_activations")
    with pytest.raises(ConfigError, match="rounds outputs or its cache too"):
        CausalLM(backbone=folder).configure_model()


@pytest.mark.parametrize("method", ["nf4", "int8", "rtn"])
def test_what_is_stored_is_not_stored_in_another_way(method: str, stored: Stored) -> None:
    folder = stored("--method", method)
    for name, quantizer in (("nf4", NF4()), ("int8", Int8())):
        built = CausalLM(backbone=str(folder), quantizer=quantizer)
        if name == method:
            built.configure_model()
            assert torch.isfinite(logits(built.eval().language_model)).all()
            continue
        with pytest.raises(ConfigError, match=re.escape("out are stored by ")):
            built.configure_model()


@pytest.mark.parametrize("command", [["quantize", "--output"], ["export", "--merged"], ["export", "--gguf"]])
def test_logits_that_are_no_numbers_are_not_good(
    command: list[str], short_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(short_runs / "plain", run)
    state = torch.load(run / "best.ckpt", weights_only=True)
    for name, weight in state["state_dict"].items():
        if "lora_B" in name:
            weight.fill_(1e38)
    torch.save(state, run / "best.ckpt")
    assert main([command[0], "--run", str(run), command[1], str(tmp_path / "out")]) == 1
    assert "was not written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_sixteen_bits_hold_takes_sixteen_bits(root: Path, short_runs: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "checkpoints/qwen3-tiny", tmp_path / "base")
    opened(tmp_path / "base").bfloat16().save_pretrained(tmp_path / "base")
    run = ["--config", str(short_runs / "plain.yaml"), "--model.init_args.backbone", str(tmp_path / "base")]
    assert main(["fit", *run, "--trainer.default_root_dir", str(tmp_path / "run")]) == 0
    assert main(["quantize", "--run", str(tmp_path / "run"), "--output", str(tmp_path / "out")]) == 0
    file = load_file(tmp_path / "out/model.safetensors")
    kinds = {name.split(".")[-1] if "proj" in name else name.split(".")[-2]: t.dtype for name, t in file.items()}
    assert kinds["embed_tokens"] == kinds["norm"] == torch.bfloat16
    assert kinds["weight_scale"] == torch.float32
    assert torch.equal(logits(opened(tmp_path / "out")), logits(rounded(merged(tmp_path / "run"), IntFormat())))


@pytest.mark.parametrize(("rows", "expected"), [(5, range(5)), (128, range(128)), (200, None), (1000, None)])
def test_rows_to_calibrate_with_are_spread_over_the_file(rows: int, expected: Any, root: Path, tmp_path: Path) -> None:
    texts = [f"quiero {k} panes" for k in range(rows)]
    lines = [json.dumps({"id": str(k), "text": text, "json": {"n": k}}) for k, text in enumerate(texts)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    data = ExtractionData(train=str(tmp_path / "rows.jsonl"))
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    found = [int(re.findall(r"quiero (\d+) ", data.tokenizer.decode(ids))[0]) for ids in quantize._calibration(data)]
    assert len(found) == min(rows, 128)
    if expected is not None:
        assert found == list(expected)
    steps = {after - before for before, after in itertools.pairwise(found)}
    assert found[0] == 0 and steps <= {rows // len(found), -(-rows // len(found))}


@pytest.mark.parametrize(("method", "most"), [("nf4", 0.3), ("int8", 0.05)])
def test_bitsandbytes_folders_open_too(method: str, most: float, stored: Stored, plain_logits: torch.Tensor) -> None:
    moved = (logits(opened(stored("--method", method))) - plain_logits).abs().max() / plain_logits.abs().max()
    assert 1e-4 < moved < most


@pytest.mark.parametrize("method", ["nf4", "int8"])
def test_layers_can_be_left_out_of_bitsandbytes(method: str, stored: Stored) -> None:
    model = opened(stored("--method", method, "--layers", '{"*.layers.1.mlp.*": null}'))
    plain = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    assert plain == {"lm_head", *(f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down"))}


def test_a_run_that_was_trained_for_it_is_written_as_it_was_trained(
    short_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", "--run", str(short_runs / "aware"), "--output", str(tmp_path / "out")]) == 0
    assert "(qat)" in capsys.readouterr().out
    trained = logits(open_run(short_runs / "aware").model.language_model)
    assert torch.equal(logits(opened(tmp_path / "out")), trained)
    assert not torch.equal(trained, logits(merged(short_runs / "aware")))


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
        ("plain", ["--layers", '{"*": null}'], "leave no layer to round"),
        ("plain", ["--layers", '{"*head": 8}'], "layers: '*head' fits the output head alone"),
        ("plain", ["--layers", '{"*.kv": 8}'], "layers: '*.kv' fits no linear layer"),
        ("plain", ["--group_size", "100"], "group_size: 100 does not divide the 256 inputs"),
        ("none", [], "run: there is no "),
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
