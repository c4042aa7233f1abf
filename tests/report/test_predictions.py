"""predictions.csv after a spreadsheet or pandas has saved it again."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_llm.__main__ import main
from lit_llm.callbacks.prediction_file import encode
from lit_llm.report.predictions import read_predictions

HEAD = ["id", "text", "prediction", "reference", "status", "error", "raw", "new_tokens", "score", "meta"]
ROWS = [
    ["007", "un té; sí", "NA", '{"n":1}', "ok", "", "NA", "65", "-0.000457", '{"split":"t","zona":"Norte"}'],
    ["b", "línea\notra", '{"n":2}', '{"n":2}', "ok", "", '{"n":2}', "7", "-1.250000", '{"split":"t","zona":"Sur"}'],
    ["c", "tres", "", '{"n":3}', "invalid", "not JSON", "x", "2", "0.000000", '{"split":"u","zona":"Sur"}'],
]


def predicted(folder: Path) -> Path:
    path = folder / "p.csv"
    path.write_bytes(encode([HEAD, *ROWS]))
    return path


def spreadsheet(path: Path, encoding: str, mark: str = ";") -> None:
    """Save as a Spanish spreadsheet does: only what needs it quoted, decimals with a comma."""
    rows = [[*row[:8], row[8].replace(".", ","), row[9]] for row in ROWS]
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=mark, lineterminator="\r\n").writerows([HEAD, *rows])


def pandas(path: Path, **options: Any) -> None:
    import pandas as pd

    frame = pd.read_csv(path, **options)
    frame["new_tokens"] = frame["new_tokens"].astype(float)
    frame.to_csv(path, index=False)


@pytest.mark.parametrize(
    "save",
    [
        lambda path: spreadsheet(path, "utf-8-sig"),
        lambda path: spreadsheet(path, "windows-1252"),
        lambda path: spreadsheet(path, "utf-16", "\t"),
        lambda path: pandas(path, dtype={"id": str}, keep_default_na=False),
    ],
)
def test_it_is_read_as_it_was(tmp_path: Path, save: Callable[[Path], None]) -> None:
    path = predicted(tmp_path)
    before = read_predictions(path)
    save(path)
    assert read_predictions(path) == before
    assert [row.new_tokens for row in before] == [65, 7, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((1, 0, ""), "p.csv:2: field 'id': is empty; where pandas saved the file, read it with dtype=str"),
        ((2, 7, "7.5"), "p.csv:3: field 'new_tokens': '7.5' is no whole number"),
        ((3, 7, "siete"), "p.csv:5: field 'new_tokens': 'siete' is no number"),
        ((3, 8, "nan"), "p.csv:5: field 'score': 'nan' is no number; write it as -0.000457"),
        ((3, 9, "{“split”:1}"), "p.csv:5: field 'meta': is not JSON"),
        ((3, 9, "7"), "p.csv:5: field 'meta': must be a JSON object, got '7'"),
        ((0, 2, "answer"), "p.csv:1: field 'prediction' is missing from the header; there are id, text, answer"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: tuple[int, int, str], message: str
) -> None:
    rows = [list(row) for row in (HEAD, *ROWS)]
    rows[change[0]][change[1]] = change[2]
    (tmp_path / "p.csv").write_bytes(encode(rows))
    assert main(["compare", str(tmp_path / "p.csv")]) == 1
    assert message in capsys.readouterr().err


def test_a_row_that_lost_its_quotes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.csv").write_text('id,prediction,reference\na,"x","y"\nb,x, and more,y\n')
    assert main(["compare", str(tmp_path / "p.csv")]) == 1
    assert "p.csv:3: field 'reference': the row has 4 cells for 3" in capsys.readouterr().err


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,prediction,reference\na,x y,x z\nb,u,u\n")
    assert [(row.id, row.status, row.meta) for row in read_predictions(tmp_path / "p.csv")] == [
        ("a", "ok", {}),
        ("b", "ok", {}),
    ]


@pytest.mark.parametrize("key", ["split", "zona"])
def test_answers_in_json_have_groups_too(tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str) -> None:
    path = predicted(tmp_path)
    assert main(["compare", str(path), "--by", key, "--samples", "5"]) == 0
    printed = capsys.readouterr().out
    assert "by group" in printed and all(value in printed for value in {"split": "tu", "zona": ["Norte", "Sur"]}[key])
    assert "66.67" in printed if key == "split" else "50.00" in printed


@pytest.mark.parametrize("option", [("--by", "dialecto"), ("--only", "dialecto=x")])
def test_facts_that_nobody_has(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]) -> None:
    assert main(["compare", str(predicted(tmp_path)), *option]) == 1
    assert "there are split, zona" in capsys.readouterr().err
