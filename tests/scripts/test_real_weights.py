"""What the study of a real model is made of: rows out of questions, and what a model knew before."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "checkpoints/qwen3-tiny"
CONTEXT = "Ana was born in 1970. Her home is in Puebla, and she left it in 1990! She came back."


def run(name: str, *options: Any) -> None:
    before = sys.argv
    sys.argv = [name, *map(str, options)]
    try:
        runpy.run_path(str(ROOT / "scripts/real_weights" / name), run_name="__main__")
    finally:
        sys.argv = before


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_questions_become_rows_of_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [("When was Ana born?", "1970"), ("Who?", "Ana"), ("Why?", ""), ("When?", "1970. Her")]
    train = [{"context": f"{CONTEXT} {n}", "question": q, "answer": a} for n in range(20) for q, a in asked]
    parquet.write_table(arrow.Table.from_pylist(train), tmp_path / "train.parquet")
    test = [
        {"context": "One two. Two three.", "question": "Is three there?", "answer": "Two", "lang": "en"},
        {"context": "Uno dos.", "question": "¿Cuál?", "answer": "dos", "lang": "es"},
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test), encoding="utf-8")
    made = tmp_path / "made"
    run("english_rows.py", "--train", tmp_path / "train.parquet", "--test", tmp_path / "test.jsonl", "--output", made)
    assert len(lines(made / "train.jsonl")) == 2 * 18
    assert len(lines(made / "valid.jsonl")) == 2 * 2
    assert lines(made / "train.jsonl")[0] == {
        "text": "Ana was born in 1970.\nWhen was Ana born?",
        "json": {"answer": "1970"},
    }
    assert lines(made / "test.jsonl") == [{"text": "Two three.\nIs three there?", "json": {"answer": "Two"}}]
    assert "'no answer': 18" in capsys.readouterr().out


def test_files_that_share_a_context_are_refused(tmp_path: Path) -> None:
    row = {"context": CONTEXT, "question": "When?", "answer": "1970"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(SystemExit):
        run("english_rows.py", "--train", tmp_path / "a.jsonl", "--test", tmp_path / "a.jsonl", "--output", tmp_path)
    assert not (tmp_path / "train.jsonl").exists()


def test_what_a_model_knew_is_asked_as_one_text_after_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The padded batches say what one row at a time says."""
    choices = ["un perro", "dos gatos y una vaca", "no", "el sol, la luna"]
    questions = [
        {"question": f"¿Qué es {n}?", "choices": choices, "answer_index": n % 4, "subset": "easy", "split": "test"}
        for n in range(8)
    ]
    texts = [f"Había {'muchas veces ' * n}un pueblo." for n in range(6)]
    (tmp_path / "arc.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions), encoding="utf-8")
    (tmp_path / "text.jsonl").write_text("".join(json.dumps({"context": t}) + "\n" for t in texts), encoding="utf-8")
    run("probe.py", TINY, "--arc", tmp_path / "arc.jsonl", "--text", tmp_path / "text.jsonl")
    cells = [cell.strip().split(" ± ")[0] for cell in capsys.readouterr().out.splitlines()[-1].split("|")[2:-1]]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(TINY).eval(), AutoTokenizer.from_pretrained(TINY)

    @torch.no_grad()
    def nats(text: str, start: int) -> float:
        ids = torch.tensor([tokenizer(text, add_special_tokens=False).input_ids])
        likely = model(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
        return float(-likely[start - 1 :].sum())

    right, right_by_length = [], []
    for row in questions:
        head = f"Question: {row['question']}\nAnswer:"
        start = len(tokenizer(head, add_special_tokens=False).input_ids)
        sums = [nats(f"{head} {choice}", start) for choice in choices]
        right.append(int(np.argmin(sums)) == row["answer_index"])
        shares = [value / len(choice) for value, choice in zip(sums, choices, strict=True)]
        right_by_length.append(int(np.argmin(shares)) == row["answer_index"])
    tokens = sum(len(tokenizer(text, add_special_tokens=False).input_ids) - 1 for text in texts)
    wanted = [np.mean(right), np.mean(right_by_length), sum(nats(text, 1) for text in texts) / tokens]
    assert cells == [f"{value:.3f}" for value in wanted]
