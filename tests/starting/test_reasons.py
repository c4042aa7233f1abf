"""What is said of rows that are left out, and of files that cannot be read: in full, and in commands that run."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from lit_llm.__main__ import main
from lit_llm.data.records.faults import Fault
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.sniffing import sniff
from lit_llm.errors import DataError
from lit_llm.starting.reasons import by_kind, lines_of
from lit_llm.wording import listed, many, typed

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "its folder").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def rows(count: int = 24) -> list[dict[str, Any]]:
    return [{"nota": f"Inés vende {k} mesas a {k * 3} pesos", "hoja": {"mesas": k}} for k in range(count)]


def write(path: Path, found: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")


def init(*arguments: str) -> int:
    return main(["init", *arguments, "--no-measure"])


TABLE = "a,b\r\nsí,1\r\n¿no?,2\r\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("it's.csv", b"sep=,\n" + TABLE.encode()),
        ("old mac.csv", TABLE.replace("\r\n", "\r").encode()),
        ("array.jsonl", b'[{"a": 1}, {"a": 2}]'),
        ("-pretty.jsonl", b'{\n "a": 1\n}\n{\n "a": 2\n}\n'),
        ("around $it.json", b'{"it\'s": [{"a": 1}, {"a": 2}], "n": 3}'),
    ],
)
def test_a_remedy_can_be_typed_where_the_error_was_met(here: Path, name: str, content: bytes) -> None:
    path = Path("its folder") / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        sniff(path, Layout())
    command = re.split(r": (?=sed|tr|jq)", str(caught.value))[-1]
    if which(command.split()[0]) is None:
        assert typed(path) in command
        return
    subprocess.run(["bash", "-c", command], check=True)
    mended = [Path(file) for file in ("converted.csv", "rows.jsonl", "rows.json") if Path(file).exists()] or [path]
    assert sniff(mended[0]).rows == 2


@pytest.mark.parametrize("suffix", [".gz", ".zip", ".bz2", ".tgz"])
def test_a_packed_file_is_named(here: Path, capsys: Captured, suffix: str) -> None:
    Path(f"its folder/x y{suffix}").write_bytes(b"x")
    assert init("extraction", f"its folder/x y{suffix}") == 1
    assert f"'its folder/x y{suffix}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("messages", "kinds"),
    [
        ([f"clips has no clip 'c-{k:03}'" for k in range(9)], 1),
        ([f"{k} tokens, and the base reads 4,096; shorten it" for k in (5000, 12_345)], 1),
        (["must be a string, got the number 5; x", "must be a string, got null; x"], 2),
        ([f"is not JSON near {text!r}" for text in ("it's a: 5", "a; 'b' \"c\"")] + ["is not JSON near …'x'…"], 1),
        (["the row's text is a 'b'", "the row's text is a 'c d'", "the row's id is a 'b'"], 2),
    ],
)
def test_faults_of_a_kind_are_one(messages: list[str], kinds: int) -> None:
    faults = [Fault(Path("f"), k, message, "b") for k, message in enumerate(messages, start=1)]
    assert len(by_kind(faults)) == kinds
    shown = " ".join(" ".join(lines_of(faults)).split())
    assert shown.count(messages[0]) == 1


def test_kinds_beyond_the_first_are_counted() -> None:
    faults = [Fault(Path("f"), 1, "x" * (k + 1)) for k in range(11)]
    assert lines_of(faults)[-1].strip() == "and 3 other kinds"


def test_what_is_printed_fits_the_terminal(here: Path, capsys: Captured) -> None:
    found = rows()
    found[3]["hoja"] = "{'mesas': 3}"
    found[7]["hoja"] = "{'mesas': 'otras'}"
    found[9]["nota"] *= 900
    found.append(found[0])
    write(Path("its folder/n.jsonl"), found)
    assert init("extraction", "its folder/n.jsonl") == 0
    out, err = capsys.readouterr()
    assert "Token indices" not in out + err
    said = out.partition("Next:")[0]
    assert max(map(len, said.splitlines())) <= 80
    flat = " ".join(said.split())
    assert "3 rows are left out" in flat
    assert "1 text stands in several rows" in flat
    assert "write it as json.dumps(ast.literal_eval(text)) (first in line 4)" in flat
    assert re.search(r"1 nota: has [\d,]+ tokens, and the base reads 4,096; shorten it, or take another", flat)


def test_a_refusal_says_why_and_leaves_one_list(here: Path, capsys: Captured) -> None:
    write(Path("r.jsonl"), [row | {"hoja": str(row["hoja"])} for row in rows()])
    for _ in range(2):
        assert init("extraction", "r.jsonl") == 1
    error = capsys.readouterr().err
    assert "ast.literal_eval" in " ".join(error.split())
    left = [path for path in (here / "tmp").rglob("*") if path.is_file()]
    assert len(left) == 1
    assert f"all of them, with their rows: {left[0]}" in error
    assert len(left[0].read_text(encoding="utf-8").splitlines()) == 24


@pytest.mark.parametrize("column", ["zona", "castellano", "lengua"])
def test_the_field_at_fault_is_the_one_that_holds_the_token(here: Path, capsys: Captured, column: str) -> None:
    pairs = [{"castellano": f"Voy {k} veces", "lengua": f"niau {k}", "zona": "sierra"} for k in range(24)]
    pairs[5] |= {column: "x <|im_start|> y"}
    write(Path("p.jsonl"), pairs)
    assert init("translation", "p.jsonl", "--languages", "castellano,lengua", "--dialect", "zona") == 0
    assert [json.loads(line)["field"] for line in Path("p/bad_rows.jsonl").read_text().splitlines()] == [column]
    assert "1 row is left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "said"), [("NaN", "NaN is not JSON"), ('"a', "is not JSON"), ("Infinity", "Infinity")]
)
def test_rows_that_are_not_json_are_not_called_columns(here: Path, capsys: Captured, value: str, said: str) -> None:
    lines = [json.dumps(row) for row in rows()]
    lines[4] = lines[4].replace('{"mesas": 4}', f'{{"mesas": {value}}}')
    Path("j.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert init("extraction", "j.jsonl") == 0
    out = capsys.readouterr().out
    assert "rows: 24, of which 1 cannot be read" in out
    assert "taken apart" not in out
    assert said in out


def test_words_for_counts_paths_and_lists() -> None:
    assert [many(k, "row") for k in (0, 1, 2000)] == ["0 rows", "1 row", "2,000 rows"]
    assert [typed(name) for name in ("a/b.csv", "a b", "-x", "it's")] == ["a/b.csv", "'a b'", "./-x", "'it'\"'\"'s'"]
    assert listed(range(11), 2) == "0, 1, … (9 more)"
    assert listed([]) == "none"


@pytest.mark.parametrize(
    ("typed_options", "floor"),
    [
        (["--metric", "field_f1", "--min", "0.9"], "--floor field_f1=0.9"),
        (["--metric=exact_match", "--threshold=0.75"], "--floor exact_match=0.75"),
    ],
)
def test_a_least_score_under_another_name(capsys: Captured, typed_options: list[str], floor: str) -> None:
    for options in ([".", *typed_options], [*typed_options, "."]):
        with pytest.raises(SystemExit):
            main(["gate", "quality", *options])
        error = capsys.readouterr().err
        assert floor in error
        assert "usage: python -m lit_llm gate quality" in error
