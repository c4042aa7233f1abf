"""Clips into sentences through the command line: train, keep, resume, predict."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_llm.__main__ import main
from scripts.demo_data.make_signs import make_signs
from tests.short_runs import logged

LORA = {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 4}}
NF4 = {"class_path": "lit_llm.quantization.NF4"}
KINDS: dict[str, dict[str, Any]] = {
    "lora": {"adapter": LORA},
    "vera": {"adapter": {"class_path": "lit_llm.adapters.VeRA", "init_args": {"r": 8}}},
    "adalora": {"adapter": {"class_path": "lit_llm.adapters.AdaLoRA", "init_args": {"r": 2, "initial_r": 4}}},
    "nf4": {"adapter": LORA, "quantizer": NF4},
    "budget": {"adapter": LORA},
}


def run_file(folder: Path, root: Path, kind: str, run: str) -> str:
    if not (folder / "manifest.csv").exists():
        make_signs(folder, {"train": 20, "valid": 6, "test": 7}, seed=0)
    manifest = str(folder / "manifest.csv")
    config = {
        "seed_everything": 1,
        "model": {
            "class_path": "lit_llm.models.SignLM",
            "init_args": {
                "backbone": str(root / "checkpoints/qwen3-tiny"),
                **KINDS[kind],
                "hidden": 16,
                "adaptor_dropout": 0.1,
                "adaptor_learning_rate": 1e-3,
                "metrics": [{"class_path": "lit_llm.metrics.SignMetrics"}],
                "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 6}},
            },
        },
        "data": {
            "class_path": "lit_llm.data.SignData",
            "init_args": {
                "train": manifest,
                "valid": manifest,
                "test": {"test": manifest},
                "batch_size": 4,
                "max_batch_tokens": 240 if kind == "budget" else None,
                "changes": {"class_path": "lit_llm.data.ClipChanges"},
            },
        },
        "trainer": {
            "default_root_dir": str(folder / run),
            "max_epochs": 2,
            "accelerator": "cpu",
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "logger": False,
            "callbacks": [
                {"class_path": f"lit_llm.callbacks.{name}"}
                for name in ("RunCheckpoint", "MetricsFile", "PredictionWriter", "LabelAudit", "SampleTable")
            ],
        },
    }
    path = folder / f"{run}.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_learns_keeps_its_adaptor_resumes_and_predicts(kind: str, tmp_path: Path, root: Path) -> None:
    whole, cut = (run_file(tmp_path, root, kind, run) for run in ("whole", "cut"))
    assert main(["fit", "--config", whole]) == 0
    # The schedule plans over both epochs, so the run is stopped in its middle and not made shorter.
    stop = {"class_path": "tests.recording.StopAt", "init_args": {"batch": 9, "how": "error"}}
    assert main(["fit", "--config", cut, "--trainer.callbacks+", yaml.safe_dump(stop)]) == 1
    assert main(["fit", "--config", cut, "--ckpt_path", "last"]) == 0
    found, resumed = (load_file(tmp_path / run / "adapter" / "adaptor.safetensors") for run in ("whole", "cut"))
    assert all((found[name] == weight).all() for name, weight in resumed.items())
    kept = {path.name for path in (tmp_path / "whole" / "adapter").iterdir()}
    assert {"adaptor.safetensors", "adapter_model.safetensors", "adapter_config.json"} <= kept
    assert sum(path.stat().st_size for path in (tmp_path / "whole" / "adapter").glob("*.safetensors")) < 1_500_000
    for run in (whole, cut):
        assert main(["predict", "--config", run]) == 0
    one, other = ((tmp_path / run / "predictions.csv").read_bytes() for run in ("whole", "cut"))
    assert one == other
    rows = list(csv.DictReader((tmp_path / "whole" / "predictions.csv").open(newline="")))
    assert [row["id"] for row in rows] == [f"test-{at:04d}" for at in reversed(range(7))]
    assert all(row["text"] == row["id"] and row["reference"] for row in rows)


@pytest.mark.slow
def test_a_prediction_that_is_killed_goes_on_to_the_same_file(tmp_path: Path, root: Path) -> None:
    make_signs(tmp_path, {"train": 20, "valid": 6, "test": 60}, seed=0)
    config = run_file(tmp_path, root, "nf4", "run")
    assert main(["fit", "--config", config, "--trainer.max_epochs", "1"]) == 0
    # Processes of one thread each: another number of threads rounds in another order.
    command = [sys.executable, "-m", "lit_llm", "predict", "--config", config, "--data.eval_batch_size", "3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}

    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, "--predictions", str(tmp_path / name)], cwd=root, env=environment)

    assert start("whole.csv").wait() == 0
    cut, partial = tmp_path / "cut.csv", tmp_path / "cut.csv.partial"
    process = start("cut.csv")
    while not partial.exists() or partial.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert not cut.exists()
    assert 20 <= partial.read_bytes().count(b"\n") < 60
    assert start("cut.csv").wait() == 0
    assert cut.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.slow
def test_an_exported_run_answers_as_the_run(tmp_path: Path, root: Path) -> None:
    config = run_file(tmp_path, root, "lora", "run")
    merged = tmp_path / "merged"
    assert main(["fit", "--config", config, "--trainer.max_epochs", "1"]) == 0
    assert main(["export", "--run", str(tmp_path / "run"), "--merged", str(merged)]) == 0
    exported = ["--ckpt_path", "none", "--model.backbone", str(merged), "--model.adaptor_from", str(merged)]
    written = []
    for options in ([], exported):
        path = tmp_path / f"{len(written)}.csv"
        assert main(["predict", "--config", config, "--predictions", str(path), *options]) == 0
        rows = csv.DictReader(path.open(newline="", encoding="utf-8"))
        written.append([(row["id"], row["prediction"]) for row in rows])
    assert written[0] == written[1]


def test_a_file_of_answers_is_not_continued_with_other_clips(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "--config", run_file(tmp_path, root, "lora", "run"), "--ckpt_path", "none"]
    assert main(command) == 0
    path = tmp_path / "run" / "predictions.csv"
    path.write_bytes(path.read_bytes().rsplit(b"\r\n" if b"\r\n" in path.read_bytes() else b"\n", 3)[0] + b"\n")
    capsys.readouterr()
    assert main([*command, "--data.max_frames", "6"]) == 1
    assert "clips" in capsys.readouterr().err


def test_validation_tells_what_is_left_with_clips_of_other_rows(tmp_path: Path, root: Path) -> None:
    config = run_file(tmp_path, root, "lora", "run")
    assert main(["validate", "--config", config, "--ckpt_path", "none"]) == 0
    wanted = {"val/bleu4", "val/rouge_l", "val/distinct", "val/rolled/bleu4", "val/loss"}
    assert wanted <= set(logged(tmp_path / "run"))


@pytest.mark.slow
def test_a_few_clips_are_drawn_with_what_was_answered(tmp_path: Path, root: Path) -> None:
    figures = {"class_path": "lit_llm.callbacks.ClipFigures", "init_args": {"count": 2}}
    options = ["--trainer.callbacks+", yaml.safe_dump(figures), "--trainer.logger", "true"]
    assert main(["fit", "--config", run_file(tmp_path, root, "lora", "run"), *options]) == 0
    events = EventAccumulator(str(next(tmp_path.rglob("events.out.*")).parent)).Reload()
    drawn = events.Tags()["images"]
    assert len(drawn) == 2
    assert all(tag.startswith("clips/valid-000") for tag in drawn)
    assert [event.step for event in events.Images(drawn[0])] == [5, 10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--data.downsample", "2"],
            "data.init_args.downsample is 2, but the adaptor's strides [2, 2] shorten clips by 4",
        ),
        (["--model.strides", "[]"], "model.init_args.strides: []"),
        (["--data.train", "nowhere.csv"], "nowhere.csv"),
        (["--data.max_frames", "0"], "data.max_frames (on the command line): must be at least 1, got 0"),
    ],
)
def test_what_cannot_work_is_said(
    options: list[str], message: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--config", run_file(tmp_path, root, "lora", "run"), *options]) != 0
    assert message in capsys.readouterr().err
