"""``python -m lit_llm predict``, killed again and again, writes the bytes of a run that was left alone (fp32)."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main

pytestmark = pytest.mark.slow

ROWS, BATCH, KILLS = 44, 4, 3
TARGET = "out.csv"
SEED = "LIT_LLM_KILL_SEED"
"""Environment variable that repeats the moments of an earlier run of this test."""


def write(path: Path, count: int) -> str:
    """Write rows of many lengths, with what a CSV file must quote, whose order is not that of their lengths."""
    lines = [
        {
            "id": f"fila-{i}",
            "text": f'código: K{i}, nombre: "Rafu ñ{i * 37};"\nnota: ' + "pan " * (i * 7 % 11),
            "json": {"n": i},
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def config(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``config.yaml`` of a LoRA run of two steps on the embedded base, with 44 rows to answer."""
    folder = tmp_path_factory.mktemp("run")
    adapter = {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 4}}
    settings: dict[str, Any] = {
        "seed_everything": 0,
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {
                "backbone": str(root / "checkpoints/qwen3-tiny"),
                "adapter": adapter,
                "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 64}},
            },
        },
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {
                "train": write(folder / "train.jsonl", 8),
                "test": {"one": write(folder / "test.jsonl", ROWS)},
                "batch_size": 4,
                "eval_batch_size": BATCH,
            },
        },
        "trainer": {
            "default_root_dir": str(folder / "run"),
            "max_steps": 2,
            "accelerator": "cpu",
            "precision": "32-true",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "callbacks": [
                {"class_path": "lit_llm.callbacks.RunCheckpoint"},
                {"class_path": "lit_llm.callbacks.PredictionWriter"},
            ],
        },
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["fit", "--config", str(folder / "run.yaml")]) == 0
    return folder / "run" / "config.yaml"


def start(config: Path, target: Path, root: Path) -> subprocess.Popen[str]:
    """Start predicting as a person would."""
    command = [sys.executable, "-m", "lit_llm", "predict", "--config", str(config), "--predictions", str(target)]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    log = target.with_suffix(".log").open("a")
    return subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log, text=True)


def written(target: Path) -> int:
    """Count the rows of the partial file."""
    partial = target.with_name(f"{target.name}.partial")
    return partial.read_bytes().count(b'\n"fila-') if partial.exists() else 0


def killed(config: Path, target: Path, root: Path, rows: int, delay: float) -> int:
    """Kill a run ``delay`` seconds after it has written a row and ``rows`` are there; return how many there are."""
    before = written(target)
    process = start(config, target, root)
    deadline = time.monotonic() + 120
    while written(target) < max(rows, before + 1):
        assert process.poll() is None, target.with_suffix(".log").read_text()[-2000:]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "it was over before it was killed"
    return written(target)


def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    config: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Fitting has seeded Python's own generator: the moments must not follow from it.
    seed = int(os.environ.get(SEED, random.SystemRandom().randrange(10**6)))
    draw = random.Random(seed)
    # The last batches are left out: a poll that comes late must not find the run over.
    moments = sorted(draw.sample(range(1, ROWS - 3 * BATCH), KILLS))
    whole, target = tmp_path / "whole.csv", tmp_path / TARGET
    assert start(config, whole, root).wait(120) == 0
    kept = [killed(config, target, root, rows, draw.uniform(0, 0.05)) for rows in moments]
    with capsys.disabled():
        print(f"\n{SEED}={seed}: killed with {kept} of {ROWS} rows written", flush=True)
    assert kept[0] > 0
    assert kept == sorted(set(kept)), "each run adds rows to those of the one before"
    assert kept[-1] < ROWS
    assert not target.exists()
    assert start(config, target, root).wait(120) == 0
    log = target.with_suffix(".log").read_text()
    assert [f"{rows} of {ROWS} rows are already there" in log for rows in kept] == [True] * KILLS
    assert target.read_bytes() == whole.read_bytes()
    with whole.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"fila-{i}" for i in range(ROWS)]
    assert len({row["raw"] for row in rows}) > ROWS / 2, "rows that all say the same would prove little"
    assert {path.name for path in tmp_path.glob(f"{TARGET}*")} == {TARGET, f"{TARGET}.run.json"}


@pytest.fixture(scope="module")
def begun(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prediction file of which three batches are there."""
    target = tmp_path_factory.mktemp("begun") / TARGET
    limit = ["--trainer.limit_predict_batches", "3"]
    assert main(["predict", "--config", str(config), "--predictions", str(target), *limit]) == 0
    assert written(target) == 3 * BATCH
    return target


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data.init_args.eval_batch_size", "8"], ["data.eval_batch_size: was 4, is 8"]),
        (["--model.init_args.merge", "true"], ["model.merge: was False, is True"]),
        (["--trainer.precision", "64-true"], ["model.precision: was 32-true, is 64-true"]),
        (
            ["--model.init_args.generator.init_args.max_new_tokens", "9"],
            ["model.generator: was", '"max_new_tokens": 9'],
        ),
        (["--data.init_args.predict", "other.jsonl"], ["data.rows: was", "rows: was"]),
        (["--ckpt_path", "none"], ["checkpoint: was", "is none"]),
        (
            ["--data.init_args.eval_batch_size", "8", "--model.init_args.merge", "true"],
            ["data.eval_batch_size: was 4, is 8; model.merge: was False, is True"],
        ),
    ],
)
def test_another_configuration_is_refused_with_its_keys(
    config: Path,
    begun: Path,
    options: list[str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(begun.parent)
    write(begun.parent / "other.jsonl", ROWS - 1)
    before = {path.name: path.read_bytes() for path in begun.parent.glob(f"{TARGET}*")}
    assert main(["predict", "--config", str(config), "--predictions", str(begun), *options]) == 1
    error = capsys.readouterr().err
    assert f"{begun} was begun with another configuration" in error
    assert [part for part in [*expected, "delete", "--predictions OTHER.csv"] if part not in error] == []
    assert {path.name: path.read_bytes() for path in begun.parent.glob(f"{TARGET}*")} == before
