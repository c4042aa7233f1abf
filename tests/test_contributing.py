"""The examples of CONTRIBUTING.md, put into the package's folders and run as they stand."""

from __future__ import annotations

import csv
import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lit_llm.__main__ import main
from tests.test_layers import violations

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("data/tasks", "metrics", "adapters")
WORDS = ["camión", "llegó", "ayer", "Bogotá", "mañana", "café", "jamón", "número", "útil", "rápido"]


def blocks(language: str) -> dict[str, str]:
    """Return the fenced blocks whose first line names a file, by that file."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return dict(re.findall(rf"^```{language}\n# (\S+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE))


EXAMPLES = blocks("python")


def bare(text: str) -> str:
    return text.translate(str.maketrans("áéíóúñ", "aeioun"))


def write_rows(path: Path, count: int, first: int) -> Path:
    texts = [f"{WORDS[i % 10]} {WORDS[(i * 7 + 3) % 10]}" for i in range(first, first + count)]
    rows = [{"plain": bare(text), "accented": text} for text in texts]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, in folders as in the package."""
    root = tmp_path_factory.mktemp("contributed")
    for name, source in {**EXAMPLES, **blocks("yaml")}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source, encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def installed(folder: Path) -> Iterator[Path]:
    """Make ``lit_llm.data.tasks.accents`` and the others importable, as if their files lay in the package."""
    with pytest.MonkeyPatch.context() as patch:
        for room in ROOMS:
            package = importlib.import_module(f"lit_llm.{room.replace('/', '.')}")
            patch.setattr(package, "__path__", [*package.__path__, str(folder / "lit_llm" / room)])
        importlib.invalidate_caches()
        yield folder
        for name in EXAMPLES:
            sys.modules.pop(name.removesuffix(".py").replace("/", "."), None)


@pytest.fixture(scope="module")
def trained(installed: Path) -> Path:
    """The run folder of the example's run file after two steps on eight rows."""
    run = installed / "run"
    options = {
        "data.train": write_rows(installed / "train.jsonl", 8, 0),
        "data.valid": write_rows(installed / "valid.jsonl", 2, 8),
        "model.generator.max_new_tokens": 4,
        "trainer.default_root_dir": run,
        "trainer.max_steps": 2,
        "trainer.accelerator": "cpu",
        "trainer.num_sanity_val_steps": 0,
        "trainer.enable_progress_bar": "false",
        "trainer.logger": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["lit_llm"])
        patch.setenv("PL_GLOBAL_SEED", "0")
        given = [f"--{key}={value}" for key, value in options.items()]
        assert main(["fit", "--config", str(installed / "configs/run/accents.yaml"), *given]) == 0
    return run


def test_there_is_an_example_of_each():
    assert [Path(name).parent.as_posix() for name in EXAMPLES] == [f"lit_llm/{room}" for room in ROOMS]
    assert list(blocks("yaml")) == ["configs/run/accents.yaml"]
    assert all(not (ROOT / name).exists() for name in EXAMPLES), "an example must not stand for a file that exists"


def test_the_examples_keep_the_style(folder: Path):
    for command in (["check"], ["format", "--check"]):
        files = [str(folder / name) for name in EXAMPLES]
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--config", str(ROOT / "pyproject.toml"), *files],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_examples_keep_the_layers(folder: Path, tmp_path: Path):
    package = tmp_path / "lit_llm"
    shutil.copytree(ROOT / "lit_llm", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in EXAMPLES:
        shutil.copy(folder / name, tmp_path / name)
    assert [line for line in violations(package) if any(Path(name).stem in line for name in EXAMPLES)] == []


def test_the_run_measures_and_saves(trained: Path):
    with (trained / "metrics.csv").open(newline="") as file:
        names = {row["name"] for row in csv.DictReader(file)}
    assert {"val/word_accuracy", "val/loss"} <= names
    assert (trained / "best.ckpt").is_file()
    assert (trained / "last.ckpt").is_file()


def test_peft_alone_opens_the_adapter(trained: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(ROOT / "checkpoints" / "qwen3-tiny")
    weights = PeftModel.from_pretrained(base, trained / "adapter").state_dict()
    learned = [value for key, value in weights.items() if "hada_w2_b" in key]
    assert learned
    assert all(float(value.abs().max()) > 0 for value in learned), "two steps have moved nothing"


def test_the_adapter_comes_back_and_merges(installed: Path, trained: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    from lit_llm.report import open_run

    monkeypatch.chdir(ROOT)
    model = open_run(trained).model
    ids = torch.arange(12).reshape(1, 12)
    with torch.no_grad():
        adapted = model.network(input_ids=ids).logits
        with model.network.disable_adapter():
            plain = model.network(input_ids=ids).logits
        merged = model.adapter.merge(model.network)(input_ids=ids).logits
    assert not torch.allclose(adapted, plain, atol=1e-6)
    assert torch.allclose(adapted, merged, atol=1e-4)


def test_the_metric(installed: Path):
    words = importlib.import_module("lit_llm.metrics.words").WordAccuracy()
    assert words.compute() == {}
    words.update(["el camión", ""], ["el camion llegó", "sí"], [{}, {}])
    assert words.compute() == {"word_accuracy": 0.25}


def test_the_task_reads(installed: Path, tmp_path: Path):
    from lit_llm.errors import DataError

    data = importlib.import_module("lit_llm.data.tasks.accents").AccentsData(predict=str(tmp_path / "ask.jsonl"))
    (tmp_path / "ask.jsonl").write_text('{"plain": "aqui"}\n', encoding="utf-8")
    (tmp_path / "bad.jsonl").write_text('{"plain": "aqui", "accented": "aquí"}\n{"plain": "alli"}\n', encoding="utf-8")
    assert [example.answer for example in data.read(tmp_path / "ask.jsonl")] == [None]
    with pytest.raises(DataError, match=r"bad\.jsonl:2: field 'accented'"):
        data.read(tmp_path / "bad.jsonl")
    assert data.postprocess(" aquí \n", {}) == ("aquí", "ok", "")
    assert data.postprocess(" ", {})[1] == "invalid"
