"""The baselines without a model: what they answer, and what they reach."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "scripts" / "tables"))
    yield __import__("extraction_baselines")
    sys.path.remove(str(ROOT / "scripts" / "tables"))


def write(path: Path, rows: list[tuple[str, Any]]) -> Path:
    lines = [json.dumps({"text": text, "json": value}, ensure_ascii=False) + "\n" for text, value in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def examples(script: ModuleType, path: Path, rows: list[tuple[str, Any]]) -> Any:
    return script.ExtractionData().read(write(path, rows))


def words(rng: random.Random, count: int) -> list[str]:
    return [" ".join("".join(rng.choices("aábc", k=rng.randint(1, 4))) for _ in range(3)) for _ in range(count)]


def test_the_commonest_answer_is_a_whole_one_whatever_the_order_of_its_keys(script: ModuleType, tmp_path: Path) -> None:
    values = [{"a": 1}, {"b": 2, "a": 3}, {"a": 4}, {"a": 3, "b": 2}]
    rows = examples(script, tmp_path / "train.jsonl", [(f"t{i}", value) for i, value in enumerate(values)])
    assert script.commonest_answer(rows) == '{"b":2,"a":3}'
    assert script.commonest_answer(rows[:2]) == '{"a":1}', "of equally common ones the first"


def test_the_validation_rows_choose(script: ModuleType, tmp_path: Path) -> None:
    rng = random.Random(3)
    train, valid = (
        examples(script, tmp_path / f"{name}.jsonl", [(text, {"c": text.count("a")}) for text in words(rng, 40)])
        for name in ("train", "valid")
    )
    texts = [row.text for row in valid]
    reached = {
        one: script.score(script.nearest_answers(train, texts, one), valid)["field_f1"] for one in script.CANDIDATES
    }
    assert len(set(reached.values())) > 1
    assert reached[script.choose(train, valid, script.CANDIDATES)] == max(reached.values())


def test_the_table(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = write(tmp_path / "train.jsonl", [("uno", {"n": 1}), ("otro uno", {"n": 1}), ("dos", {"n": 2, "x": "y"})])
    test = write(tmp_path / "test.jsonl", [("Uno", {"n": 1}), ("dos.", {"n": 2, "x": "y"}), ("dos más", {"n": 3})])
    schema = tmp_path / "schema.json"
    schema.write_text('{"properties": {"n": {"type": "integer"}, "x": {"type": "string"}}}')
    options = ["--train", str(train), "--test", str(test)]
    assert script.main(options) == 0
    printed = capsys.readouterr().out.splitlines()
    # The commonest answer: 1 of 3 predicted and 4 expected fields; the neighbour's: 3 of 5 and 4.
    assert re.fullmatch(
        r"\| commonest answer \| 0\.286 \(\S+ to \S+\) \| \S+ \(.*\) \| 0\.333 \| 1\.000 \|", printed[2]
    )
    assert printed[3].startswith("| nearest training text (jaccard, n = 1 to 5) | 0.667 (")
    assert printed[3].endswith(" | 0.667 | 1.000 |")
    assert script.main([*options, "--valid", str(test), "--schema", str(schema)]) == 0
    assert capsys.readouterr().out.splitlines()[2] == printed[2]


def test_names_are_replaced_by_those_of_the_text(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIT_LLM_CACHE", str(tmp_path / "cache"))
    rows = [("quiero galletas de coco", {"l": [{"p": "Galleta coco", "n": 1}]})]
    train = write(tmp_path / "train.jsonl", rows)
    test = write(tmp_path / "test.jsonl", [("quiero jabón neutro", {"l": [{"p": "Jabón neutro", "n": 1}]})])
    catalogue = tmp_path / "c.csv"
    catalogue.write_text("p\nGalleta coco\nJabón neutro\nJabón rosa\n")
    options = ["--train", str(train), "--test", str(test), "--catalogue", str(catalogue)]
    assert script.main([*options, "--field", "l[].p"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[3].endswith("| 0.000 | 1.000 |")
    assert printed[4] == (
        "| the same with names of the text | 1.000 (1.000 to 1.000) | 1.000 (1.000 to 1.000) | 1.000 | 1.000 |"
    )
    with pytest.raises(SystemExit):
        script.main(options)


def test_a_file_that_cannot_be_read_is_named(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text('{"text": "a", "json": {"n": 1}}\n{"text": "b"}\n')
    assert script.main(["--train", str(train), "--test", str(train)]) == 1
    assert "train.jsonl:2: field 'json'" in capsys.readouterr().err


def test_what_the_nearest_neighbour_reaches_on_real_utterances(script: ModuleType, real_data: Path) -> None:
    train, test = (
        script.ExtractionData().read(real_data / f"data/extraction/es_asistente_{name}.jsonl")
        for name in ("train", "test")
    )
    answers = script.nearest_answers(train, [row.text for row in test], script.Nearness("cosine", 3, 5))
    reached = script.score(answers, test)
    assert reached["field_f1"] == pytest.approx(0.615, abs=0.005)
    assert reached["exact_match"] == pytest.approx(0.150, abs=0.005)
