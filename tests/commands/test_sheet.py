"""``python -m lit_llm sheet``: blinded, stratified, seeded; and what comes back is read with care."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_llm.__main__ import main
from lit_llm.batch import Prediction
from lit_llm.metrics.corpus import grouped
from lit_llm.report.comparison import translations
from lit_llm.report.predictions import read_predictions
from lit_llm.report.sheets import choose, score_sheet

System = Callable[..., str]


def make(tmp_path: Path, system: System, *options: str) -> tuple[list[dict[str, str]], dict[str, dict[str, str]]]:
    files = [system("one", 0.1), system("two", 0.5)]
    sheet = tmp_path / "sheet.csv"
    assert main(["sheet", "make", *files, "--output", str(sheet), "--overwrite", *options]) == 0
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, json.loads((tmp_path / "sheet.key.json").read_text())


def fill(path: Path, rows: list[dict[str, str]], delimiter: str = ",") -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)


def test_a_sheet_names_no_system_and_holds_the_same_rows_of_each(tmp_path: Path, system: System) -> None:
    rows, key = make(tmp_path, system)
    assert len(rows) == 100
    assert Counter(entry["system"] for entry in key.values()) == {
        str(tmp_path / f"{n}.csv"): 50 for n in ("one", "two")
    }
    assert len({entry["id"] for entry in key.values()}) == 50
    text = (tmp_path / "sheet.csv").read_text()
    assert "one.csv" not in text and "two.csv" not in text
    order = [key[row["code"]]["system"] for row in rows]
    assert order != sorted(order) and order != sorted(order, reverse=True)
    said = {file: {r.id: r.prediction for r in read_predictions(file)} for file in set(order)}
    assert all(row["hypothesis"] == said[key[row["code"]]["system"]][key[row["code"]]["id"]] for row in rows)


def test_the_same_seed_makes_the_same_sheet(tmp_path: Path, system: System) -> None:
    assert make(tmp_path, system) == make(tmp_path, system)
    assert make(tmp_path, system) != make(tmp_path, system, "--seed", "1")


def test_rows_are_spread_over_dialects_and_lengths(system: System) -> None:
    rows = read_predictions(system("one", 0.1))
    chosen = set(choose(rows, 50, ["dialect", "length"], 0))
    strata = grouped(translations(rows), ["dialect", "length"])
    assert len(chosen) == 50
    for members in strata.values():
        taken = sum(row.meta["id"] in chosen for row in members)
        assert abs(taken - 50 * len(members) / len(rows)) <= 1
        assert taken >= 1


@pytest.mark.parametrize(("count", "strata"), [(50, 31), (31, 31), (20, 1)])
def test_small_strata_are_not_skipped(count: int, strata: int) -> None:
    dialects = ["common"] * 970 + [f"rare {k}" for k in range(30)]
    rows = [Prediction(f"r{k}", "", "a", "a", meta={"dialect": name}) for k, name in enumerate(dialects)]
    chosen = choose(rows, count, ["dialect"], 0)
    assert len(set(chosen)) == count
    assert len({dialects[int(row_id[1:])] for row_id in chosen}) >= strata


def test_a_filled_in_sheet_is_not_replaced(tmp_path: Path, system: System, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["sheet", "make", system("one", 0.1), "--output", str(tmp_path / "new" / "sheet.csv")]
    assert main(command) == 0
    assert main(command) == 1
    assert "add --overwrite to replace it" in capsys.readouterr().err


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_scores_of_a_filled_in_sheet(tmp_path: Path, system: System, delimiter: str) -> None:
    rows, key = make(tmp_path, system)
    for row in rows:
        good = key[row["code"]]["system"].endswith("one.csv")
        row |= {"adequacy": "5" if good else "2", "fluency": " 4 ", "errors": "" if good else "word order, tense"}
    sheet = tmp_path / "sheet.csv"
    fill(sheet, rows, delimiter)
    found = score_sheet(sheet, tmp_path / "sheet.key.json")
    one, two = found.values()
    assert (one.rows, one.means, one.errors) == (50, {"adequacy": 5, "fluency": 4}, {})
    assert (two.means, two.errors) == ({"adequacy": 2, "fluency": 4}, {"word order": 50, "tense": 50})
    assert two.half_intervals == {"adequacy": 0, "fluency": 0}
    assert main(["sheet", "score", str(sheet), "--least", "2"]) == 0
    assert main(["sheet", "score", str(sheet), "--least", "3"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adequacy": "6"}, "field 'adequacy': '6' is not a whole number from 1 to 5"),
        ({"fluency": ""}, "field 'fluency': '' is not a whole number"),
        ({"code": "abc"}, "its codes are not those of"),
    ],
)
def test_a_sheet_filled_in_wrongly_is_refused(
    tmp_path: Path, system: System, capsys: pytest.CaptureFixture[str], change: dict[str, str], message: str
) -> None:
    rows, _ = make(tmp_path, system)
    filled: list[dict[str, Any]] = [row | {"adequacy": "3", "fluency": "3"} for row in rows]
    filled[4] |= change
    fill(tmp_path / "sheet.csv", filled)
    assert main(["sheet", "score", str(tmp_path / "sheet.csv")]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "code" in change or "sheet.csv:6:" in error


def test_more_rows_than_there_are_is_an_error(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sheet", "make", system("one", 0.1), "--rows", "251"]) == 1
    assert "251 cannot be drawn from 250 rows" in capsys.readouterr().err
