"""CLaRa from the command line: each stage learns, from the one before, and goes on where it was killed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lit_llm.__main__ import main
from tests import short_runs
from tests.clara_rows import WORDS, among, fit, logged, run_file, single, write

ADAM = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-2, "weight_decay": 0.0}}
RECORDING = {"class_path": "tests.recording.RecordingAdamW"}
THREE = {"stage": "end_to_end"}


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows, and a run of two steps of the first stage."""
    folder = tmp_path_factory.mktemp("clara")
    rows = write(folder / "one.jsonl", single(8, 0))
    write(folder / "three.jsonl", among(8, 3, 0))
    fit(run_file(folder, "first", rows, rows, {}, data={"batch_size": 4}, trainer={"max_epochs": 1}))
    return folder


def third(short: Path, folder: Path, start: Path | str, **model: Any) -> Path:
    rows = str(short / "three.jsonl")
    settings = THREE | {"start_from": str(start)} | model
    return run_file(
        folder, "third", rows, rows, settings, data={"reads": 1, "batch_size": 4}, trainer={"max_epochs": 1}
    )


def test_a_run_is_a_folder_of_parts_that_the_next_stage_takes_over(
    short: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = short / "first"
    assert {"memory.safetensors", "clara.json", "compressor"} <= {path.name for path in (first / "adapter").iterdir()}
    rows = str(short / "one.jsonl")
    second = fit(run_file(tmp_path, "second", rows, rows, {"stage": "instruct", "start_from": str(first)}))
    assert f"taken over from {first}: generator, compressor, memory" in caplog.text
    run = fit(third(short, tmp_path, second))
    assert "reasoner (a copy of the compressor)" in caplog.text
    # What passages become stays as it is, to the bit.
    for name in ("memory.safetensors", "compressor/adapter_model.safetensors"):
        before, behind = load_file(second / "adapter" / name), load_file(run / "adapter" / name)
        assert all(torch.equal(before[key], behind[key]) for key in before)
    before, behind = (load_file(path / "adapter/adapter_model.safetensors") for path in (second, run))
    assert any(not torch.equal(before[key], behind[key]) for key in before)
    assert (run / "adapter/reasoner").is_dir()
    (tmp_path / "again").mkdir()
    caplog.clear()
    fit(third(short, tmp_path / "again", run))
    assert "memory, reasoner" in caplog.text and "a copy" not in caplog.text


def test_predictions_name_what_was_read(short: Path, tmp_path: Path) -> None:
    run = fit(third(short, tmp_path, short / "first"))
    options = ["--data.init_args.test.t", str(short / "three.jsonl")]
    for verb in ("test", "predict"):
        assert main([verb, "--config", str(run / "config.yaml"), *options]) == 0
    with (run / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    for row in rows:
        meta = json.loads(row["meta"])
        assert [sorted(passage) for passage in meta["passages"]] == [["document", "end", "score", "start"]]
        assert len(meta["positives"]) == 1
    recall = [meta["passages"][0]["document"] in meta["positives"] for meta in (json.loads(r["meta"]) for r in rows)]
    results = json.loads(next((run / "results").glob("test-*.json")).read_text())
    assert results["scores"]["t"]["recall@1"] == sum(recall) / 8
    assert (run / "best.ckpt").exists()


@pytest.mark.parametrize(
    ("harm", "model", "said"),
    [
        ("compressor/adapter_model.safetensors", {}, "lacks its compressor"),
        pytest.param("memory.safetensors", {}, "lacks its memory", marks=pytest.mark.slow),
        ("clara.json", {}, "there is no clara.json"),
        ("", {"rate": 8}, "was trained with rate 4, and this run has 8"),
        pytest.param("", {"passage_tokens": 32}, "was trained with passage_tokens 16", marks=pytest.mark.slow),
        (
            "",
            {"reasoner": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 2}}},
            "has other layers, another rank",
        ),
        (
            "",
            {"reasoner": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 16, "alpha": 64}}},
            "another scale",
        ),
        ("", {"loading": {"random_init": True, "config_overrides": {"num_hidden_layers": 1}}}, "trained with base"),
        ("", {"start_from": None}, "start_from: the stage end_to_end goes on from a run"),
        pytest.param("", {"start_from": "nowhere"}, "there is no clara.json in nowhere", marks=pytest.mark.slow),
    ],
)
def test_parts_that_are_missing_or_foreign_are_named(
    harm: str, model: dict[str, Any], said: str, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = tmp_path / "start"
    shutil.copytree(short / "first", start)
    if harm:
        (start / "adapter" / harm).unlink()
    assert main(["fit", "--config", str(third(short, tmp_path, start, **model))]) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_verbs_that_a_run_cannot_do_say_why(short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(short / "first")
    for command, said in {
        ("ask", "--run", run, "hola"): "a question is answered from passages",
        ("export", "--run", run, "--merged", str(tmp_path / "m")): "share one backbone",
        ("export", "--run", run, "--gguf", str(tmp_path / "m.gguf")): "share one backbone",
        ("quantize", "--run", run, "--output", str(tmp_path / "q")): "share one backbone",
    }.items():
        assert main(list(command)) == 1
        assert said in " ".join(capsys.readouterr().err.split()), command
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"stage": "compress", "reads": 1}, "data.init_args.reads is 1: the stage compress reads all passages"),
        ({"stage": "end_to_end", "reads": None}, "data.init_args.reads: the stage end_to_end chooses passages"),
        ({"stage": "compress", "reads": None, "passage_tokens": 8}, "data.init_args.passage_tokens is 8, and model"),
    ],
)
def test_data_that_a_stage_cannot_learn_from_is_refused(
    settings: dict[str, Any], said: str, short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, stage = str(short / "three.jsonl"), settings.pop("stage")
    model = {"stage": stage, "start_from": str(short / "first")}
    assert main(["fit", "--config", str(run_file(tmp_path, "run", rows, rows, model, data=settings))]) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_another_model_makes_no_vectors(short: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = third(short, tmp_path, short / "first")
    config = json.loads(path.read_text())
    config["model"]["class_path"] = "lit_llm.models.CausalLM"
    for key in ("stage", "rate", "passage_tokens", "start_from"):
        config["model"]["init_args"].pop(key)
    path.write_text(json.dumps(config))
    assert main(["fit", "--config", str(path)]) == 1
    assert "CausalLM makes no vectors of passages" in " ".join(capsys.readouterr().err.split())
    options = ["--data.init_args.passages", "text", "--data.init_args.reads", "null", "--trainer.max_steps", "1"]
    assert main(["fit", "--config", str(path), *options]) == 0


def on_processes(path: Path, devices: int, root: Path, size: int) -> None:
    options = [f"--trainer.devices={devices}", f"--data.init_args.batch_size={size}", "--trainer.precision=64-true"]
    options += [f"--trainer.strategy={'ddp' if devices > 1 else 'auto'}", "--trainer.logger=false"]
    if devices == 1:
        fit(path, *options)
        return
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "lit_llm", "fit", "--config", str(path), *options]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["compress", "end_to_end"])
def test_two_processes_give_the_gradients_of_one(stage: str, short: Path, tmp_path: Path, root: Path) -> None:
    rows = [*single(3, 5), *among(5, 3, 6)] if stage == "compress" else among(8, 3, 6)
    rows[0]["answer"] += " y más"
    train = write(tmp_path / "rows.jsonl", rows)
    found = []
    for devices in (1, 2):
        optimizer = RECORDING | {"init_args": {"folder": str(tmp_path / f"gradients{devices}")}}
        model = {"optimizer": optimizer} | (THREE | {"start_from": str(short / "first")} if stage != "compress" else {})
        data = {"reads": 2} if stage != "compress" else {}
        path = run_file(tmp_path, f"run{devices}", train, train, model, data=data, trainer={"max_steps": 1})
        on_processes(path, devices, root, 8 // devices)
        file = sorted((tmp_path / f"gradients{devices}").glob("*.pt"))[0]
        found.append(torch.cat([g.flatten() for g in torch.load(file, weights_only=True)]).double())
    torch.testing.assert_close(found[1], found[0], rtol=1e-6, atol=1e-6 * float(found[0].abs().max()))


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["compress", "instruct", "end_to_end"])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(stage: str, short: Path, tmp_path: Path, root: Path) -> None:
    model: dict[str, Any] = {"adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 4, "dropout": 0.1}}}
    rows, data = write(tmp_path / "rows.jsonl", single(8, 0)), {"batch_size": 2}
    if stage != "compress":
        first = fit(run_file(tmp_path, "first", rows, rows, model, trainer={"max_epochs": 1}))
        rows = write(tmp_path / "two.jsonl", among(8, 2, 0)) if stage == "instruct" else str(short / "three.jsonl")
        data |= {} if stage == "instruct" else {"reads": 1}
        model |= {"stage": stage, "start_from": str(first)}
    kept = {"class_path": "lit_llm.callbacks.RunCheckpoint", "init_args": {"every_n_steps": 2}}
    stop = {"class_path": "tests.recording.StopAt", "init_args": {"batch": 7, "how": "SIGKILL"}}

    def written(name: str, *others: dict[str, Any]) -> Path:
        trainer = {"max_epochs": 3, "callbacks": [kept, *others]}
        return run_file(tmp_path, name, rows, rows, model, data=data, trainer=trainer)

    fit(written("whole"))
    command = [sys.executable, "-m", "lit_llm", "fit", "--config", str(written("parts", stop))]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    assert subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=300).returncode == -9
    if stage != "compress":
        shutil.rmtree(tmp_path / "first")  # a run that goes on has parts of its own
    fit(written("parts"), "--ckpt_path", "last")
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "parts")]
    assert states[0].keys() == states[1].keys()
    assert any("compressor" in key for key in states[0]) and "memory" in states[0]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
def test_the_last_stage_goes_on_from_an_earlier_one_in_four_bits(short: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    run = fit(third(short, tmp_path, short / "first", quantizer={"class_path": "lit_llm.quantization.NF4"}))
    assert (
        main(["test", "--config", str(run / "config.yaml"), "--data.init_args.test.t", str(short / "three.jsonl")]) == 0
    )


@pytest.mark.slow
def test_passages_are_written_down_again_and_others_where_others_stand(tmp_path: Path) -> None:
    texts = [" ".join(WORDS[(k * 7 + j * (k % 5 + 1)) % 32] for j in range(8)) for k in range(20)]
    rows = write(
        tmp_path / "t.jsonl", [{"id": f"r{k}", "question": "x", "answer": t, "docs": [t]} for k, t in enumerate(texts)]
    )
    trainer = {"max_epochs": 80, "check_val_every_n_epoch": 40}
    run = fit(run_file(tmp_path, "copy", rows, rows, {"optimizer": ADAM}, data={"batch_size": 20}, trainer=trainer))
    assert logged(run, "val/em")[-1] == 1.0
    assert logged(run, "val/rolled/em")[-1] == 0.0


@pytest.fixture(scope="module")
def compressor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned to answer from the vectors of passages that it has never seen."""
    folder = tmp_path_factory.mktemp("learned")
    train, valid = write(folder / "train.jsonl", single(9600, 0)), write(folder / "valid.jsonl", single(128, 1))
    trainer = {"max_epochs": 1, "val_check_interval": 100}
    return fit(run_file(folder, "one", train, valid, {}, trainer=trainer))


@pytest.mark.slow
def test_questions_are_answered_from_unseen_passages(compressor: Path) -> None:
    assert max(logged(compressor, "val/em")) >= 0.9
    assert max(logged(compressor, "val/rolled/em")) <= 0.15
    rows = str(compressor.parent / "valid.jsonl")
    for how in ("rolled", "zeroed"):
        options = ["--data.corrupt", how, "--data.init_args.test", json.dumps({how: rows})]
        assert main(["test", "--config", str(compressor / "config.yaml"), *options]) == 0
        assert short_runs.logged(compressor)[f"test/{how}/em"] <= 0.15


@pytest.mark.slow
def test_passages_are_found_by_the_loss_of_the_answer_alone(compressor: Path, tmp_path: Path) -> None:
    train, valid = write(tmp_path / "train.jsonl", among(6400, 4, 0)), write(tmp_path / "valid.jsonl", among(256, 4, 1))
    optimizer = ADAM | {"init_args": {"lr": 2e-3, "weight_decay": 0.0}}
    model = THREE | {"start_from": str(compressor), "optimizer": optimizer}
    trainer = {"max_epochs": 2, "val_check_interval": 200}
    run = fit(run_file(tmp_path, "three", train, valid, model, data={"reads": 1}, trainer=trainer))
    # By chance it would be a quarter.
    assert logged(run, "val/recall@1")[-1] >= 0.4
