"""The command line as a person uses it: train, resume, measure, predict, export."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lit_llm.__main__ import main
from tests.short_runs import logged

Run = Callable[..., int]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for name, count in {"train": 12, "valid": 5, "test": 6}.items():
        lines = [{"id": f"{name}{i}", "text": f"dame {i} pan" + "es" * (i % 3), "json": {"n": i}} for i in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def settings(rows: Path, root: Path, run: Path) -> dict[str, Any]:
    generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 6, "stop": "json"}}
    callbacks = yaml.safe_load((root / "configs/trainer/callbacks.yaml").read_text())
    return {
        "seed_everything": 0,
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {
                "backbone": str(root / "checkpoints/qwen3-tiny"),
                "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 4, "dropout": 0.1}},
                "generator": generator,
                "metrics": [{"class_path": "lit_llm.metrics.ExtractionMetrics"}],
            },
        },
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {
                "train": str(rows / "train.jsonl"),
                "valid": str(rows / "valid.jsonl"),
                "test": {"one": str(rows / "test.jsonl")},
                "batch_size": 4,
                "eval_batch_size": 4,
            },
        },
        "trainer": {
            "default_root_dir": str(run),
            "max_epochs": 2,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "num_sanity_val_steps": 0,
            "enable_progress_bar": False,
            "callbacks": callbacks,
        },
    }


@pytest.fixture(scope="module")
def trained(rows: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder after ``fit``."""
    folder = tmp_path_factory.mktemp("trained")
    config = folder / "run.yaml"
    config.write_text(yaml.safe_dump(settings(rows, root, folder / "run")))
    assert main(["fit", "--config", str(config)]) == 0
    return folder / "run"


def test_fit_leaves_a_complete_run_folder(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "last.ckpt", "best.ckpt", "adapter", "metrics.csv"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    adapter = {path.name for path in (trained / "adapter").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "lit_llm.json"} <= adapter
    facts = json.loads((trained / "adapter/lit_llm.json").read_text())
    assert set(facts) == {"backbone", "base", "version", "template", "step", "started_in"}


def test_checkpoints_hold_only_what_was_trained(trained: Path) -> None:
    state = torch.load(trained / "last.ckpt", weights_only=True)
    assert state["state_dict"]
    assert all("lora_" in name for name in state["state_dict"])
    assert state["global_step"] == 6
    assert (trained / "last.ckpt").stat().st_size < 3_000_000


def test_logged_names(trained: Path) -> None:
    with (trained / "metrics.csv").open() as file:
        names = {row["name"] for row in csv.DictReader(file)}
    expected = {"train/loss", "train/grad_norm", "train/lr", "val/loss", "val/field_f1", "val/exact_match"}
    assert expected | {"val/strict_parse", "speed/tokens_per_second", "speed/padding", "memory/peak_gib"} <= names


def test_perplexity_is_that_of_the_loss(trained: Path) -> None:
    with (trained / "metrics.csv").open() as file:
        values = {(row["step"], row["name"]): float(row["value"]) for row in csv.DictReader(file)}
    losses = {step: value for (step, name), value in values.items() if name == "val/loss"}
    assert losses
    assert all(values[step, "val/perplexity"] == pytest.approx(math.exp(loss)) for step, loss in losses.items())


def test_fit_does_not_replace_a_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--config", str(trained / "config.yaml")]) == 1
    assert "--ckpt_path last" in capsys.readouterr().err


def test_saved_config_runs_as_it_is(trained: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((trained / "config.yaml").read_text())
    before = (trained / "config.yaml").read_bytes()
    assert main(["test", "--config", str(trained / "config.yaml")]) == 0
    assert main(["validate", "--config", str(trained / "config.yaml")]) == 0
    assert (trained / "config.yaml").read_bytes() == before, "only fit writes config.yaml"
    assert config["trainer"]["default_root_dir"] == str(trained)


@pytest.mark.parametrize("batch_size", [1, *(pytest.param(size, marks=pytest.mark.slow) for size in (3, 8))])
def test_validation_loss_does_not_depend_on_batch_size(
    trained: Path, batch_size: int, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    losses = []
    for size in (5, batch_size):
        folder = tmp_path / str(size)
        folder.mkdir(exist_ok=True)
        options = ["--data.init_args.eval_batch_size", str(size), "--trainer.default_root_dir", str(folder)]
        checkpoint = ["--ckpt_path", str(trained / "best.ckpt")]
        assert main(["validate", "--config", str(trained / "config.yaml"), *options, *checkpoint]) == 0
        losses.append(logged(folder)["val/loss"])
    assert math.isclose(losses[0], losses[1], rel_tol=1e-6)


def test_predict_writes_rows_in_input_order(trained: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    assert main(["predict", "--config", str(trained / "config.yaml"), "--predictions", str(target)]) == 0
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"test{i}" for i in range(6)]
    columns = ["id", "text", "prediction", "reference", "status", "error", "raw", "new_tokens", "score", "meta"]
    assert list(rows[0]) == columns
    assert {row["status"] for row in rows} <= {"ok", "length", "invalid", "error"}
    assert rows[3]["reference"] == '{"n":3}'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data.init_args.instruction", "Otra cosa:"], "was trained with template"),
        (["--model.init_args.adapter.init_args.r", "8"], "size mismatch|does not fit|adapter"),
        (["--ckpt_path", "nowhere.ckpt"], "there is no nowhere.ckpt"),
    ],
)
def test_predicting_otherwise_than_trained_is_refused(
    trained: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    target = ["--predictions", str(tmp_path / "x.csv")]
    assert main(["predict", "--config", str(trained / "config.yaml"), *options, *target]) == 1
    error = capsys.readouterr().err
    assert any(part in error for part in message.split("|"))


def test_another_base_is_refused(trained: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = root / "checkpoints/qwen3-tiny"
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.model.norm.weight += 0.5
        model.model.layers[0].self_attn.q_proj.weight *= 1.5
        model.model.embed_tokens.weight *= 1.01
    model.save_pretrained(tmp_path / "other")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "other")
    options = ["--model.init_args.backbone", str(tmp_path / "other"), "--predictions", str(tmp_path / "x.csv")]
    assert main(["predict", "--config", str(trained / "config.yaml"), *options]) == 1
    assert "use the base that it was trained on" in capsys.readouterr().err


def test_export_opens_with_transformers_alone(trained: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lit_llm.report import open_run

    target = tmp_path / "merged"
    assert main(["export", "--run", str(trained), "--merged", str(target)]) == 0
    plain = AutoModelForCausalLM.from_pretrained(target)
    ids = AutoTokenizer.from_pretrained(target)("dame 3 panes", return_tensors="pt").input_ids
    run = open_run(trained)
    with torch.no_grad():
        torch.testing.assert_close(plain(ids).logits, run.model.network(ids).logits, rtol=1e-4, atol=1e-4)


def test_adapter_opens_with_peft_alone(trained: Path, root: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from lit_llm.report import open_run

    base = AutoModelForCausalLM.from_pretrained(root / "checkpoints/qwen3-tiny")
    alone = PeftModel.from_pretrained(base, trained / "adapter").eval()
    ids = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(alone(ids).logits, open_run(trained).model.network(ids).logits)


def test_check_of_an_absent_backbone_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--backbone", "Qwen/Qwen3-0.6B"]) == 1
    assert "hf download Qwen/Qwen3-0.6B" in capsys.readouterr().err
