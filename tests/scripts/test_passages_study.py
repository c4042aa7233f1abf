"""What the study of vectors of passages is made of: its rows, and the scores of its answers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.test_real_weights import ROOT, lines, run

PASSAGE = "This is about {0}. {0} was born in the year of the great flood, in a house beside the river."


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    # As Python does for a script.
    monkeypatch.syspath_prepend(str(ROOT / "scripts/real_weights"))


def write(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def made(folder: Path, test: str) -> Path:
    """Make the rows of twenty contexts to learn from, five of them with an answer, and of one to be asked about."""
    answers = ["" if n % 4 else "little" for n in range(20)]
    train = [
        {"context": f"Text {n} says {'very ' * n}little.", "question": f"What of {n}?", "answer": answer}
        for n, answer in enumerate(answers)
    ]
    asked = [{"context": test, "question": "Who?", "answer": "Ana", "lang": lang} for lang in ("en", "es")]
    passage = PASSAGE.format("Eva")
    published = [{"id": "p", "question": ["Who?", "When?"], "answers": ["Eva", "then"], "docs": [passage]}]
    files = {"published": published, "train": train, "test": asked}
    options = [part for name, rows in files.items() for part in (f"--{name}", write(folder / f"{name}.jsonl", rows))]
    run("passage_rows.py", *options, "--output", folder / "made")
    return folder / "made"


def test_every_context_stays_though_its_questions_have_no_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = made(tmp_path, "Ana is here.")
    assert "20 contexts, 5 questions; 15 without an answer left out" in capsys.readouterr().out
    counts = {name: len(lines(rows / f"{name}.jsonl")) for name in ("train", "valid", "test", "instruct", "pretrain")}
    # The contexts 0 and 10 are for validation; of them only the first has an answer.
    assert counts == {"train": 4, "valid": 1, "test": 1, "instruct": 4, "pretrain": 5}
    assert len(lines(rows / "again.jsonl")) == 1 + 18
    again = lines(rows / "again.jsonl")[0]
    assert again["data_type"] == "paraphrase" and again["answers"] == again["docs"] == [PASSAGE.format("Eva")]
    names = {entry["id"] for entry in lines(rows / "train_corpus.jsonl")}
    assert len(names) == 20 and {row["pos_name"][0] for row in lines(rows / "valid.jsonl")} <= names
    (asked,) = lines(rows / "test.jsonl")
    assert asked["pos_name"] == [lines(rows / "test_corpus.jsonl")[-1]["id"]]


def test_a_context_of_the_test_that_is_learned_from_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        made(tmp_path, "Something else before it. " + PASSAGE.format("Eva").partition(". ")[2])
    assert "1 contexts of the test are in training" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_answers_are_scored_by_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        {"id": f"test-{n}", "answers": ["the river", "a stream"], "docs": [f"context {n // 2}"], "pos_name": [f"c{n}"]}
        for n in range(4)
    ]
    said = ["river", "a wide stream", "no", "The river!"]
    places = [["c0", "x"], ["x", "c1"], ["x", "y"], ["c3", "c3"]]
    file = tmp_path / "run/answers/words.csv"
    file.parent.mkdir(parents=True)
    with file.open("w", newline="") as output:
        writer = csv.DictWriter(output, ["id", "prediction", "reference", "status", "meta"])
        writer.writeheader()
        for row, text, found in zip(asked, said, places, strict=True):
            meta = json.dumps({"passages": [{"document": name} for name in found]})
            writer.writerow({"id": row["id"], "prediction": text, "reference": "x", "status": "ok", "meta": meta})
    rows = write(tmp_path / "rows.jsonl", asked)
    run("passage_scores.py", "--rows", rows, file)
    printed = capsys.readouterr().out
    assert printed.startswith("4 questions about 2 contexts")
    name, *cells = [cell.strip().split(" ± ")[0] for cell in printed.splitlines()[-1].split("|")[1:-1]]
    # Of "a wide stream" one word of two and of one is right.
    assert (name, cells) == ("run words", ["0.500", "0.667", "0.750", "0.500", "0.750"])
    write(rows, [*asked, asked[0] | {"id": "test-9"}])
    with pytest.raises(SystemExit):
        run("passage_scores.py", "--rows", rows, file)
    assert "1 rows are missing, such as test-9" in capsys.readouterr().err
