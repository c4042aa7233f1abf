"""Parquet holds more than JSON can: it is written as text, or refused by name before anything is touched."""

from __future__ import annotations

import datetime
import decimal
import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_llm.__main__ import main

pyarrow = pytest.importorskip("pyarrow")
DAY = datetime.date(2024, 2, 29)
COUNT = 40


def rows(kind: Any, value: Any) -> Any:
    texts = pyarrow.array([f"pedido {number}" for number in range(COUNT)])
    return pyarrow.table({"t": texts, "x": pyarrow.array([value] * COUNT, type=kind)})


def split(folder: Path, table: Any) -> int:
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, folder / "t.parquet")
    command = ["split", str(folder / "t.parquet"), "--fields", "t", "--output", str(folder / "out"), "--overwrite"]
    return main([*command, "--valid", "0.1", "--test", "0.1", "--near", "1"])


def earlier(folder: Path) -> dict[str, str]:
    (folder / "out").mkdir(exist_ok=True)
    for name in ("train", "valid", "test"):
        (folder / "out" / f"{name}.jsonl").write_text(f"earlier {name}\n")
    return contents(folder)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in (folder / "out").iterdir()}


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        (lambda: pyarrow.date32(), DAY, "2024-02-29"),
        (lambda: pyarrow.timestamp("ns"), 1_700_000_000_123_456_789, "2023-11-14 22:13:20.123456789"),
        (lambda: pyarrow.time64("us"), datetime.time(7, 5), "07:05:00.000000"),
        (lambda: pyarrow.decimal128(12, 4), decimal.Decimal("1250.5000"), "1250.5000"),
        (lambda: pyarrow.list_(pyarrow.int64()), [1, 2], [1, 2]),
        (lambda: pyarrow.float64(), None, None),
        (lambda: pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), "sí", "sí"),
    ],
)
def test_what_json_lacks_is_text(tmp_path: Path, kind: Callable[[], Any], value: Any, written: Any) -> None:
    assert split(tmp_path, rows(kind(), value)) == 0
    found = [json.loads(line) for text in contents(tmp_path).values() for line in text.splitlines()]
    assert [row["x"] for row in found] == [written] * COUNT


def twice(kind: Any) -> Any:
    field = pyarrow.field("n", kind)
    values = pyarrow.StructArray.from_arrays([pyarrow.array([1] * COUNT, kind)] * 2, fields=[field, field])
    return pyarrow.table({"t": rows(kind, 1)["t"], "x": values})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rows(pyarrow.binary(), b"\xff"), ":1: field 'x': a bytes"),
        (lambda: rows(pyarrow.float64(), float("nan")), ":1: field 'x': nan is not JSON; use null"),
        (lambda: rows(None, [DAY]), ":1: field 'x[0]': a date"),
        (lambda: rows(pyarrow.list_(pyarrow.timestamp("ns")), [17]), "field 'x"),
        (lambda: twice(pyarrow.int32()), ":1: field 'x.n': names two fields of one value"),
        (lambda: rows(None, 1).append_column("x", pyarrow.array([2] * COUNT)), ":1: field 'x': names two columns"),
    ],
)
def test_what_cannot_be_written_leaves_the_earlier_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[], Any], message: str
) -> None:
    before = earlier(tmp_path)
    assert split(tmp_path, make()) == 1
    assert message in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_full_disk_leaves_the_earlier_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, table = earlier(tmp_path), rows(None, "x" * 400)
    import pyarrow.parquet

    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    command = ["split", str(tmp_path / "t.parquet"), "--fields", "t", "--output", str(tmp_path / "out"), "--overwrite"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, most))
    try:
        status = main([*command, "--valid", "0.1", "--test", "0.1", "--near", "1"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert status == 1
    assert "out/train.jsonl: cannot be written: File too large; files that were there are" in capsys.readouterr().err
    assert contents(tmp_path) == before
