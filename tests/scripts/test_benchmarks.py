"""The benchmarks of a training step run, and say what they are asked for; their figures are for quiet machines."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_llm.retrieval import IndexWriter, approximate
from tests.retrieval.test_vectors import ABOUT, written
from tests.short_runs import fit

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--width", "128", "--layers", "1", "--vocabulary", "1024", "--steps", "3"]


def printed(script: str, *options: str) -> str:
    command = [sys.executable, str(ROOT / "scripts/benchmarks" / script), *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_a_profile_accounts_for_the_whole_step() -> None:
    text = printed("profile_step.py", *TINY, "--rows", "2", "--length", "32", "--dropout", "0.1", "--checkpointing")
    tables = text.split("ms a step")[1:]
    assert len(tables) == 2
    for table in tables:
        shares = [float(share) for share in re.findall(r" ms +(-?[\d.]+)% ", table)]
        assert sum(shares) == pytest.approx(100, abs=1)
        assert {"products", "softmax", "random"} <= set(re.findall(r"^(\w+)", table, re.MULTILINE))


@pytest.mark.slow
def test_steps_are_timed_beside_another_checkout() -> None:
    options = ["--batch", "2", "--rounds", "1", "--threads", "1", "--switches", "packed"]
    text = printed("step.py", *TINY, *options, "--also", str(ROOT))
    assert re.search(r"^other lit_llm 32-true / lit_llm 32-true: [\d.]+× the time", text, re.MULTILINE)
    assert len(re.findall(r"^round 1: ", text, re.MULTILINE)) == 3
    differ = re.findall(r"losses of the same batches differ by (\S+) at most", text)
    assert len(differ) == 1
    assert all(float(number) < 1e-4 for number in differ)


@pytest.mark.slow
def test_answers_are_the_same_with_guesses(tmp_path: Path) -> None:
    source = ["--backbone", str(ROOT / "checkpoints/qwen3-tiny"), "--cpu", "--exact"]
    source += ["--data", str(ROOT / "configs/data/orders/test_known.jsonl")]
    source += ["--schema", str(ROOT / "configs/data/orders/schema.json")]
    text = printed("drafts.py", *source, "--rows", "4", "--batch-sizes", "1", "4", "--rounds", "1")
    assert len(re.findall(r"^ +[14] .* 4 of 4$", text, re.MULTILINE)) == 2
    assert len(re.findall(r": 4 of 4 texts the same$", text, re.MULTILINE)) == 10


@pytest.mark.slow
def test_answers_are_the_same_with_a_prompt_that_is_shared() -> None:
    source = ["--backbone", str(ROOT / "checkpoints/qwen3-tiny"), "--cpu", "--shared", "0", "50"]
    source += ["--data", str(ROOT / "configs/data/orders/test_known.jsonl")]
    text = printed("prefix.py", *source, "--rows", "4", "--batch-size", "3", "--rounds", "1", "--max-new-tokens", "9")
    assert len(re.findall(r" 4 of 4$", text, re.MULTILINE)) == 4


@pytest.mark.slow
def test_engines_answer_alike(tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": f"{n} panes de muerto", "json": {"n": n}} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data: dict[str, Any] = {name: str(tmp_path / "rows.jsonl") for name in ("train", "valid")}
    data["test"] = {"rows": data["train"]}
    generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 8}}
    run = fit(tmp_path / "run", data, backbone=str(ROOT / "checkpoints/qwen3-tiny"), generator=generator)
    options = ["--rows", "3", "--in-flight", "1", "--rounds", "1", "--max-new-tokens", "8"]
    text = printed("engines.py", "--run", str(run), *options, "--only", "lit_llm", "transformers")
    assert len(re.findall(r"3 of 3 \|$", text, re.MULTILINE)) == 2
    assert "vLLM: vllm serve FOLDER" in text


@pytest.mark.slow
def test_searches_are_timed_beside_each_other(tmp_path: Path) -> None:
    index = written(tmp_path / "index")
    approximate.build(index.folder, index.flat, index.norms)
    about = approximate.measured(index.folder, index.flat, index.norms, torch.randn(20, 32), 10, 0.98)
    IndexWriter(index.folder, ABOUT).finish(about)
    text = printed("search.py", "--index", str(index.folder), "--questions", "20", "--threads", "1")
    assert re.search(r"^1,000 passages, 1 MiB: \d{3} bytes a passage", text)
    assert len(re.findall(r"^(?:exact|approximate): [\d.]+ ms a question", text, re.MULTILINE)) == 2
    assert float(re.findall(r"recall@10 ([\d.]+)", text)[0]) > 0.9


@pytest.mark.slow
def test_vectors_are_timed_beside_the_text_of_passages() -> None:
    sizes = ["--passages", "2", "--tokens", "32", "--steps", "3", "--new", "2"]
    text = printed("passages.py", *sizes, "--rounds", "1", "--threads", "1")
    shares = dict(re.findall(r"^([a-z ]+): text .*vectors \S+.*\(([\d.]+) of the text's\)", text, re.MULTILINE))
    assert {"step", "prompt tokens", "first token", "answer"} <= set(shares)
    # Two vectors stand for 32 tokens of each passage.
    tokens = re.search(r"prompt tokens: text (\d+) .*vectors (\d+) ", text)
    assert tokens and 50 < int(tokens[1]) - int(tokens[2]) <= 64


@pytest.mark.slow
def test_names_are_held_to_a_catalogue() -> None:
    text = printed("catalogue.py", "--names", "2000", "--rows", "4", "--rounds", "1", "--cpu")
    assert re.search(r"^2,000 names laid out in ", text, re.MULTILINE)
    assert "(found: True)" in text
    assert len(re.findall(r"^(?:free|schema|catalogue): [\d.]+ ms a token, [\d.]+x free$", text, re.MULTILINE)) == 3
    assert re.search(r"^\d+ names written in \d+ whole answers, 0 of them not in the catalogue$", text, re.MULTILINE)
