"""From a file as people have it to a folder whose commands run."""

from __future__ import annotations

import csv
import io
import json
import shlex
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
import yaml
from pyarrow import parquet

from lit_llm.__main__ import main
from scripts.demo_data.make_messy import WAYS, make_messy

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    return tmp_path


def rows_of(path: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def init(*arguments: str) -> int:
    return main(["init", *arguments, "--no-measure"])


def notes(count: int) -> list[dict[str, Any]]:
    """Return rows of a task of its own: what was lent to whom."""
    names = ["Ana Peña", "José Ibáñez", "Zoë Núñez", "Iker Müller"]
    things = ["la escalera", "dos martillos", "el taladro", "una pala", "la sierra"]
    return [
        {
            "aviso": f"{names[k % 4]} se llevó {things[k % 5]} el día {k + 1} y pagó {k * 1.5:.2f} de fianza",
            "ficha": {"quien": names[k % 4], "dia": k + 1, "fianza": k * 1.5, "nota": None},
            "turno": "mañana" if k % 2 else "tarde",
        }
        for k in range(count)
    ]


def write_csv(path: Path, rows: list[dict[str, Any]], mark: str, encoding: str) -> None:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=mark)
    writer.writeheader()
    writer.writerows([row | {"ficha": json.dumps(row["ficha"], ensure_ascii=False)} for row in rows])
    path.write_bytes(out.getvalue().encode(encoding))


@pytest.mark.parametrize(
    ("name", "mark", "encoding"), [("a.csv", ";", "windows-1252"), ("b.tsv", "\t", "utf-8"), ("c.csv", "|", "utf-16")]
)
def test_a_table_becomes_a_folder(here: Path, capsys: Captured, name: str, mark: str, encoding: str) -> None:
    notes_of = notes(40)
    write_csv(here / name, notes_of, mark, encoding)
    assert init("extraction", name) == 0
    out = capsys.readouterr().out
    assert "texts are in 'aviso'" in out
    assert "'ficha' (--json)" in out
    folder = here / name[0]
    parts = {part: rows_of(folder / f"{part}.jsonl") for part in ("train", "valid", "test")}
    assert [len(rows) for rows in parts.values()] == [32, 4, 4]
    everything = sorted((row for rows in parts.values() for row in rows), key=lambda row: row["ficha"]["dia"])
    assert everything == [{"id": f"{name[0]}-{k + 2}"} | row for k, row in enumerate(notes_of)]
    assert rows_of(folder / "bad_rows.jsonl") == []
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    assert list(schema["properties"]) == ["quien", "dia", "fianza", "nota"]
    assert schema["properties"]["quien"]["enum"] == sorted({row["ficha"]["quien"] for row in notes_of})


def test_the_run_file_stands_by_itself(here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    write_csv(here / "a.csv", notes(12), ";", "windows-1252")
    assert init("extraction", "a.csv", "--text", "aviso", "--seed", "5") == 0
    (here / "elsewhere").mkdir()
    (here / "a").rename(here / "elsewhere/moved")
    monkeypatch.chdir("/")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["fit", "--config", str(here / "elsewhere/moved/run.yaml"), "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)
    data = found["data"]["init_args"]
    assert (data["train"], found["seed_everything"]) == (str(here / "elsewhere/moved/train.jsonl"), 5)
    assert (data["text_field"], data["json_field"], data["keep"], data["delimiter"]) == (
        "aviso",
        "ficha",
        ["turno"],
        ";",
    )
    assert Path(found["model"]["init_args"]["backbone"]).is_absolute()


def test_every_bad_row_is_listed(here: Path, capsys: Captured) -> None:
    spoilt = make_messy(here / "o.csv", rows=200, bad=len(WAYS), ways=len(WAYS), seed=3)
    assert init("extraction", "o.csv") == 0
    listed = {row["line"]: row for row in rows_of("o/bad_rows.jsonl")}
    # Orders hold line breaks, so that a row's line tells nothing of its folio.
    found = {folio for folio in spoilt if any(folio in json.dumps(row["row"]) for row in listed.values())}
    assert {spoilt[folio] for folio in set(spoilt) - found} == {"a cell too few"}
    assert len(listed) == len(spoilt)
    assert all(row["reason"] for row in listed.values())
    kept = [row["folio"] for part in ("train", "valid", "test") for row in rows_of(f"o/{part}.jsonl")]
    assert len(kept) == len(set(kept)) == 200 - len(spoilt)
    assert not set(kept) & set(spoilt)
    assert f"{len(spoilt)} rows are left out" in capsys.readouterr().out


def test_one_array_of_objects_with_names_of_its_own(here: Path) -> None:
    rows = [{"natural_language": row["aviso"], "json_data": row["ficha"], "id": k} for k, row in enumerate(notes(20))]
    rows[3]["natural_language"] = None
    del rows[7]["natural_language"]
    (here / "r.json").write_text(json.dumps(rows, ensure_ascii=False, indent=2), encoding="utf-8")
    assert init("extraction", "r.json", "--output", "out/here") == 0
    assert [(row["line"], row["field"]) for row in rows_of("out/here/bad_rows.jsonl")] == [
        (4, "natural_language"),
        (8, "natural_language"),
    ]
    ids = sorted(int(row["id"]) for part in ("train", "valid", "test") for row in rows_of(f"out/here/{part}.jsonl"))
    assert ids == [k for k in range(20) if k not in (3, 7)]


def test_a_parquet_file_of_other_types(here: Path) -> None:
    rows = [row | {"ficha": json.dumps(row["ficha"]), "alta": date(2024, 1, k + 1)} for k, row in enumerate(notes(12))]
    parquet.write_table(pyarrow.Table.from_pylist(rows), here / "p.parquet")
    assert init("extraction", "p.parquet") == 0
    assert rows_of("p/train.jsonl")[0]["alta"].startswith("2024-01-")


def test_texts_that_are_nearly_the_same_stay_together(here: Path) -> None:
    texts = [f"{row['aviso']}{mark}" for row in notes(15) for mark in ("", "!", " .")]
    rows = [{"texto": text, "json": {"n": k}} for k, text in enumerate(texts)]
    (here / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert init("extraction", "d.jsonl") == 0
    parts = {part: {row["json"]["n"] // 3 for row in rows_of(f"d/{part}.jsonl")} for part in ("train", "valid", "test")}
    assert not (parts["train"] & parts["test"] or parts["train"] & parts["valid"] or parts["valid"] & parts["test"])


def test_two_parallel_files(here: Path, capsys: Captured) -> None:
    (here / "es.txt").write_text("".join(f"El perro número {k} duerme.\n" for k in range(30)), encoding="utf-8")
    sentences = [f"In itskuintli {k} kochi.\n" for k in range(30)]
    (here / "nah.txt").write_text("".join([*sentences[:9], "\n", *sentences[10:]]), encoding="utf-8")
    assert init("translation", "es.txt", "nah.txt", "--languages", "es,nah=náhuatl clásico") == 0
    settings = yaml.safe_load((here / "es-nah/run.yaml").read_text(encoding="utf-8"))["data"]["init_args"]
    assert settings["languages"] == {"es": "español", "nah": "náhuatl clásico"}
    assert [row["line"] for row in rows_of("es-nah/bad_rows.jsonl")] == [10]
    assert rows_of("es-nah/train.jsonl")[0]["nah"].startswith("In itskuintli")
    (here / "nah.txt").write_text("".join(sentences[:20]), encoding="utf-8")
    assert init("translation", "es.txt", "nah.txt", "--output", "x") == 1
    assert "nah.txt:21: es.txt has 30 lines and nah.txt has 20 lines" in capsys.readouterr().err


def test_pairs_with_a_variety(here: Path) -> None:
    words = [f"{first} {second}" for first in ("casa", "perro", "milpa", "río", "cerro") for second in "ABCDEF"]
    lines = [f'Frase "{word}" {word[::-1]}\tInin {word}\thuasteca\tc{len(word) % 3}' for word in words]
    (here / "p.tsv").write_text("\n".join(["castellano\tlengua\tvariante\tcorpus_no", *lines]) + "\n", encoding="utf-8")
    assert init("translation", "p.tsv") == 0
    data = yaml.safe_load((here / "p/run.yaml").read_text(encoding="utf-8"))["data"]["init_args"]
    assert (list(data["languages"]), data["dialect_field"], data["keep"]) == (
        ["castellano", "lengua"],
        "variante",
        ["corpus_no"],
    )
    texts = {row["castellano"] for part in ("train", "valid", "test") for row in rows_of(f"p/{part}.jsonl")}
    assert texts == {f'Frase "{word}" {word[::-1]}' for word in words}


def test_a_folder_of_clips(here: Path) -> None:
    (here / "clips/more").mkdir(parents=True)
    table = ["uid,text"]
    for k in range(30):
        values = np.random.default_rng(k).normal(size=(8 + k, 6)).astype(np.float32)
        values[0, 0] = np.nan if k == 4 else 0
        np.save(here / f"clips/more/v{k // 3}-{k % 3}.npy", values[:, : 5 if k == 11 else 6])
        table.append(f"v{k // 3}-{k % 3},La frase número {k}")
    (here / "t.csv").write_text("\n".join([*table, "v77-1,No está"]) + "\n", encoding="utf-8")
    assert init("sign", "clips", "t.csv") == 0
    assert {row["id"] for row in rows_of("t/bad_rows.jsonl")} == {"v1-1", "v3-2", "v77-1"}
    videos = [{row["video_id"] for row in rows_of(f"t/{part}.jsonl")} for part in ("train", "valid", "test")]
    assert not (videos[0] & videos[1] or videos[0] & videos[2] or videos[1] & videos[2])
    assert main(["audit", "--config", "t/run.yaml"]) == 0


MISTAKES: list[tuple[list[str], str]] = [
    (["extraction", "orders.cvs"], "did you mean orders.csv"),
    (["extraction", "nowhere/orders.csv"], "its folder nowhere does not exist"),
    (["extraction", "folder"], "is a folder; name a file in it"),
    (["sign", "orders.csv", "orders.csv"], "the folder of clips comes first"),
    (["sign", "folder", "orders.csv"], "is empty: it holds no clip"),
    (["extraction", "sheet.xlsx"], "save the sheet as CSV"),
    (["extraction", "empty.csv"], "is empty"),
    (["extraction", "orders.csv", "--text", "avisso"], "no column 'avisso'; did you mean 'aviso'"),
    (["extraction", "orders.csv", "--json", "x"], "no column 'x'"),
    (["extraction", "one.csv"], "no column holds JSON"),
    (["extraction", "bad.csv"], "0 of 2 rows can be used"),
    (["extraction", "same.jsonl"], "all rows form 1 group"),
    (["extraction", "orders.csv", "one.csv"], "takes one file, got 2"),
    (["extraction", "orders.csv", "--encoding", "latin-77"], "--encoding: there is no text encoding"),
    (["extraction", "orders.csv", "--backbone", "./no/such"], "there is no folder ./no/such"),
    (["extraction", "orders.csv", "--output", "."], "holds orders.csv, which is to be read"),
    (["extraction", "orders.csv", "--output", "one.csv"], "is a file; name a folder"),
    (["extraction", "orders.csv", "--output", "full"], "add --overwrite, which moves it aside"),
    (["translation", "one.csv"], "needs two columns of text"),
    (["translation", "orders.csv", "--languages", "es"], "is not two names"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(words) for words, _ in MISTAKES])
def test_a_mistake_is_answered_and_changes_nothing(
    here: Path, capsys: Captured, arguments: list[str], message: str
) -> None:
    write_csv(here / "orders.csv", notes(6), ";", "utf-8")
    (here / "folder").mkdir()
    (here / "full").mkdir()
    (here / "full/mine.txt").write_text("mine")
    (here / "sheet.xlsx").write_bytes(b"PK")
    (here / "empty.csv").write_text("")
    (here / "one.csv").write_text("frase\nhola amigo\nadiós amiga\n", encoding="utf-8")
    (here / "bad.csv").write_text("texto,json\nhola,{'a': 1\n,{}\n", encoding="utf-8")
    same = json.dumps({"texto": "siempre lo mismo", "json": {"a": 1}}) + "\n"
    (here / "same.jsonl").write_text(same * 5, encoding="utf-8")
    before = sorted(path.relative_to(here) for path in here.rglob("*"))
    assert init(*arguments) == 1
    assert message in capsys.readouterr().err
    assert sorted(path.relative_to(here) for path in here.rglob("*")) == before


def test_a_folder_in_the_way_is_moved_aside(here: Path) -> None:
    write_csv(here / "a.csv", notes(12), ",", "utf-8")
    (here / "a/run").mkdir(parents=True)
    (here / "a/run/best.ckpt").write_text("weights")
    assert init("extraction", "a.csv", "--overwrite") == 0
    assert (here / "a.old/run/best.ckpt").read_text() == "weights"
    assert not (here / "a/run").exists()
    assert init("extraction", "a.csv", "--overwrite") == 0
    assert sorted(path.name for path in here.iterdir()) == ["a", "a.csv", "a.old", "a.old-2"]


def run_printed(out: str) -> int:
    """Run the commands that `init` printed, as they stand, and return how many there were."""
    printed = [line.strip() for line in out.partition("Next:\n")[2].splitlines()]
    for line in printed:
        assert main(shlex.split(line)[3:]) == 0, line
    return len(printed)


@pytest.mark.slow
def test_the_printed_commands_run(here: Path, capsys: Captured) -> None:
    make_messy(here / "pedidos.csv", rows=60, bad=10, ways=10, seed=1)
    assert main(["init", "extraction", "pedidos.csv", "--minutes", "0.1"]) == 0
    out = capsys.readouterr().out
    assert "takes about" in out
    assert out.partition("Next:\n")[2].replace("  ", "") in (here / "pedidos/README.md").read_text(encoding="utf-8")
    assert run_printed(out) == 5
    with (here / "pedidos/run/predictions.csv").open(newline="", encoding="utf-8") as file:
        answered = list(csv.DictReader(file))
    folios = {row["id"]: row["folio"] for row in rows_of("pedidos/test.jsonl")}
    assert {row["id"]: json.loads(row["meta"])["folio"] for row in answered} == folios
    # The same program answers the file as its owner writes it.
    raw = (here / "pedidos.csv").read_bytes().split(b"\r\n")
    (here / "new_pedidos.csv").write_bytes(b"\r\n".join(raw[:6]) + b"\r\n")
    readme = (here / "pedidos/README.md").read_text(encoding="utf-8").splitlines()
    command = next(line for line in readme if "new_pedidos.csv" in line)
    assert main(shlex.split(command)[3:]) == 0
    assert (here / "answers.csv").read_text(encoding="utf-8").count("pedidos-") >= 5


@pytest.mark.slow
def test_the_printed_commands_translate(here: Path, capsys: Captured) -> None:
    lines = [f"{row['aviso']}\t{row['aviso'][::-1]}\thuasteca\n" for row in notes(24)]
    (here / "pares.tsv").write_text("".join(["frase\ttraducción\tvariante\n", *lines]), encoding="utf-8")
    assert main(["init", "translation", "pares.tsv", "--minutes", "0.1"]) == 0
    assert run_printed(capsys.readouterr().out) == 5
