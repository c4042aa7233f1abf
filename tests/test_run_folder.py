"""A run folder belongs together: refusals change nothing, the old is moved away, resuming says what it takes over."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lit_llm.__main__ import main
from lit_llm.arguments.resuming import changes
from lit_llm.errors import ConfigError
from lit_llm.results import content_hash, read_results

Snapshot = dict[str, tuple[bytes, int]]


def write(path: Path, count: int, first: int = 0) -> str:
    rows = [{"id": f"r{k}", "text": f"pide {k} tazas", "json": {"n": k}} for k in range(first, first + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run_file(folder: Path, root: Path) -> dict[str, Any]:
    """Two epochs of three steps on the tiny base, a validation at the end of each."""
    generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 3}}
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-3}}
    return {
        "seed_everything": 4,
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {
                "backbone": str(root / "checkpoints/qwen3-tiny"),
                "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 2}},
                "generator": generator,
                "metrics": [{"class_path": "lit_llm.metrics.ExtractionMetrics"}],
                "optimizer": optimizer,
            },
        },
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {
                "train": write(folder / "train.jsonl", 6),
                "valid": write(folder / "valid.jsonl", 2),
                "test": {"one": write(folder / "one.jsonl", 3, 50)},
                "batch_size": 2,
            },
        },
        "trainer": {
            "default_root_dir": str(folder / "run"),
            "max_epochs": 2,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            "num_sanity_val_steps": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [{"class_path": "lit_llm.callbacks.LabelAudit"}],
        },
    }


@pytest.fixture(scope="module")
def done(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was trained, tested and has answered its test."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "run.yaml").write_text(yaml.safe_dump(run_file(folder, root)))
    for verb in ("fit", "test", "predict"):
        assert main([verb, "--config", str(folder / "run.yaml")]) == 0
    return folder


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    """A copy of that run, in its own folder."""
    shutil.copytree(done / "run", tmp_path / "run", copy_function=shutil.copy2)
    text = (tmp_path / "run/config.yaml").read_text().replace(str(done / "run"), str(tmp_path / "run"))
    (tmp_path / "run/config.yaml").write_text(text)
    return tmp_path / "run"


def snapshot(folder: Path) -> Snapshot:
    return {
        str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def start(verb: str, run: Path, *options: str) -> int:
    return main([verb, "--config", str(run / "config.yaml"), *options])


def changed(folder: Path) -> list[str]:
    """Files of other data: fewer rows, and as many that say something else."""
    return [write(folder / "fewer.jsonl", 4), write(folder / "others.jsonl", 6, 90)]


TRAINED = ("fit", "validate", "test", "predict")
LAST = ("--ckpt_path", "last")
REFUSED: dict[str, tuple[str, list[str], str]] = {
    "another batch size amid nothing": ("fit", ["--data.batch_size", "3"], "already holds a run"),
    "another rank": ("fit", [*LAST, "--model.adapter.r", "8"], r"adapter\.init_args\.r: the run has 2, this command 8"),
    "nothing to train": ("fit", ["--overwrite", "true", "--trainer.max_epochs", "0"], "nothing would be trained"),
    "another seed": ("fit", [*LAST, "--seed_everything", "5"], "seed_everything: the run has 4, this command 5"),
    "another optimizer": ("fit", [*LAST, "--model.optimizer", "torch.optim.SGD"], "optimizer.class_path"),
    "two of them": ("fit", [*LAST, "--model.adapter.r", "8", "--seed_everything", "5"], "seed_everything.*adapter"),
    "other rows": ("fit", [*LAST, "--trainer.max_epochs", "3", "--data.train", "others.jsonl"], "other rows"),
    "fewer rows": ("fit", [*LAST, "--trainer.max_epochs", "3", "--data.train", "fewer.jsonl"], "had 6 rows"),
    "another instruction": ("fit", [*LAST, "--data.instruction", "Otra:"], "instruction"),
    "no such base": ("fit", [*LAST, "--model.backbone", "checkpoints/nowhere"], "nowhere"),
    "going on and replacing": ("fit", [*LAST, "--overwrite", "true"], "leave one of them out"),
    "a mistyped monitor": (
        "fit",
        ["--overwrite", "true", "--trainer.callbacks+", "EarlyStopping", "--trainer.callbacks.monitor", "val/feild_f1"],
        r"EarlyStopping.monitor is 'val/feild_f1'.*did you mean 'val/field_f1'",
    ),
    "a bad row": ("fit", ["--overwrite", "true", "--data.train", "bad.jsonl"], "bad.jsonl:2"),
    "a bad row of the validation": ("fit", ["--overwrite", "true", "--data.valid", "bad.jsonl"], "bad.jsonl:2"),
    "no such checkpoint": ("fit", ["--ckpt_path", "absent.ckpt"], "there is no absent.ckpt"),
    "test with another rank": ("test", ["--model.adapter.r", "8"], "does not fit"),
    "test of no file": ("test", ["--data.test", '{"a": "absent.jsonl"}'], "absent.jsonl"),
    "validate with another instruction": ("validate", ["--data.instruction", "Otra:"], "template"),
    "validate a bad row": ("validate", ["--data.valid", "bad.jsonl"], "bad.jsonl:2"),
    "predict other rows": ("predict", ["--data.predict", "others.jsonl"], "begun with another configuration"),
    "predict with other weights": ("predict", [*LAST, "--model.merge", "true"], "begun with another configuration"),
    "export to what is there": ("export", ["--merged", "run"], "run"),
    "export of no checkpoint": ("export", ["--merged", "new", "--checkpoint", "absent"], "absent"),
    "quantize by no method": ("quantize", ["--out", "new", "--method", "magic"], "magic"),
}


FAST = {"another rank", "two of them", "other rows", "a mistyped monitor", "a bad row", "test with another rank"}


@pytest.mark.parametrize("case", [pytest.param(x, marks=[] if x in FAST else pytest.mark.slow) for x in REFUSED])
def test_a_refused_command_changes_nothing(
    case: str, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verb, options, message = REFUSED[case]
    monkeypatch.chdir(run.parent)
    changed(run.parent)
    (run.parent / "bad.jsonl").write_text('{"id": "a", "text": "x", "json": {}}\n{"id": "b", "text": 5}\n')
    before = snapshot(run.parent)
    try:
        status = (
            main([verb, "--run", "run", *options]) if verb in ("export", "quantize") else start(verb, run, *options)
        )
    except SystemExit as stop:
        status = int(stop.code or 0)
    said = capsys.readouterr().err
    assert status in (1, 2), said
    assert re.search(message, said, re.DOTALL), said[-800:]
    assert snapshot(run.parent) == before


def test_a_run_that_fails_before_its_first_step_has_not_replaced_the_old_one(run: Path, capsys: Any) -> None:
    before = snapshot(run)
    options = ["--overwrite", "true", "--model.optimizer", "torch.optim.SGD", "--model.optimizer.nesterov", "true"]
    assert start("fit", run, *options) == 1
    assert "Nesterov" in capsys.readouterr().err
    assert snapshot(run) == before


def test_overwriting_sets_all_of_the_old_run_aside(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = {name: content for name, (content, _) in snapshot(run).items()}
    stop = ["--trainer.callbacks+", "tests.recording.StopAt", "--trainer.callbacks.batch", "2"]
    assert start("fit", run, "--overwrite", "true", *stop, "--trainer.callbacks.how", "error") == 1
    present = {path.name for path in run.iterdir()}
    assert present - {"audit.json", "config.yaml", "history.jsonl", "metrics.csv", "replaced"} == {
        path.name for path in run.glob("events.*")
    }
    [kept] = (run / "replaced").iterdir()
    moved = {name.replace("replaced.", "tfevents."): content for name, (content, _) in snapshot(kept).items()}
    assert {name: content for name, content in moved.items() if name != "."} == {
        name: content for name, content in old.items() if name != "."
    }
    assert len(list(run.rglob("*tfevents*"))) == 1, "TensorBoard would show the old run as one more"
    capsys.readouterr()
    for verb, options in {"test": [], "predict": [], "export": ["--run", str(run), "--merged", str(run / "m")]}.items():
        status = main([verb, *options]) if options else start(verb, run)
        assert status == 1, verb
    assert main(["compare", str(run), str(run)]) == 1
    assert "overwrite: false" in (run / "config.yaml").read_text(), "the saved file would replace its own run"


def test_predictions_of_other_weights_are_refused_by_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reads = {"compare": [str(run)], "gate": ["leakage", str(run)]}
    assert main(["compare", str(run)]) == 0
    assert start("fit", run, *LAST, "--trainer.max_epochs", "3") == 0
    torch.save(torch.load(run / "last.ckpt", weights_only=True), run / "best.ckpt")
    capsys.readouterr()
    before = snapshot(run)
    for verb, options in reads.items():
        assert main([verb, *options]) == 1
        assert "predictions.csv: was made by other weights" in capsys.readouterr().err
    assert snapshot(run) == before
    assert main(["compare", str(run / "predictions.csv")]) == 0, "named as a file it is what it is"


def rates(run: Path) -> dict[int, float]:
    with (run / "metrics.csv").open() as file:
        return {int(r["step"]): float(r["value"]) for r in csv.DictReader(file) if r["name"] == "train/lr"}


def test_a_longer_run_follows_its_new_schedule_from_the_first_step(run: Path, caplog: Any) -> None:
    old = (run / "config.yaml").read_text()
    options = ["--trainer.max_epochs", "3", "--model.optimizer.lr", "5e-4", "--model.schedule.warmup", "0"]
    # It looks at the end of the epoch for what the validation before the checkpoint has logged.
    options += ["--trainer.callbacks+", "EarlyStopping", "--trainer.callbacks.monitor", "val/loss"]
    assert start("fit", run, *LAST, *options) == 0
    found = rates(run)
    from lit_llm.models import Schedule

    planned = Schedule(warmup=0)
    assert [found[step] for step in (6, 7, 8)] == pytest.approx([5e-4 * planned.factor(k, 9) for k in (6, 7, 8)])
    assert found[6] > found[7] > found[8] > 0
    now = yaml.safe_load((run / "config.yaml").read_text())
    assert (now["model"]["init_args"]["optimizer"]["init_args"]["lr"], now["trainer"]["max_epochs"]) == (5e-4, 3)
    assert now["ckpt_path"] is None
    wanted = {"model.init_args.optimizer.init_args.lr", "trainer.max_epochs", "model.init_args.schedule"}
    wanted.add("trainer.callbacks")
    begun, gone_on = map(json.loads, (run / "history.jsonl").read_text().splitlines())
    assert (begun["step"], gone_on["step"], set(gone_on["changed"])) == (0, 6, wanted)
    assert "going on from" in caplog.text
    assert "model.init_args.optimizer.init_args.lr: 0.001 → 0.0005" in caplog.text
    assert yaml.safe_load(old)["trainer"]["max_epochs"] == 2


@pytest.mark.slow
def test_two_trainings_in_one_fresh_folder_are_told_apart_and_a_killed_one_leaves_no_lock(
    done: Path, tmp_path: Path, root: Path, capsys: Any
) -> None:
    fit = ["fit", "--config", str(done / "run.yaml"), "--trainer.default_root_dir", str(tmp_path / "run")]
    fit += ["--trainer.max_epochs", "1", "--trainer.callbacks+", "tests.recording.Meanwhile"]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    other = subprocess.Popen([sys.executable, "-m", "lit_llm", *fit], env=environment, cwd=root)
    try:
        while not (tmp_path / "waiting").exists():
            assert other.poll() is None
            time.sleep(0.1)
        before = snapshot(tmp_path / "run")
        assert main(fit) == 1
        assert "another fit is training in" in capsys.readouterr().err
        assert snapshot(tmp_path / "run") == before
    finally:
        other.kill()
        other.wait()
    assert main([*fit, "--trainer.callbacks.path", str(tmp_path / "elsewhere")]) == 0


@pytest.mark.slow
def test_a_run_that_another_process_has_made_meanwhile_is_left_alone(done: Path, tmp_path: Path, capsys: Any) -> None:
    other = tmp_path / "run/last.ckpt"
    fit = ["fit", "--config", str(done / "run.yaml"), "--trainer.default_root_dir", str(tmp_path / "run")]
    assert (
        main([*fit, "--trainer.callbacks+", "tests.recording.Meanwhile", "--trainer.callbacks.path", str(other)]) == 1
    )
    assert "another process has trained in" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["last.ckpt"]


@pytest.mark.slow
def test_other_rows_of_the_validation_are_said_and_a_timer_is_recorded(run: Path, caplog: Any) -> None:
    others = changed(run.parent)[1]
    options = ["--trainer.max_epochs", "3", "--data.valid", others, "--trainer.callbacks+", "Timer"]
    assert start("fit", run, *LAST, *options, "--trainer.callbacks.duration", "00:06:00:00") == 0
    assert "measured on other rows" in caplog.text
    listed = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["callbacks"]
    assert next(each["init_args"]["interval"] for each in listed if each["class_path"].endswith(".Timer")) == "step"


def test_the_default_optimizer_may_be_named_and_its_rate_changed(tmp_path: Path) -> None:
    def config(optimizer: Any) -> dict[str, Any]:
        return {"model": {"class_path": "lit_llm.models.CausalLM", "init_args": {"optimizer": optimizer}}}

    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config("lit_llm.models.base.adamw")))
    named = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-5, "weight_decay": 0.01, "betas": [0.9, 0.95]}}
    assert changes(tmp_path, config(named)) == [("model.init_args.optimizer.init_args.lr", 2e-4, 1e-5)]
    with pytest.raises(ConfigError, match=r"optimizer.class_path: the run has torch.optim.AdamW, this command .*SGD"):
        changes(tmp_path, config({"class_path": "torch.optim.SGD", "init_args": {"lr": 1e-5}}))


def test_callbacks_are_compared_one_by_one_where_others_come_and_go(tmp_path: Path) -> None:
    def config(*callbacks: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        return {"trainer": {"callbacks": [{"class_path": name, "init_args": made} for name, made in callbacks]}}

    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config(("Bar", {}), ("EarlyStopping", {"patience": 2}))))
    found = changes(tmp_path, config(("EarlyStopping", {"patience": 5}), ("Timer", {"duration": None})))
    assert [key for key, _, _ in found] == ["trainer.callbacks.0.init_args.patience", "trainer.callbacks"]
    assert found[0][1:] == (2, 5)


def test_a_run_that_is_over_says_so_and_changes_nothing(run: Path) -> None:
    before = snapshot(run)
    assert start("fit", run, *LAST, "--model.optimizer.lr", "5e-4") == 0
    assert snapshot(run) == before, "no step was made with the other learning rate"


def test_going_on_from_an_earlier_checkpoint_sets_the_later_one_aside(run: Path) -> None:
    shutil.copy(run / "last.ckpt", run / "mine.ckpt")
    state = torch.load(run / "best.ckpt", weights_only=True)
    stop = [
        "--trainer.callbacks+",
        "tests.recording.StopAt",
        "--trainer.callbacks.batch",
        str(state["global_step"] + 1),
    ]
    options = ["--ckpt_path", "best", "--trainer.max_epochs", "4", *stop, "--trainer.callbacks.how", "error"]
    ahead = state["global_step"] < 6
    assert start("fit", run, *options) == 1
    assert (run / "last.ckpt").exists() is not ahead
    assert max(rates(run)) <= state["global_step"]


@pytest.mark.parametrize("verb", ["test", "predict", "validate"])
def test_stopped_before_the_first_validation_the_last_checkpoint_is_named(run: Path, verb: str, capsys: Any) -> None:
    (run / "best.ckpt").unlink()
    assert start(verb, run) == 1
    assert "--ckpt_path last" in capsys.readouterr().err


def test_results_say_which_weights_they_are_of(run: Path) -> None:
    [result] = read_results(run)
    assert result.checkpoint is not None
    assert result.checkpoint["sha256"] == content_hash(run / "best.ckpt")
    assert result.data["one"]["rows"] == 3
    assert sum(result.statuses["one"].values()) == 3


@pytest.mark.parametrize(
    ("callback", "monitor", "expected"),
    [
        ("EarlyStopping", "val/los", "did you mean 'val/loss'"),
        ("lit_llm.callbacks.RunCheckpoint", "valid/field_f1", "did you mean 'val/field_f1'"),
        ("ModelCheckpoint", "train/los", "did you mean 'train/loss'"),
        ("EarlyStopping", "test/one/field_f1", "It logs: val/"),
        ("EarlyStopping", "val/field_f1", None),
        ("EarlyStopping", "val/schema_valid", "It logs"),
    ],
)
def test_a_monitor_that_is_never_logged_is_refused_before_the_model_is_opened(
    done: Path, tmp_path: Path, callback: str, monitor: str, expected: str | None, capsys: Any
) -> None:
    options = ["--trainer.default_root_dir", str(tmp_path / "new"), "--trainer.max_steps", "0"]
    options += ["--trainer.callbacks+", callback, "--trainer.callbacks.monitor", monitor]
    status = main(["fit", "--config", str(done / "run.yaml"), *options])
    said = capsys.readouterr().err
    assert (status == 0) is (expected is None), said
    assert not (tmp_path / "new").exists()
    if expected:
        assert expected in said
        assert "Loading weights" not in said
