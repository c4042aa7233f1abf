"""``compare --measure``: runs and stored folders side by side, with what they cost."""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sacrebleu.metrics import CHRF

from lit_llm.__main__ import main
from lit_llm.batch import Prediction
from lit_llm.models import CausalLM
from lit_llm.quantization import NF4
from lit_llm.quantization.memory import loaded_bytes
from lit_llm.report import open_run
from lit_llm.report.comparison import compare_translations
from lit_llm.report.files import short_names
from lit_llm.report.predictions import read_predictions
from lit_llm.report.runs import single_trainer
from tests.short_runs import logged


@pytest.mark.slow
def test_runs_and_folders_side_by_side(
    short_runs: Path,
    tmp_path: Path,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    plain, aware, int4 = short_runs / "plain", short_runs / "aware", tmp_path / "int4"
    assert main(["quantize", "--run", str(plain), "--output", str(int4)]) == 0
    folder = tmp_path / "measured"
    systems = [str(plain), str(aware), str(int4)]
    assert main(["compare", *systems, "--measure", str(folder), "--tokens", "4", "--samples", "20"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("difference", "disk MB", "loaded MB", "tokens/s"))
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["system"] for row in rows] == systems
    assert {row["rows"] for row in rows} == {"8"}
    base = (root / "checkpoints/qwen3-tiny/model.safetensors").stat().st_size
    adapter = (plain / "adapter/adapter_model.safetensors").stat().st_size
    stored = (int4 / "model.safetensors").stat().st_size
    assert [int(row["disk_bytes"]) for row in rows] == [base + adapter, base + adapter, stored]
    assert stored < 0.4 * base
    # A stored folder is opened as plain weights.
    assert int(rows[2]["loaded_bytes"]) <= int(rows[0]["loaded_bytes"])
    assert all(float(row["latency_s"]) > 0 and float(row["tokens_per_s"]) > 0 for row in rows)
    assert Image.open(folder / "quality_bytes.png").size[0] > 500
    answers = [read_predictions(folder / f"predictions_{number}.csv") for number in (1, 2, 3)]
    assert [row.id for row in answers[0]] == [row.id for row in answers[2]]
    assert all(row.id.startswith("one/") for row in answers[0])


@pytest.mark.slow
def test_losses_and_answers_are_those_of_test_and_predict(short_runs: Path, tmp_path: Path) -> None:
    folder, config = tmp_path / "measured", str(short_runs / "plain.yaml")
    assert main(["compare", str(short_runs / "plain"), "--measure", str(folder), "--tokens", "2"]) == 0
    with (folder / "table.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    writer = ["--trainer.callbacks+", "lit_llm.callbacks.PredictionWriter"]
    assert main(["predict", "--config", config, *writer, "--predictions", str(tmp_path / "own.csv")]) == 0
    own = {row.id: row.prediction or row.raw for row in read_predictions(tmp_path / "own.csv")}
    found = read_predictions(folder / "predictions_1.csv")
    assert {row.id.removeprefix("one/"): row.prediction or row.raw for row in found} == own
    metrics = ["--trainer.callbacks+", "lit_llm.callbacks.MetricsFile"]
    assert (
        main(
            [
                "test",
                "--config",
                config,
                *metrics,
                "--trainer.default_root_dir",
                str(tmp_path / "test"),
                "--ckpt_path",
                str(short_runs / "plain/best.ckpt"),
            ]
        )
        == 0
    )
    assert float(row["loss"]) == pytest.approx(logged(tmp_path / "test")["test/one/loss"], rel=1e-6)


@pytest.mark.slow
def test_a_stored_folder_is_opened_as_the_run_is(short_runs: Path, tmp_path: Path, root: Path) -> None:
    config = json.loads((short_runs / "plain.yaml").read_text())
    config["model"]["init_args"]["loading"] = {"tokenizer": str(root / "checkpoints/qwen3-tiny")}
    config["trainer"] |= {"precision": "bf16-mixed", "default_root_dir": str(tmp_path / "run")}
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    assert main(["fit", "--config", str(tmp_path / "run.yaml")]) == 0
    assert main(["quantize", "--run", str(tmp_path / "run"), "--output", str(tmp_path / "int4")]) == 0
    own = open_run(tmp_path / "run", "best", single_trainer(tmp_path / "run")).model
    stored = open_run(tmp_path / "run", "none", single_trainer(tmp_path / "run"), str(tmp_path / "int4")).model
    weights = [model.language_model.get_input_embeddings().weight for model in (own, stored)]
    assert [weight.dtype for weight in weights] == [torch.bfloat16, torch.bfloat16]
    assert stored.loading.tokenizer is None


def test_what_is_in_memory_is_counted(short_runs: Path, root: Path) -> None:
    run = open_run(short_runs / "aware")
    network: Any = run.model.language_model
    before = loaded_bytes(network)
    assert before == sum(
        weight.numel() * weight.element_size() for weight in [*network.parameters(), *network.buffers()]
    )
    with torch.no_grad():
        network(input_ids=torch.arange(5, 9)[None])
    rounded = sum(
        layer.in_features * layer.out_features * 4 for name, layer in network.named_modules() if name.endswith("_proj")
    )
    assert loaded_bytes(network) - before == rounded
    built = CausalLM(backbone=str(root / "checkpoints/qwen3-tiny"), quantizer=NF4())
    built.configure_model()
    stored = built.language_model.get_submodule("model.layers.0.mlp.up_proj").base_layer
    assert loaded_bytes(stored) > stored.weight.numel()
    state = stored.weight.quant_state.as_dict(packed=True)
    tables = sum(value.numel() * value.element_size() for name, value in state.items() if "bitsandbytes" not in name)
    assert loaded_bytes(stored) == stored.weight.numel() + tables


def test_scores_are_looked_at_first(short_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", str(short_runs / "plain"), "--measure", str(tmp_path / "out"), "--scores", "rouge"]
    assert main(command) == 1
    assert "rouge" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("systems", "message"),
    [
        (["{runs}/plain", "{runs}"], "is neither a run folder nor one that quantize or export wrote"),
        (["{root}/checkpoints/qwen3-tiny"], "name the folder of a run"),
    ],
)
def test_what_is_no_system_is_named(
    systems: list[str], message: str, short_runs: Path, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [system.format(runs=short_runs, root=root) for system in systems]
    assert main(["compare", *paths, "--measure", str(tmp_path / "out")]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_folder_is_not_written_twice(short_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(short_runs / "plain"), "--measure", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_differences_of_translations_are_resampled_in_pairs() -> None:
    rng = random.Random(0)
    references = [
        " ".join(rng.choice(["in", "calli", "huei", "amo", "tlen", "ipan"]) for _ in range(9)) for _ in range(60)
    ]

    def system(share: float) -> list[Prediction]:
        def spoilt(text: str) -> str:
            return " ".join("x" if rng.random() < share else word for word in text.split())

        fields: dict[str, Any] = {"status": "ok", "error": "", "raw": "", "new_tokens": 0, "score": 0.0, "meta": {}}
        return [
            Prediction(id=str(k), text="es", prediction=spoilt(reference), reference=reference, **fields)
            for k, reference in enumerate(references)
        ]

    systems = {"a": system(0.2), "b": system(0.5)}
    found = compare_translations(systems, ["chrf"], samples=80, seed=3)
    score = found["b"]["chrf"]
    assert score.difference == pytest.approx(score.value - found["a"]["chrf"].value)
    drawn = np.random.default_rng(3).choice(60, size=(80, 60), replace=True)
    differences = []
    for rows in drawn:
        values = {
            name: CHRF().corpus_score([own[k].prediction for k in rows], [[references[k] for k in rows]]).score
            for name, own in systems.items()
        }
        differences.append(values["b"] - values["a"])
    # sacrebleu adds its counts in float32.
    assert [score.low, score.high] == pytest.approx([sorted(differences)[2], sorted(differences)[77]], abs=1e-3)
    assert score.low < score.difference < score.high < 0


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a", "runs/b/predictions.csv"], ["a", "b/predictions.csv"]),
        (["runs/a", "/runs/b"], None),
        (["one.csv"], ["one.csv"]),
    ],
)
def test_names_leave_out_what_all_have_in_common(paths: list[str], names: list[str] | None) -> None:
    found = short_names(paths)
    assert list(found) == paths
    if names:
        assert list(found.values()) == names
    assert len(set(found.values())) == len(paths)
