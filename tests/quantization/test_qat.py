"""Weights rounded while they learn: the merged ones, to just what is deployed, when the run file says so."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor
from torchao.quantization.granularity import PerAxis, PerGroup
from torchao.quantization.qat import IntxFakeQuantizeConfig, IntxFakeQuantizer

from lit_llm.__main__ import main
from lit_llm.adapters import AdaLoRA, Adapter, DoRA, Full, LoRA, VeRA
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM, Loading
from lit_llm.quantization import NF4, QAT, IntFormat
from lit_llm.quantization.integers import ranges
from lit_llm.quantization.qat import FLOAT
from scripts.tables.base_only_qat import BaseOnlyQAT

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 12]])
ADAPTERS: dict[str, Callable[[], Adapter]] = {
    "lora": lambda: LoRA(r=4, target_modules="all-linear"),
    "pissa": lambda: LoRA(r=4, init="pissa"),
    "dora": lambda: DoRA(r=4),
    "vera": lambda: VeRA(r=8),
    "adalora": lambda: AdaLoRA(r=2, initial_r=4),
    "full": Full,
}


def model(root: Path, **settings: object) -> CausalLM:
    built = CausalLM(backbone=str(root / "checkpoints/qwen3-tiny"), **settings)  # type: ignore[arg-type]
    built.configure_model()
    return built


def train(built: CausalLM, steps: int = 3) -> list[float]:
    optimizer = torch.optim.AdamW([weight for weight in built.parameters() if weight.requires_grad], lr=1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = built.language_model(input_ids=IDS, labels=IDS).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    return losses


def logits(network: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = network(input_ids=IDS).logits
    return found


def rounded(weight: Tensor, bits: int, group_size: int) -> Tensor:
    """Symmetric rounding, written out in float64 for one group at a time; NaN where float32 may take either side."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    out = torch.empty_like(weight, dtype=torch.float64)
    for row in range(weight.shape[0]):
        for start in range(0, weight.shape[1], group_size):
            group = weight[row, start : start + group_size].double()
            scale = group.abs().max() / ((high - low) / 2)
            steps = group / scale
            values = steps.round().clamp(low, high) * scale
            out[row, start : start + group_size] = values.where(((steps % 1) - 0.5).abs() > 1e-5, torch.nan)
    return out


@pytest.mark.parametrize("group_size", [8, 32, None])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_rounding_is_that_of_the_definition(bits: int, group_size: int | None) -> None:
    weight = torch.randn(5, 64)
    form = IntFormat(bits, group_size)
    expected = rounded(weight, bits, group_size or 64)
    told = ~expected.isnan()
    assert told.float().mean() > 0.8
    assert (form.rounded(weight, bits) - expected)[told].abs().max() <= 1e-6
    stored = form.integers(weight, bits)
    assert torch.equal(stored.weight(), form.rounded(weight, bits))
    assert stored.values.min() >= -(2 ** (bits - 1))
    assert stored.values.max() <= 2 ** (bits - 1) - 1


@pytest.mark.parametrize("group_size", [32, None])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_values_and_gradients_are_those_of_torchao(bits: int, group_size: int | None) -> None:
    granularity = PerGroup(group_size) if group_size else PerAxis(0)
    reference = IntxFakeQuantizer(IntxFakeQuantizeConfig(getattr(torch, f"int{bits}"), granularity))
    weight = torch.randn(16, 64).requires_grad_()
    slope = torch.randn(16, 64)
    theirs, ours = reference(weight), IntFormat(bits, group_size).rounded(weight, bits)
    assert torch.equal(theirs, ours)
    gradients = [torch.autograd.grad(values, weight, slope)[0] for values in (theirs, ours)]
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-6
    assert (gradients[1] == 0).any()


def test_gradients_pass_where_nothing_was_cut_off() -> None:
    weight = torch.randn(4, 32).requires_grad_()
    form = IntFormat(3, 32)
    form.rounded(weight, 3).sum().backward()
    steps = (weight / (weight.abs().amax(1, keepdim=True) / 3.5)).detach()
    # The largest of a group lies on the edge: half a step beyond the last integer.
    inside, edge = steps < 3.49, steps.abs() > 3.49
    assert weight.grad is not None
    assert torch.allclose(weight.grad[~edge], inside[~edge].float())
    assert set(weight.grad[edge].round(decimals=5).tolist()) <= {0.0, 1.0}
    assert 0.0 in weight.grad[edge]


class Nearest(torch.autograd.Function):
    """Rounds, with the gradient of what does not."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return values.round()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient


@pytest.mark.parametrize("bits", [2, 4])
def test_ranges_have_the_gradient_of_learned_step_sizes(bits: int) -> None:
    weight, slope = torch.randn(6, 64).requires_grad_(), torch.randn(6, 64)
    log_ranges = (ranges(weight, 32) * 0.7).log().requires_grad_()
    found = IntFormat(bits, 32).rounded(weight, bits, log_ranges)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    exact, exact_ranges = weight.detach().double().requires_grad_(), log_ranges.detach().double().requires_grad_()
    scales = exact_ranges.exp().view(6, 2, 1) / ((high - low) / 2)
    expected = (Nearest.apply(exact.view(6, 2, 32) / scales).clamp(low, high) * scales).flatten(1)
    assert (found - expected).abs().max() <= 1e-5
    ours = torch.autograd.grad(found, [weight, log_ranges], slope)
    theirs = torch.autograd.grad(expected, [exact, exact_ranges], slope.double())
    for own, other in zip(ours, theirs, strict=True):
        assert (own - other).abs().max() <= 1e-4 * other.abs().max()


@pytest.mark.parametrize("bits", [2, 4])
def test_kept_ranges_are_stored_as_they_are_computed(bits: int) -> None:
    weight, form = torch.randn(6, 64), IntFormat(bits, 32)
    for log_ranges in (ranges(weight, 32).log() - 0.3, torch.full((12,), torch.nan)):
        assert torch.equal(
            form.integers(weight, bits, "rtn", log_ranges).weight(), form.rounded(weight, bits, log_ranges)
        )
    assert torch.equal(form.rounded(weight, bits, log_ranges), form.rounded(weight, bits))


def test_ranges_learn_from_when_rounding_begins_until_they_are_frozen(root: Path) -> None:
    # Weights that nothing is added to move through their ranges alone.
    adapter = LoRA(r=4, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    built = model(root, adapter=adapter, qat=QAT(bits=2, start=2, learn_ranges=True, freeze=5))
    qat: Any = built.qat
    optimizer = torch.optim.AdamW([weight for weight in built.parameters() if weight.requires_grad], lr=1e-2)
    seen = []
    for step in range(7):
        qat.follow(step, 7)
        optimizer.zero_grad()
        built.language_model(input_ids=IDS, labels=IDS).loss.backward()
        qat.before_step()
        optimizer.step()
        seen.append(built.ranges["model/layers/0/mlp/up_proj"].detach().clone())
    assert seen[1].isnan().all()
    weight: Any = built.language_model.get_submodule("model.layers.0.mlp.up_proj")
    assert not torch.equal(seen[2], seen[4])
    assert (seen[4] - ranges(built.adapter.effective_weight(weight), 32).log()).abs().max() < 0.2
    assert torch.equal(seen[4], seen[6])
    assert set(built.state_dict()) >= {"ranges.model/layers/0/mlp/up_proj"}


def test_a_run_that_is_resumed_shorter_takes_the_ranges_it_has_missed(root: Path) -> None:
    built = model(root, adapter=LoRA(r=4), qat=QAT(bits=2, freeze=0.8))
    qat: Any = built.qat
    qat.follow(120, 200)
    assert all(weight.isnan().all() for weight in built.ranges.values())
    qat.follow(120, 140)
    taken = [weight.clone() for weight in built.ranges.values()]
    assert not any(weight.isnan().any() for weight in taken)
    train(built, 1)
    qat.attach(built.language_model, built._rounded, built.adapter, built.ranges)
    qat.follow(121, 140)
    assert all(torch.equal(*pair) for pair in zip(built.ranges.values(), taken, strict=True))


def test_ranges_stay_in_float32(root: Path) -> None:
    built = model(root, adapter=LoRA(r=4), qat=QAT(bits=2, learn_ranges=True))
    cast(Any, built.qat).follow(0, 10)
    before = [weight.clone() for weight in built.ranges.values()]
    built.to(torch.bfloat16)
    assert next(built.language_model.parameters()).dtype == torch.bfloat16
    assert all(torch.equal(*pair) for pair in zip(built.ranges.values(), before, strict=True))
    assert len(set(train(built))) == 3
    assert not torch.equal(next(iter(built.ranges.values())), before[0])


def test_ranges_that_only_freeze_are_those_of_the_weights_then(root: Path) -> None:
    built = model(root, adapter=LoRA(r=4), qat=QAT(bits=2, freeze=1))
    qat: Any = built.qat
    qat.follow(0, 4)
    kept = built.ranges["model/layers/0/self_attn/q_proj"]
    layer: Any = built.language_model.get_submodule("model.layers.0.self_attn.q_proj")
    assert kept.isnan().all() and not kept.requires_grad
    train(built, 1)
    qat.follow(1, 4)
    frozen = ranges(built.adapter.effective_weight(layer), 32)
    train(built, 2)
    qat.follow(2, 4)
    assert torch.equal(kept.exp(), frozen.log().exp())
    assert not torch.equal(ranges(built.adapter.effective_weight(layer), 32), frozen)


@pytest.mark.parametrize(
    ("adapter", "bits", "activations"),
    [
        *((name, *way) for name in ADAPTERS for way in [(2, "none"), (4, "int8")]),
        ("lora", 3, "int8"),
        ("lora", 8, "none"),
    ],
)
def test_what_was_trained_is_what_is_deployed(adapter: str, bits: int, activations: Any, root: Path) -> None:
    built = model(root, adapter=ADAPTERS[adapter](), qat=QAT(bits=bits, activations=activations))
    assert len(set(train(built))) == 3
    trained = logits(built.eval().language_model)
    assert torch.equal(trained, logits(built.language_model))
    merged: Any = built.merge_adapter()
    assert not torch.equal(logits(merged), trained)
    form = IntFormat(bits, activations=activations)
    form.convert(merged, form.plan(merged))
    assert type(merged.model.layers[0].mlp.up_proj.weight).__name__ == "IntxUnpackedToInt8Tensor"
    assert (logits(merged) - trained).abs().max() <= (0 if activations == "none" else 1e-5)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_sixteen_bits_around_it_change_no_weight(root: Path, precision: torch.dtype) -> None:
    built = model(root, adapter=LoRA(r=4), qat=QAT(bits=4))
    train(built)
    layer: Any = built.language_model.get_submodule("model.layers.0.self_attn.q_proj")
    with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        inside = layer.forward._compute(4)
    assert torch.equal(inside, IntFormat(4).rounded(built.adapter.effective_weight(layer), 4))


def test_a_weight_that_learns_on_is_rounded_anew(root: Path) -> None:
    built = model(root, adapter=LoRA(r=4), qat=QAT(bits=4))
    before = logits(built.eval().language_model)
    train(built.train())
    after = logits(built.eval().language_model)
    assert not torch.equal(before, after)
    with torch.no_grad():
        for name, weight in built.named_parameters():
            if "lora_B" in name:
                weight.zero_()
    assert torch.equal(logits(built.language_model), before)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [2, 2, 2, 2, 2]),
        ({"start": 3}, [FLOAT, FLOAT, 2, 2, 2]),
        ({"start": 0.5}, [FLOAT, FLOAT, FLOAT, 2, 2]),
        ({"gradual": {0.0: 8, 0.3: 4}}, [8, 8, 4, 2, 2]),
        ({"gradual": {0.0: 8}, "start": 0.2, "settled": 1.0}, [FLOAT, 8, 8, 8, 8]),
    ],
)
def test_bits_follow_the_steps(settings: dict[str, Any], expected: list[int]) -> None:
    qat = QAT(bits=2, **settings)
    assert [qat.follow(step, 10) for step in (0, 2, 4, 5, 9)] == expected
    qat.follow(0, 10)
    assert qat.width(8, training=True) == (FLOAT if "start" in settings else 8)
    assert qat.width(2, training=False) == 2


@pytest.mark.parametrize("name", ["start", "freeze"])
def test_what_is_never_reached_is_refused(name: str) -> None:
    settings: dict[str, Any] = {name: 10}
    qat = QAT(**settings)
    qat.follow(0, 11)
    with pytest.raises(ConfigError, match=f"{name}: 10 is not reached in a run of 10 steps"):
        qat.follow(0, 10)


@pytest.mark.parametrize("name", ["q_proj", "down_proj"])
def test_the_other_way_rounds_the_base_alone_in_training_and_what_is_deployed_otherwise(name: str, root: Path) -> None:
    built = model(root, adapter=LoRA(r=4, target_modules=["q_proj"]), qat=BaseOnlyQAT(bits=2))
    train(built)
    layer = next(m for key, m in built.language_model.named_modules() if key.endswith(name))
    form, merged = IntFormat(2), built.adapter.effective_weight(layer)
    own: Any = layer.get_base_layer().weight if name == "q_proj" else merged
    values = torch.randn(1, 3, own.shape[1])
    learning = layer.train()(values)
    with torch.no_grad():
        deployed = layer.eval()(values)
        torch.testing.assert_close(learning, values @ (form.rounded(own, 2) + merged - own).T, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(deployed, values @ form.rounded(merged, 2).T, rtol=1e-4, atol=1e-4)
    assert torch.equal(learning, deployed) is (name == "down_proj")


def test_before_it_starts_training_is_that_of_an_unrounded_model(root: Path) -> None:
    plain = train(model(root, adapter=LoRA(r=4)))
    late = model(root, adapter=LoRA(r=4), qat=QAT(bits=2, start=100))
    assert late.qat is not None
    late.qat.follow(0, 1000)
    assert train(late) == plain
    evaluated = logits(late.eval().language_model)
    late.qat.follow(500, 1000)
    assert torch.equal(logits(late.language_model), evaluated)


def test_one_table_gives_each_layer_its_bits(root: Path) -> None:
    layers = {"model.layers.0.*": 8, "*.down_proj": None, "*.self_attn.*": 3}
    plan = QAT(bits=2, layers=layers).plan(model(root, adapter=Full()).language_model)
    assert {name for name in plan if name.endswith("down_proj")} == {"model.layers.0.mlp.down_proj"}
    assert "lm_head" not in plan
    assert {bits for name, bits in plan.items() if name.startswith("model.layers.0.")} == {8}
    assert plan["model.layers.1.self_attn.q_proj"] == 3
    assert plan["model.layers.1.mlp.up_proj"] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bits": 5}, "model.init_args.qat.init_args.bits: 5 is not possible; a weight has 2, 3, 4 or 8 bits"),
        ({"layers": {"*.q_proj": 6}}, "layers['*.q_proj']: 6 is not possible"),
        ({"group_size": 0}, "group_size: 0 is not possible"),
        ({"start": -1}, "start: -1 is below 0"),
        ({"freeze": -1}, "freeze: -1 is below 0"),
        ({"settled": 2}, "settled: 2 is no share"),
        ({"gradual": {0.5: 2}}, "gradual: {0.5: 2} is not possible"),
        ({"bits": 2, "gradual": {0: 16}}, "gradual: {0: 16} is not possible"),
        ({"gradual": {0.2: 4, 0.6: 3}, "bits": 2}, "gradual: {0.6: 3} begins after settled: 0.5"),
        ({"layers": {"*head": 8}}, "layers: '*head' fits the output head alone"),
        ({"layers": {"*": None}}, "leave no layer to round"),
        ({"group_size": 48}, "group_size: 48 does not divide the 256 inputs of 'model.layers.0.self_attn.q_proj'"),
        ({"layers": {"*.kv_proj": 8}}, "layers: '*.kv_proj' fits no linear layer"),
        ({"layers": {"lm_head": 8}}, "layers: 'lm_head' shares its weight with the embedding"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(settings: dict[str, Any], message: str, root: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        model(root, qat=QAT(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adapter": LoRA(dropout=0.1)}, "a dropout of 0.1 falls on the adapter's inputs alone"),
        ({"adapter": LoRA(), "quantizer": NF4()}, "stored by NF4 already"),
        (
            {"adapter": LoRA(), "loading": Loading(device_map="auto")},
            "loading.device_map: auto moves cannot be rounded",
        ),
    ],
)
def test_what_has_no_merged_weight_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        CausalLM(qat=QAT(), **settings)


def test_a_missing_package_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_llm.quantization.integers.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape("torchao: pip install -e '.[quantization]'")):
        model(root, qat=QAT())


# Through the command line.


@pytest.fixture
def run_file(tmp_path: Path, root: Path) -> Callable[..., str]:
    """Writes run files of 12 steps on 24 rows."""
    rows = [{"id": f"r{k}", "text": f"quiero {k} panes", "json": {"n": k}} for k in range(24)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(name: str, qat: dict[str, Any] | None = None, **model_settings: Any) -> str:
        settings: dict[str, Any] = {
            "seed_everything": 0,
            "model": {
                "class_path": "lit_llm.models.CausalLM",
                "init_args": {
                    "backbone": str(root / "checkpoints/qwen3-tiny"),
                    "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 4}},
                    "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 12}},
                    **({"qat": {"class_path": "lit_llm.quantization.QAT", "init_args": qat}} if qat else {}),
                    **model_settings,
                },
            },
            "data": {
                "class_path": "lit_llm.data.ExtractionData",
                "init_args": {
                    "train": str(tmp_path / "rows.jsonl"),
                    "test": {"one": str(tmp_path / "rows.jsonl")},
                    "batch_size": 4,
                },
            },
            "trainer": {
                "default_root_dir": str(tmp_path / name),
                "max_epochs": 2,
                "accelerator": "cpu",
                "log_every_n_steps": 1,
                "enable_progress_bar": False,
                "enable_model_summary": False,
                "callbacks": [
                    {"class_path": "lit_llm.callbacks.RunCheckpoint", "init_args": {"every_n_steps": 4}},
                    {"class_path": "lit_llm.callbacks.PredictionWriter"},
                ],
            },
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return str(path)

    return write


@pytest.mark.parametrize(
    ("how", "ranges"),
    [
        ("error", {"learn_ranges": True, "freeze": 10}),
        ("error", {}),
        ("error", {"freeze": 7}),
        ("SIGKILL", {}),
    ],
)
@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights_and_shows_when_rounding_began(
    how: str, ranges: dict[str, Any], run_file: Callable[..., str], tmp_path: Path, root: Path
) -> None:
    settings = {"bits": 2, "start": 5, "gradual": {0: 4}, "settled": 0.75, **ranges}
    whole, cut = (run_file(name, settings) for name in ("whole", "cut"))
    assert main(["fit", "--config", whole]) == 0
    stop = {"class_path": "tests.recording.StopAt", "init_args": {"batch": 9, "how": how}}
    stopped = ["fit", "--config", cut, "--trainer.callbacks+", yaml.safe_dump(stop)]
    if how == "SIGKILL":
        assert subprocess.run([sys.executable, "-m", "lit_llm", *stopped], cwd=root).returncode == -signal.SIGKILL
    else:
        assert main(stopped) == 1
    assert main(["fit", "--config", cut, "--ckpt_path", "last"]) == 0
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "cut")]
    assert any(name.startswith("ranges.") for name in states[0]) == bool(ranges)
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(weight, states[1][name]) and not weight.isnan().any() for name, weight in states[0].items())
    events = EventAccumulator(str(tmp_path / "whole"))
    events.Reload()
    bits = {event.step: event.value for event in events.Scalars("train/weight_bits")}
    assert [bits[step] for step in sorted(bits)] == [32] * 5 + [4] * 4 + [2] * 3


@pytest.mark.slow
@pytest.mark.parametrize("kept", [{}, {"learn_ranges": True}, {"freeze": 0.5}])
def test_every_way_to_answer_gives_the_same_and_so_does_the_folder_of_integers(
    kept: dict[str, Any], run_file: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = run_file("run", {"bits": 3, "layers": {"*.down_proj": 8}, **kept})
    assert main(["fit", "--config", config]) == 0
    packed = tmp_path / "packed"
    assert main(["quantize", "--run", str(tmp_path / "run"), "--output", str(packed)]) == 0
    assert "(qat)" in capsys.readouterr().out
    description = json.loads((packed / "config.json").read_text())["quantization_config"]
    assert {group["weights"]["num_bits"] for group in description["config_groups"].values()} == {3, 8}
    assert description["ignore"] == ["lm_head"]
    folder = ["--ckpt_path", "none", "--model.backbone", str(packed), "--model.qat", "null"]
    answers = []
    for options in ([], ["--model.merge", "true"], folder):
        path = tmp_path / f"{len(answers)}.csv"
        assert main(["predict", "--config", config, "--predictions", str(path), *options]) == 0
        rows = csv.DictReader(path.open(newline="", encoding="utf-8"))
        answers.append([(row["id"], row["raw"] or row["prediction"], float(row["score"])) for row in rows])
    for other in answers[1:]:
        assert [row[:2] for row in other] == [row[:2] for row in answers[0]]
        assert [row[2] for row in other] == pytest.approx([row[2] for row in answers[0]], abs=1e-5)


def test_an_export_in_plain_weights_is_not_rounded(run_file: Callable[..., str], tmp_path: Path) -> None:
    assert main(["fit", "--config", run_file("run", {"bits": 2})]) == 0
    assert main(["export", "--run", str(tmp_path / "run"), "--merged", str(tmp_path / "merged")]) == 0
    weight = load_file(tmp_path / "merged/model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert weight[0].unique().numel() > 2 ** (2 + 3)
