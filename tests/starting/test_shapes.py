"""Tables that are written in other ways than rows with columns: what is advised runs, and then `init` does."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main

Captured = pytest.CaptureFixture[str]
PLACE = Path("mi carpeta")

ROWS = [
    {"frase": f"Lucía 'La {k}' compra {k} \"sillas\" por {k * 4} pesos", "nota": {"sillas": k, "de": f'Lucía "{k}"'}}
    for k in range(12)
]
PAIRS = [{"es": f"Compra {k} sillas hoy", "nah": f"Xikkoua {k} ikpalli axkan"} for k in range(12)]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    PLACE.mkdir()
    return tmp_path


def init(*arguments: str) -> int:
    return main(["init", *arguments, "--no-measure"])


def begun(folder: str) -> list[dict[str, Any]]:
    parts = [Path(folder, f"{part}.jsonl").read_text(encoding="utf-8") for part in ("train", "valid", "test")]
    return [json.loads(line) for line in "".join(parts).splitlines()]


def by_column(rows: list[dict[str, Any]], cells: Callable[[list[Any]], Any]) -> dict[str, Any]:
    return {name: cells([row[name] for row in rows]) for name in rows[0]}


def numbered(cells: list[Any]) -> dict[str, Any]:
    return {str(k): cell for k, cell in enumerate(cells)}


def lettered(cells: list[Any]) -> dict[str, Any]:
    return {f"id {k}": cell for k, cell in enumerate(cells)}


def talk(row: dict[str, Any], who: str, what: str, names: tuple[str, str]) -> list[dict[str, str]]:
    said = ("otro", "Hola"), (names[0], row["frase"]), (names[1], json.dumps(row["nota"])), (names[0], "Gracias")
    return [{who: name, what: text} for name, text in said]


TALKS = [{"id": k, "diálogo": talk(row, "role", "content", ("user", "assistant"))} for k, row in enumerate(ROWS)]
SHARED = [{"turns": talk(row, "from", "value", ("human", "gpt"))} for row in ROWS]
SPLIT = {"columns": list(ROWS[0]), "index": list(range(12)), "data": [list(row.values()) for row in ROWS]}

WHOLE: dict[str, tuple[Any, str]] = {
    "a list for each column": (by_column(ROWS, list), "a list for each column ('frase', 'nota')"),
    "pandas columns": (by_column(ROWS, numbered), "an object for each column"),
    "pandas columns by name": (by_column(ROWS, lettered), "an object for each column"),
    "pandas split": (SPLIT, "names of columns and lists of cells"),
    "pandas index": (numbered(ROWS), "rows by name ('0', '1', '2', … (9 more))"),
    "by name": (lettered(ROWS), "rows by name"),
    "lists": ([list(row.values()) for row in ROWS], "is a list of lists"),
    "lists below names": ([list(ROWS[0]), *(list(row.values()) for row in ROWS)], "is a list of lists"),
    "a viewer's page": (
        {"features": [{"n": 1}], "rows": [{"row_idx": k, "row": r} for k, r in enumerate(ROWS)]},
        "rows",
    ),
    "deep": ({"result": {"status": "ok", "its rows": ROWS}}, "around the list 'result.its rows'"),
    "talks": (TALKS, "'diálogo' holds conversations"),
    "rows": ([{"k": k, "fila": row} for k, row in enumerate(ROWS)], "('frase', 'nota') stand within 'fila'"),
}
LINES: dict[str, tuple[list[Any], str]] = {
    "talks with an id": (TALKS, "'diálogo' holds conversations"),
    "shared talks": (SHARED, "'turns' holds conversations"),
    "rows with an id": ([{"id": f"x{k}", "row": row} for k, row in enumerate(ROWS)], "stand within 'row'"),
    "labels": ([{"frase": row["frase"], "clase": "ab"[k % 2]} for k, row in enumerate(ROWS)], '{"clase":"a"}'),
    "one table": ([by_column(ROWS, numbered)], "an object for each column"),
    "one table by name": ([lettered(ROWS)], "rows by name"),
}


def mended(capsys: Captured, said: str) -> str:
    """Run the command at the end of an error, and return the file that it wrote."""
    errors = capsys.readouterr().err.strip().splitlines()
    error = errors[-1]
    assert set(errors) == {error}
    assert said in error
    assert "--text" not in error
    command = re.split(r": (?=jq|sed|\(echo|\S*python)", error)[-1]
    if which(command.split()[0]) is None and command.startswith("jq"):
        pytest.skip("jq is not installed")
    subprocess.run(["bash", "-c", command], check=True)
    return command.rpartition("> ")[2]


@pytest.mark.parametrize("shape", WHOLE)
def test_one_value_becomes_rows(capsys: Captured, shape: str) -> None:
    value, said = WHOLE[shape]
    path = PLACE / "t.json"
    for indent in (1, None):
        path.write_text(json.dumps(value, ensure_ascii=False, indent=indent), encoding="utf-8")
        assert init("extraction", str(path)) == 1
    assert init("extraction", mended(capsys, said), "--output", "o") == 0
    assert len(begun("o")) == 12


@pytest.mark.parametrize("shape", LINES)
def test_lines_become_rows(capsys: Captured, shape: str) -> None:
    rows, said = LINES[shape]
    path = PLACE / "-t.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    assert init("extraction", str(path)) == 1
    assert init("extraction", mended(capsys, said), "--output", "o") == 0
    assert len(begun("o")) == 12


@pytest.mark.parametrize("more", [{}, {"id": "x", "url": "https://a.b"}])
def test_pairs_within_a_column(capsys: Captured, more: dict[str, str]) -> None:
    path = PLACE / "p.jsonl"
    path.write_text("".join(json.dumps(more | {"translation": pair}) + "\n" for pair in PAIRS), encoding="utf-8")
    assert init("translation", str(path)) == 1
    assert init("translation", mended(capsys, "stand within 'translation'"), "--output", "o") == 0
    assert {row["nah"] for row in begun("o")} == {pair["nah"] for pair in PAIRS}


@pytest.mark.parametrize("begin", ["{", "["], ids=["objects", "lists"])
def test_people_with_roles_are_an_answer(capsys: Captured, begin: str) -> None:
    people = [[{"role": "juez", "content": f"n{k}"}, {"role": "user", "content": "m"}] for k in range(12)]
    values = [{"gente": found} if begin == "{" else found for found in people]
    rows = [{"frase": row["frase"], "nota": value} for row, value in zip(ROWS, values, strict=True)]
    Path("g.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert init("extraction", "g.jsonl") == 0


@pytest.mark.parametrize(("between", "said"), [("", "several"), (" ", "several"), (",", "commas"), (",\n", "a comma")])
def test_objects_that_are_not_one_to_a_line(capsys: Captured, between: str, said: str) -> None:
    path = PLACE / "c.jsonl"
    path.write_text(between.join(json.dumps(row) for row in ROWS), encoding="utf-8")
    assert init("extraction", str(path)) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert said in error
    command = re.split(r": (?=jq|sed|\(echo)", error)[-1].partition(" (first")[0]
    subprocess.run(["bash", "-c", command], check=True)
    assert init("extraction", command.rpartition("> ")[2], "--output", "o") == 0
    assert len(begun("o")) == 12


def table(mark: str, **how: Any) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=mark, **how)
    writer.writerows([["frase", "nota"], *([row["frase"], json.dumps(row["nota"])] for row in ROWS)])
    return out.getvalue()


@pytest.mark.parametrize(
    ("mark", "name"),
    [("^", "m.csv"), ("~", "m.tsv"), ("\x01", "m.txt"), ("#", "m.csv"), ("$", "m.txt"), ("¦", "m.csv")],
)
def test_marks_that_are_rare(mark: str, name: str) -> None:
    Path(name).write_text(table(mark), encoding="utf-8")
    assert init("extraction", name) == 0
    assert {row["frase"] for row in begun("m")} == {row["frase"] for row in ROWS}
    assert yaml.safe_load(Path("m/run.yaml").read_text("utf-8"))["data"]["init_args"]["delimiter"] == mark


def test_a_mark_in_the_only_name_parts_nothing(capsys: Captured) -> None:
    Path("m.csv").write_text("precio $\n5\n7\nuno, dos\n", encoding="utf-8")
    assert init("extraction", "m.csv") == 1
    assert "no column holds JSON" in capsys.readouterr().err


@pytest.mark.parametrize("mark", [",", ";"])
def test_quotes_behind_backslashes(capsys: Captured, mark: str) -> None:
    path = PLACE / "it's.csv"
    path.write_text(table(mark, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL), encoding="utf-8")
    assert init("extraction", str(path)) == 1
    assert init("extraction", mended(capsys, "a backslash stands before its quotes"), "--output", "o") == 0
    assert {row["frase"] for row in begun("o")} == {row["frase"] for row in ROWS}


@pytest.mark.parametrize(
    ("named", "encoding"), [([], "utf-8-sig"), (["--json", "la clase"], "utf-8"), ([], "windows-1252")]
)
def test_labels_of_a_table(capsys: Captured, named: list[str], encoding: str) -> None:
    lines = [f"{row['frase'].replace(chr(34), '')};{'aá'[k % 2]}\n" for k, row in enumerate(ROWS)]
    path = PLACE / "c.csv"
    path.write_text("".join(["frase;la clase\n", *lines]), encoding=encoding)
    assert init("extraction", str(path), *named) == 1
    assert init("extraction", mended(capsys, 'such as {"la clase":"a"}'), "--output", "o") == 0
    assert {row["json"]["la clase"] for row in begun("o")} == {"a", "á"}


@pytest.mark.parametrize("task", ["extraction", "translation"])
def test_an_encoding_that_is_told_holds(capsys: Captured, task: str) -> None:
    Path("es.txt").write_text("".join(f"Señal {k}\n" for k in range(12)), encoding="windows-1252")
    Path("nah.txt").write_text("".join(f"Tlen {k}\n" for k in range(12)), encoding="utf-8")
    Path("s.csv").write_bytes(table(",").encode("windows-1252"))
    files = ["s.csv"] if task == "extraction" else ["es.txt", "nah.txt"]
    assert init(task, *files, "--output", "guessed") == 0
    assert init(task, *files, "--encoding", "utf-8", "--output", "told") == 1
    assert "is not UTF-8: 0x" in capsys.readouterr().err


def test_cells_of_nul_are_named_where_a_column_is_missed(capsys: Captured) -> None:
    lines = [f"{row['sillas']},\0\0\n" if k else "sí,\n" for k, row in enumerate(row["nota"] for row in ROWS)]
    Path("n.csv").write_text("".join(["frase,nota\n", *lines]), encoding="utf-8")
    assert init("extraction", "n.csv") == 1
    error = capsys.readouterr().err
    assert "no column holds JSON" in error
    assert "11 rows cannot be read, the first in line 3: holds a NUL" in error
