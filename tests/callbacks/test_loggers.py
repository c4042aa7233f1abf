"""Loggers beside TensorBoard: chosen as people name them, and shown what TensorBoard is shown."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from lit_llm.__main__ import main
from lit_llm.callbacks.boards import cell, table
from lit_llm.callbacks.loggers import loggers_of, name_runs
from lit_llm.callbacks.pages import _artifact, _cells


def kinds(configured: Any, folder: Path, verb: str = "fit") -> list[str]:
    return [type(logger).__name__ for logger in loggers_of(configured, str(folder), verb)]


def test_tensorboard_stays_beside_what_is_named(tmp_path: Path) -> None:
    other = CSVLogger(tmp_path)
    assert kinds(None, tmp_path) == kinds(True, tmp_path) == kinds([], tmp_path) == ["Events"]
    assert kinds(other, tmp_path) == kinds([other], tmp_path) == ["Events", "CSVLogger"]
    own = TensorBoardLogger(tmp_path)
    assert kinds([other, own], tmp_path) == ["CSVLogger", "TensorBoardLogger"]
    assert kinds(False, tmp_path) == []
    assert kinds([own, other], tmp_path, "test") == ["CSVLogger"]


def test_a_run_is_called_as_its_folder_unless_it_has_a_name() -> None:
    def named(kind: str, **arguments: Any) -> dict[str, Any]:
        entry = SimpleNamespace(class_path=f"lightning.pytorch.loggers.{kind}", init_args=arguments)
        name_runs([entry], "checkpoints/pedidos")
        return arguments

    assert named("WandbLogger", name=None) == {"name": "pedidos"}
    assert named("MLFlowLogger", run_name=None) == {"run_name": "pedidos"}
    assert named("WandbLogger", name="otro") == {"name": "otro"}
    assert named("CSVLogger", name=None) == {"name": None}


def test_a_table_comes_back_from_its_markdown_as_it_was_written() -> None:
    rows = [["a | b", "dos\nlíneas"], ["*c*", '{"k":[1]}']]
    markdown = table(["x", "y"], [[cell(text) for text in row] for row in rows])
    assert _cells(markdown) == [["x", "y"], *rows]
    assert _cells("plain | text") == [["text"], ["plain | text"]]


def test_names_of_artifacts_are_paths_that_every_store_takes() -> None:
    assert _artifact("clips/año 3:b?", 12, "png") == "clips/año 3_b_/00000012.png"


def test_a_logger_by_its_name_alone(short_runs: Path, tmp_path: Path) -> None:
    run = ["fit", "--config", str(short_runs / "plain.yaml"), "--trainer.default_root_dir", str(tmp_path / "run")]
    log = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", str(tmp_path / "csv")]
    assert main([*run, *log, "--trainer.log_every_n_steps=1"]) == 0
    assert list((tmp_path / "run").glob("events.*"))
    (written,) = (tmp_path / "csv").rglob("metrics.csv")
    assert "train/loss" in written.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
def test_samples_and_figures_reach_real_loggers(
    short_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    pytest.importorskip(kind)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    settings = json.loads((short_runs / "plain.yaml").read_text())
    settings["data"]["init_args"]["valid"] = str(short_runs / "rows.jsonl")
    settings["model"]["init_args"]["metrics"] = [{"class_path": "lit_llm.metrics.ExtractionMetrics"}]
    settings["trainer"] |= {"default_root_dir": str(tmp_path / "mayo"), "log_every_n_steps": 1}
    settings["trainer"]["callbacks"] = [{"class_path": f"lit_llm.callbacks.{n}"} for n in ("SampleTable", "FieldBars")]
    (tmp_path / "run.yaml").write_text(json.dumps(settings))
    name = {"wandb": "WandbLogger", "mlflow": "lightning.pytorch.loggers.MLFlowLogger"}[kind]
    logger = ["--trainer.logger", name, "--trainer.logger.save_dir", str(tmp_path / "logs")]
    assert main(["fit", "--config", str(tmp_path / "run.yaml"), *logger]) == 0
    assert list((tmp_path / "mayo").glob("events.*"))
    files = {path.relative_to(tmp_path / "logs").as_posix(): path for path in (tmp_path / "logs").rglob("*.*")}
    (samples,) = [path for file, path in files.items() if "/samples" in file]
    assert "quiero" in samples.read_text() and [file for file in files if "fields" in file and file.endswith(".png")]
    if kind == "wandb":
        import wandb

        shown = json.loads(samples.read_text())
        assert shown["columns"] == ["", "text", "reference", "prediction", "differs"] and len(shown["data"]) == 8
        assert wandb.run is not None and wandb.run.name == "mayo"
        wandb.finish()
    else:
        (value,) = (tmp_path / "logs").rglob("metrics/train/loss")
        assert len(value.read_text().splitlines()) == 2
        assert [path.read_text() for path in (tmp_path / "logs").rglob("mlflow.runName")] == ["mayo"]
