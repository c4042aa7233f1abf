"""Guesses begin with what training answers look like."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.data import ExtractionData, MixedData, SignData
from lit_llm.data.base import LMData
from lit_llm.generation import Lookup


def rows(path: Path, count: int = 9) -> str:
    lines = [json.dumps({"text": f"quiero {k} panes", "json": {"pan": k}}) + "\n" for k in range(count)]
    path.write_text("".join(lines))
    return str(path)


def with_tokenizer(data: LMData, root: Path) -> LMData:
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    return data


@pytest.mark.parametrize(("most", "expected"), [(100, range(9)), (9, range(9)), (4, (0, 3, 6)), (1, (0,))])
@pytest.mark.parametrize("stage", ["fit", "predict", None])
def test_training_answers_are_spread_over_the_file(
    stage: str | None, most: int, expected: Any, tmp_path: Path, root: Path
) -> None:
    data = with_tokenizer(ExtractionData(train=rows(tmp_path / "t.jsonl"), predict=rows(tmp_path / "p.jsonl")), root)
    if stage:
        data.setup(stage)
    before = dict(data.counts), data.lenient
    answers = [data.format.tokenizer.decode(ids) for ids in data.training_answers(most)]
    assert answers == [f'{{"pan":{k}}}<|im_end|>' for k in expected]
    assert (dict(data.counts), data.lenient) == before


def test_what_cannot_be_read_teaches_nothing(tmp_path: Path, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for train in (None, str(tmp_path / "gone.jsonl")):
        data = with_tokenizer(ExtractionData(train=train, predict=rows(tmp_path / "p.jsonl")), root)
        assert list(data.training_answers(5)) == []
    assert "no guesses are learned from training answers" in caplog.text
    assert "gone.jsonl: no such file" in caplog.text
    assert list(with_tokenizer(SignData(train="poses.csv"), root).training_answers(5)) == []


@pytest.mark.parametrize(
    ("kept", "cache", "large", "taught"),
    [
        *((True, None, True, 5), (False, None, True, 0), (False, False, True, 0)),
        *((False, True, False, 5), (True, True, False, 5), (False, False, False, 5)),
    ],
)
def test_a_large_file_teaches_what_is_kept_of_it(
    kept: bool,
    cache: bool | None,
    large: bool,
    taught: int,
    tmp_path: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIT_LLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("lit_llm.data.stored.cache.LARGE", 1 if large else 1 << 20)
    settings: dict[str, Any] = {"train": rows(tmp_path / "t.jsonl"), "predict": rows(tmp_path / "p.jsonl")}
    settings["cache"] = cache
    if kept:
        with_tokenizer(ExtractionData(**settings), root).setup("fit")
    data = with_tokenizer(ExtractionData(**settings), root)
    data.setup("predict")
    assert len(list(data.training_answers(5))) == taught
    assert (tmp_path / "cache").exists() is kept


def test_a_mixture_teaches_what_its_sources_do(tmp_path: Path, root: Path) -> None:
    parts = {name: ExtractionData(train=rows(tmp_path / f"{name}.jsonl", 3)) for name in ("a", "b")}
    data = with_tokenizer(MixedData(dict(parts)), root)
    assert len(list(data.training_answers(100))) == 6


def test_answers_are_the_same_and_the_table_knows_training_answers(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[int] = []
    learn = Lookup.learn
    monkeypatch.setattr(Lookup, "learn", lambda self, answer: learned.append(len(answer)) or learn(self, answer))
    answers = []
    for draft in ([], ["--model.generator.draft=lit_llm.generation.Lookup"]):
        folder = tmp_path / f"run{len(draft)}"
        options = ["--model=lit_llm.models.CausalLM", f"--model.backbone={root / 'checkpoints/qwen3-tiny'}"]
        options += ["--model.generator=lit_llm.generation.Generator", "--model.generator.max_new_tokens=9"]
        options += ["--data=lit_llm.data.ExtractionData", f"--data.train={rows(tmp_path / 't.jsonl')}", *draft]
        options += [f"--data.predict={rows(tmp_path / 'p.jsonl', 4)}", "--data.eval_batch_size=2", "--ckpt_path=none"]
        assert main(["predict", *options, f"--trainer.default_root_dir={folder}", "--trainer.accelerator=cpu"]) == 0
        answers.append([row["raw"] for row in csv.DictReader((folder / "predictions.csv").open())])
        assert learned[:9] == ([6] * 9 if draft else [])
    assert answers[0] == answers[1]
