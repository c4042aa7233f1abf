"""``python -m lit_llm synthesize``: what is kept is tagged, what is left out is counted by its reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lit_llm.__main__ import main
from lit_llm.data import TranslationData
from tests.commands.conftest import write

META = {"direction": "nah-es", "dialect": "huasteca"}
TEXTS = {
    "kept": ("in tlacatl quinequi atl", "el hombre quiere agua"),
    "cut": ("in cihuatl quinequi atl", "la mujer quiere quiere quiere"),
    "copy": ("amo nicnequi", "Amo nicnequi"),
    "again": ("In tlacatl quinequi atl!", "un hombre quiere agua"),
    "lost": ("in altepetl huei ahuiac", "otra cosa"),
    "tested": ("in calli huei huan cualli itic", "la casa es grande y bonita por dentro"),
    "near": ("in tepetl huei huan cualli", "el monte es alto y bello, muy bello"),
    "empty": ("in tonalli", ""),
}
BACK = {name: source for name, (source, _) in TEXTS.items()} | {"lost": "zzz"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    rows: list[dict[str, Any]] = [{"id": n, "text": s, "prediction": p, "meta": META} for n, (s, p) in TEXTS.items()]
    rows[1]["status"] = "length"
    back = [{"id": n, "text": TEXTS[n][1], "prediction": s, "meta": {"direction": "es-nah"}} for n, s in BACK.items()]
    tests = [
        {"es": "¡La casa es grande y bonita por dentro!", "nah": "x"},
        {"es": "El monte es alto y bello, muy belo", "nah": "y"},
    ]
    test = tmp_path / "test.jsonl"
    test.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in tests), "utf-8")
    return {"rows": write(tmp_path / "rows.csv", rows), "back": write(tmp_path / "back.csv", back), "test": str(test)}


def run(tmp_path: Path, files: dict[str, str], *options: str) -> list[dict[str, Any]]:
    output = tmp_path / "out.jsonl"
    command = ["synthesize", files["rows"], "--origin", "back_translation", "--output", str(output)]
    assert main([*command, "--teacher", "run 1", *options]) == 0
    return [json.loads(line) for line in output.read_text("utf-8").splitlines()]


def test_every_reason_is_counted_and_the_rest_is_tagged(
    tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run(tmp_path, files, "--back", files["back"], "--against", files["test"])
    assert rows == [
        {
            "id": "kept",
            "nah": "in tlacatl quinequi atl",
            "es": "el hombre quiere agua",
            "dialect": "huasteca",
            "origin": "back_translation",
            "teacher": "run 1",
            "score": 100.0,
        }
    ]
    printed = capsys.readouterr().out
    for line in ("copy: 1", "duplicate: 1", "empty: 1", "round_trip: 1", "status: 1", "test: 2"):
        assert f"left out, {line}\n" in printed
    assert "1 rows of origin 'back_translation'" in printed


def test_without_a_way_back_and_tests_more_is_kept(tmp_path: Path, files: dict[str, str]) -> None:
    rows = run(tmp_path, files)
    assert [row["id"] for row in rows] == ["kept", "lost", "tested", "near"]
    assert {row["score"] for row in rows} == {None}


def test_the_rows_are_training_data(tmp_path: Path, files: dict[str, str]) -> None:
    run(tmp_path, files)
    examples = TranslationData(directions=["es-nah"]).read(tmp_path / "out.jsonl")
    assert examples[0].text == "el hombre quiere agua"
    assert (examples[0].meta["origin"], examples[0].meta["dialect"]) == ("back_translation", "huasteca")


def test_a_way_back_that_lacks_rows_is_an_error(
    tmp_path: Path, files: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    back = write(tmp_path / "short.csv", [{"id": "kept", "prediction": "x", "meta": {"direction": "es-nah"}}])
    options = ["--origin", "x", "--output", str(tmp_path / "o.jsonl"), "--back", back]
    assert main(["synthesize", files["rows"], *options]) == 1
    assert "row 'copy' has no way back" in capsys.readouterr().err


def test_the_way_back_is_asked_with_finished_answers(tmp_path: Path, files: dict[str, str]) -> None:
    rows = run(tmp_path, files, "--ask_back")
    assert [row["id"] for row in rows] == [name for name in TEXTS if name not in ("cut", "empty")]
    assert rows[0] == {"id": "kept", "es": "el hombre quiere agua", "dialect": "huasteca"}
    back = [{"id": row["id"], "prediction": BACK[row["id"]], "meta": {"direction": "es-nah"}} for row in rows]
    assert run(tmp_path, files, "--back", write(tmp_path / "b.csv", back))[0]["score"] == 100


def test_nothing_left_is_a_failure(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.csv", [{"text": "a", "prediction": "", "meta": META}])
    assert main(["synthesize", path, "--origin", "x", "--output", str(tmp_path / "o.jsonl")]) == 1
