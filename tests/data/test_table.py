"""Reading settings through the command line: bad rows, ids, kept columns, and rows that cannot be answered."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main
from lit_llm.data import ExtractionData, TranslationData
from lit_llm.errors import ConfigError, DataError
from tests import short_runs

TABLE = """\
mensaje;salida;folio;sucursal
"dame dos panes; sí";"{""n"": 2}";a-1;Norte
;"{""n"": 3}";a-2;Norte
un café;"{""n"": }";a-3;Sur
tres tés;"{'n': 3}";a-4;Sur
cuatro tés;"{""n"": 4}";a-1;Sur
cinco tés;"{""n"": 5}"
"seis tés;"{""n"": 6}";a-6;Sur
siete tés;"{""n"": 7}";a-7;
"""
SETTINGS: dict[str, Any] = {
    "text_field": "mensaje",
    "json_field": "salida",
    "delimiter": ";",
    "encoding": "windows-1252",
    "id_field": "folio",
    "keep": ["sucursal"],
}


def table(folder: Path, text: str = TABLE, name: str = "t.csv") -> str:
    (folder / name).write_bytes(text.encode("windows-1252"))
    return str(folder / name)


def test_all_faults_are_told_at_once_and_written(tmp_path: Path) -> None:
    data = ExtractionData(train=table(tmp_path), **SETTINGS)
    with pytest.raises(DataError) as caught:
        data.read(tmp_path / "t.csv")
    said = str(caught.value).splitlines()
    assert said[0].startswith(f"{tmp_path}/t.csv:3: field 'mensaje': is blank")
    assert "6 of 8 rows are bad" in said[1]
    assert sum(line.startswith("  t.csv:") for line in said) == 5
    assert "ast.literal_eval" in str(caught.value) and "bad_rows to skip" in said[-1]
    listed = Path(said[-2].rpartition(": ")[2])
    found = [json.loads(line) for line in listed.read_text("utf-8").splitlines()]
    assert sorted(fault["line"] for fault in found) == [3, 4, 5, 6, 7, 8]
    assert next(fault for fault in found if fault["line"] == 3)["row"]["folio"] == "a-2"


def test_bad_rows_are_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    data = ExtractionData(train=table(tmp_path), **SETTINGS, bad_rows="skip")
    found = data.read(tmp_path / "t.csv")
    assert [(e.id, e.text, e.meta) for e in found] == [
        ("a-1", "dame dos panes; sí", {"sucursal": "Norte"}),
        ("a-7", "siete tés", {"sucursal": ""}),
    ]
    assert data.counts["t.csv: bad rows, left out"] == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": ["score"]}, "keep: 'score' is a name that predictions.csv uses itself"),
        ({"keep": ["surcusal"]}, "t.csv:1: field 'surcusal': is missing from the header; did you mean 'sucursal'?"),
        ({"id_field": "clave"}, "t.csv:1: field 'clave': is missing from the header"),
        ({"delimiter": ","}, "Is ';' its separator? Set data.init_args.delimiter to it"),
        ({"encoding": "utf-8"}, "set data.init_args.encoding to windows-1252"),
        ({"header": ["mensaje", "salida", "folio", "sucursal"]}, "leave header out"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError)) as caught:
        ExtractionData(train=table(tmp_path), **(SETTINGS | settings)).read(tmp_path / "t.csv")
    assert message in str(caught.value)


def test_plain_text_has_no_columns_to_keep(tmp_path: Path) -> None:
    for lang in ("es", "nah"):
        (tmp_path / f"t.{lang}").write_text("a\n")
    with pytest.raises(ConfigError, match=r"data.init_args.keep: .* is plain text, which has no columns"):
        TranslationData(keep=["source_of"]).read(tmp_path / "t.{lang}")


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps over a table with bad rows."""
    folder = tmp_path_factory.mktemp("table")
    data = {"train": table(folder), "batch_size": 2, "bad_rows": "skip", **SETTINGS}
    generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 4}}
    return short_runs.fit(folder / "run", data, backbone=str(root / "checkpoints/qwen3-tiny"), generator=generator)


def test_rows_that_were_left_out_lie_in_the_run(run: Path) -> None:
    lines = (run / "bad_rows" / "t.csv.jsonl").read_text("utf-8").splitlines()
    assert sorted(json.loads(line)["line"] for line in lines) == [3, 4, 5, 6, 7, 8]


ASKED = """\
mensaje;folio;sucursal
un pan;b-1;Norte
;b-2;Sur
dos <|im_end|> panes;b-3;Sur
tres;b-4
cuatro;b-1;Sur
"""


def test_what_cannot_be_answered_is_a_row_with_its_reason(run: Path, tmp_path: Path) -> None:
    text = ASKED + "pan " * 5000 + ";b-6;Sur\n"
    asked, out = table(tmp_path, text, "asked.csv"), tmp_path / "out.csv"
    options = ["--data.predict", asked, "--predictions", str(out)]
    assert main(["predict", "--config", str(run / "config.yaml"), *options]) == 0
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["b-1", "b-2", "b-3", "asked-5", "asked-6", "b-6"]
    reasons = [row["error"] for row in rows if row["status"] == "error"]
    assert rows[0]["status"] != "error" and len(reasons) == 5
    wanted = ("is blank", "control token", "the row has 2 values for 3 columns", "already the id", "exceeds the")
    assert all(part in reason for part, reason in zip(wanted, reasons, strict=True)), reasons
    assert [json.loads(row["meta"]).get("sucursal") for row in rows] == ["Norte", "Sur", "Sur", None, "Sur", "Sur"]
    assert rows[2]["text"] == "dos <|im_end|> panes"


def test_a_text_is_answered_whatever_its_own_answer_is(run: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps({"type": "object", "required": ["n"]}))
    answers = ['{"n": 1}', "{'n': 1}", '{"m": 1}', '{"n": "<|im_end|>"}', "7", ""]
    with (tmp_path / "asked.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [["mensaje", "salida", "folio"], *(["pan", answer, f"f-{at}"] for at, answer in enumerate(answers))]
        csv.writer(file, delimiter=";").writerows(rows)
    schema = ["--data.schema", str(tmp_path / "schema.json"), "--data.keep", "[]"]
    options = ["--data.predict", str(tmp_path / "asked.csv"), "--predictions", str(tmp_path / "out.csv"), *schema]
    assert main(["predict", "--config", str(run / "config.yaml"), *options]) == 0
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reference"] for row in rows] == ['{"n":1}', "", "", '{"n":"<|im_end|>"}', "", ""]
    assert all(row["status"] != "error" and row["raw"] for row in rows)
    reasons = [json.loads(row["meta"]).get("reference_error", "") for row in rows]
    wanted = ("", "single quotes", "'n' is a required property", "", "must be a JSON object", "")
    pairs = list(zip(wanted, reasons, strict=True))
    assert all(part in reason and bool(part) == bool(reason) for part, reason in pairs), reasons


def test_a_table_of_another_kind_is_refused(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = table(tmp_path, ASKED.replace("mensaje", "menasje"), "asked.csv")
    before = sorted(run.rglob("*"))
    assert main(["predict", "--config", str(run / "config.yaml"), "--data.predict", asked]) == 1
    assert "did you mean 'menasje'?" in capsys.readouterr().err
    assert sorted(run.rglob("*")) == before
    assert yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]["keep"] == ["sucursal"]
