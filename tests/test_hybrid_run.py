"""The demo's run file on tiny hybrid bases: each verb, killed fits and predictions, and what is handed on."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit_llm.__main__ import main
from tests import families
from tests.test_predict_kill import killed

pytestmark = pytest.mark.slow

DEMO = "configs/run/extraction_tiny.yaml"
ASKED = 200
OPENED = "{{- '<think>\\n' }}"
CASES = {
    "qwen3_5": (True, ["--model.adapter.target_modules", "all-linear"]),
    "qwen3_next": (False, []),
}
"""Whether the prompt opens a thought, as the template of a thinking model does, and options, by family."""


@pytest.fixture(scope="module")
def orders(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of few orders to learn from, and of many texts of unlike length to answer."""
    folder = tmp_path_factory.mktemp("orders")
    lines = (root / "configs/data/orders/train.jsonl").read_text().splitlines(keepends=True)
    for name, part in {"train": lines[:24], "valid": lines[24:28], "test": lines[28:32]}.items():
        (folder / f"{name}.jsonl").write_text("".join(part))
    texts = [json.loads(line)["text"] for line in lines[:ASKED]]
    rows = [{"id": f"fila-{at}", "text": " ".join(texts[at : at + 1 + at % 7])[: 1 + at]} for at in range(ASKED)]
    (folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def options(run: Path, base: Path, orders: Path, *more: str) -> list[str]:
    """Return how to fit two epochs of three steps."""
    settings = {
        "model.backbone": base,
        "model.generator.max_new_tokens": 10,
        "data.train": orders / "train.jsonl",
        "data.valid": orders / "valid.jsonl",
        "data.test": json.dumps({"known": str(orders / "test.jsonl")}),
        "data.predict": orders / "asked.jsonl",
        "data.augmentation_factor": 1,
        "trainer.default_root_dir": run,
        "trainer.max_epochs": 2,
        "trainer.enable_progress_bar": "false",
    }
    return [
        "fit",
        "--config",
        DEMO,
        *(part for key, value in settings.items() for part in (f"--{key}", str(value))),
        *more,
    ]


def end(run: Path) -> tuple[dict[str, torch.Tensor], list[tuple[str, str, str]]]:
    """Return what a run has learned, and its losses and scores by step."""
    with (run / "metrics.csv").open(newline="") as file:
        kept = [row for row in csv.DictReader(file) if row["name"].startswith(("train/loss", "val/"))]
    weights = torch.load(run / "last.ckpt", weights_only=True)["state_dict"]
    return weights, [(row["step"], row["name"], row["value"]) for row in kept]


def based(folder: Path, family: str, thinks: bool) -> Path:
    """Write a base, whose template ends thoughts unless they are wanted, or opens one whatever is asked."""
    families.folder(folder, family, initializer_range=0.2)
    template = folder / "chat_template.jinja"
    if thinks:
        before, _, _ = template.read_text().rpartition("{%- if enable_thinking is defined")
        template.write_text(before + OPENED + "\n{%- endif %}")
    return folder


@pytest.mark.parametrize("family", CASES)
def test_the_demo_runs_on_a_hybrid_base(
    family: str, orders: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    thinks, more = CASES[family]
    base, whole, run = based(tmp_path / "base", family, thinks), tmp_path / "whole", tmp_path / "run"
    assert main(options(whole, base, orders, *more)) == 0
    stop = ["--trainer.callbacks+=tests.recording.StopAt", "--trainer.callbacks.batch=4"]
    command = [sys.executable, "-m", "lit_llm", *options(run, base, orders, *more), *stop]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--trainer.callbacks.how=SIGKILL"], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr[-2000:]
    assert "falling back" not in done.stderr
    assert main([*options(run, base, orders, *more), "--ckpt_path", "last"]) == 0
    (expected, scores), (found, again) = end(whole), end(run)
    assert again == scores
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert any("linear_attn" in name for name in found) == bool(more)
    config = run / "config.yaml"
    assert main(["validate", "--config", str(config)]) == 0
    assert main(["test", "--config", str(config)]) == 0
    answer(config, tmp_path, root, kill=not thinks)
    hand_on(run, tmp_path, experts=family in families.MOE)


def answer(config: Path, folder: Path, root: Path, kill: bool) -> None:
    """Texts of a batch are those of each row alone, also where a prediction is killed and goes on."""
    predict = ["predict", "--config", str(config), "--predictions"]
    assert main([*predict, str(folder / "alone.csv"), "--data.eval_batch_size", "1"]) == 0
    if kill:
        assert 0 < killed(config, folder / "many.csv", root, 1, 0) < ASKED
    assert main([*predict, str(folder / "many.csv")]) == 0
    alone, many = rows(folder / "alone.csv"), rows(folder / "many.csv")
    assert len(alone) == ASKED
    assert len({raw for _, raw, _ in alone}) > ASKED / 4, "rows that all say the same would prove little"
    assert many == alone


def hand_on(run: Path, folder: Path, experts: bool) -> None:
    """What others can open is written; what they could not is refused, and nothing is left of it."""
    assert main(["export", "--run", str(run), "--merged", str(folder / "merged")]) == 0
    assert main(["export", "--run", str(run), "--gguf", str(folder / "run.gguf")]) == 1
    assert main(["quantize", "--run", str(run), "--output", str(folder / "rtn")]) == int(experts)
    assert main(["quantize", "--run", str(run), "--output", str(folder / "nf4"), "--method", "nf4"]) == 0
    assert (folder / "rtn").exists() != experts
    assert not list(folder.glob("run.gguf*"))


def rows(path: Path) -> list[tuple[str, str, str]]:
    with path.open(newline="") as file:
        return [(row["id"], row["raw"], row["new_tokens"]) for row in csv.DictReader(file)]
