"""Copies of predictions.csv: facts as columns, and nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from lit_llm.__main__ import main
from lit_llm.batch import Prediction
from lit_llm.callbacks.prediction_file import COLUMNS, cells, encode
from lit_llm.callbacks.spreadsheet import guarded, write_copy
from lit_llm.report.predictions import read_predictions

ROWS = [
    Prediction("1", "Doña María pide 2", "=1+1", "-5", score=-0.25, meta={"folio": "A-7", "n": 3, "id": "x"}),
    Prediction("2", "dos\nlíneas", "@SUM(A1)", "+52 555", meta={"nota": "\tsangría", "folio": None, "lista": [1, "ñ"]}),
]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def written(folder: Path) -> Path:
    path = folder / "answers.csv"
    path.write_bytes(encode([COLUMNS, *map(cells, ROWS)]))
    return path


def test_facts_become_columns_and_all_else_stays(tmp_path: Path) -> None:
    path = written(tmp_path)
    before = path.read_bytes()
    copy, _ = write_copy(path, flat=True, excel=False)
    assert copy == tmp_path / "answers.flat.csv"
    assert path.read_bytes() == before
    first, second = read(copy)
    own = [name for name in COLUMNS if name != "meta"]
    assert list(first) == [*own, "folio", "meta.id", "n", "lista", "nota"]
    assert [first[name] for name in ("folio", "n", "meta.id", "nota", "id")] == ["A-7", "3", "x", "", "1"]
    assert [second[name] for name in ("folio", "lista", "nota")] == ["", '[1,"ñ"]', "\tsangría"]
    assert [[row[name] for name in own] for row in read(copy)] == [[row[name] for name in own] for row in read(path)]


@pytest.mark.parametrize("flat", [True, False])
def test_a_spreadsheet_knows_the_encoding_and_runs_nothing(tmp_path: Path, flat: bool) -> None:
    copy, long = write_copy(written(tmp_path), flat=flat, excel=True)
    content = copy.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") and long == 0
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    assert ("folio" in rows[0]) == flat
    shown = dict(zip(rows[0], rows[1], strict=True)) | {"other": rows[2][2]}
    assert [shown[name] for name in ("text", "prediction", "reference", "score", "other")] == [
        "Doña María pide 2",
        "'=1+1",
        "-5",
        "-0.250000",
        "'@SUM(A1)",
    ]


@pytest.mark.parametrize("cell", ["=A1", "+1+cmd", "-2-3", "@x", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "-", "+52 5"])
def test_what_would_run_is_guarded(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=b", "-5", "+3", "-1,234.50", "-.5", "1e-7", "-12%", "año", '{"a":-1}', " x"])
def test_what_would_not_run_stays_as_it_is(cell: str) -> None:
    assert guarded(cell) == cell


def test_cells_that_no_spreadsheet_holds_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(encode([COLUMNS, cells(Prediction("1", "x" * 40_000, "y", "z"))]))
    assert write_copy(path, flat=False, excel=True)[1] == 1


def test_a_finished_prediction_is_copied_without_answering_again(short_runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    own = ["--trainer.default_root_dir", str(run), "--ckpt_path", str(short_runs / "plain" / "best.ckpt")]
    predict = ["predict", "--config", str(short_runs / "plain.yaml"), *own]
    assert main(predict) == 0
    before = (run / "predictions.csv").read_bytes()
    assert main([*predict, "--flat", "true", "--excel", "true"]) == 0
    assert (run / "predictions.csv").read_bytes() == before
    assert {row["split"] for row in read(run / "predictions.flat.csv")} == {"one"}
    assert (run / "predictions.excel.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert len(read_predictions(run / "predictions.flat.csv")) == len(read_predictions(run))
