"""Tables of any text come back cell for cell as other programs write them, with the settings that looking gives.

``LIT_LLM_READER_CASES=5000`` tries that many tables instead of a few.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_llm.data.records.reading import Column, Reader, read_records
from lit_llm.data.records.sniffing import sniff
from lit_llm.errors import DataError

pytest.importorskip("hypothesis")
pytest.importorskip("pandas")
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("LIT_LLM_READER_CASES", "80"))

Table = tuple[list[str], list[list[str]]]

NAMES = ["text", "json", "folio", "es", "nah", "Clave 2", "año", "x_1"]
NASTY = st.text("a\"\t\n\r;,|' {}[]:\\é¿\ufeff\x00\u2028\x85🙂", max_size=8)
PLAIN = st.text("aé\"';,| {}.¿", max_size=8)
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
QUOTED = st.builds('"{}"'.format, st.one_of(PLAIN, NASTY))
JSON = st.dictionaries(st.sampled_from("abc"), st.one_of(st.integers(0, 9), PLAIN), max_size=2).map(json.dumps)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True))
    cells = draw(st.sampled_from([NASTY, PLAIN, ANY, QUOTED, JSON, st.one_of(NASTY, PLAIN, ANY, QUOTED, JSON)]))
    row = st.lists(cells, min_size=len(names), max_size=len(names))
    return names, draw(st.lists(row, min_size=1, max_size=6))


def by_csv(mark: str, quoting: Any, end: str) -> Callable[[Path, Table], None]:
    def write(path: Path, table: Table) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter=mark, quoting=quoting, lineterminator=end)
            writer.writerows([table[0], *table[1]])

    return write


def by_pandas(**options: Any) -> Callable[[Path, Table], None]:
    def write(path: Path, table: Table) -> None:
        import pandas as pd

        frame = pd.DataFrame(table[1], columns=table[0])
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        elif path.suffix in (".json", ".jsonl"):
            frame.to_json(path, **options)
        else:
            frame.to_csv(path, index=False, **options)

    return write


def by_pyarrow(**options: Any) -> Callable[[Path, Table], None]:
    def write(path: Path, table: Table) -> None:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet

        columns = {name: [row[place] for row in table[1]] for place, name in enumerate(table[0])}
        made = pyarrow.table(columns)
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(made, path)
        else:
            pyarrow.csv.write_csv(made, path, pyarrow.csv.WriteOptions(**options))

    return write


def plainly(encoding: str, end: str) -> Callable[[Path, Table], None]:
    def write(path: Path, table: Table) -> None:
        # What such a file cannot hold at all is no table of it.
        rows = [[cell.translate({9: " ", 10: " ", 13: " "}) for cell in row] for row in table[1]]
        table[1][:] = rows
        text = "".join("\t".join(row) + end for row in [table[0], *rows])
        path.write_bytes(text.encode(encoding))

    return write


WRITERS: list[tuple[str, Callable[[Path, Table], None]]] = [
    *[
        (f"t{suffix}", by_csv(mark, quoting, end))
        for suffix, mark in ((".csv", ","), (".csv", ";"), (".tsv", "\t"), (".txt", "|"))
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC)
        for end in ("\n", "\r\n")
    ],
    ("t.csv", by_pandas()),
    ("t.csv", by_pandas(sep=";", encoding="utf-8-sig")),
    ("t.csv", by_pandas(sep=";", encoding="utf-16")),
    ("t.tsv", by_pandas(sep="\t")),
    ("t.tsv", by_pandas(sep="\t", encoding="utf-16", lineterminator="\r\n")),
    ("t.tsv", by_pandas(sep="\t", quoting=csv.QUOTE_ALL)),
    ("t.parquet", by_pandas()),
    ("t.jsonl", by_pandas(orient="records", lines=True)),
    ("t.json", by_pandas(orient="records")),
    ("t.json", by_pandas(orient="records", lines=True, force_ascii=False)),
    ("t.csv", by_pyarrow()),
    ("t.tsv", by_pyarrow(delimiter="\t")),
    ("t.csv", by_pyarrow(delimiter=";", quoting_style="all_valid")),
    ("t.parquet", by_pyarrow()),
    *[("t.tsv", plainly(encoding, end)) for encoding in ("utf-8", "utf-8-sig", "utf-16") for end in ("\n", "\r\n")] * 2,
]


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=CASES < 1000)
@given(table=tables(), writer=st.sampled_from(WRITERS))
def test_a_table_comes_back_or_is_refused_with_its_place(
    tmp_path_factory: pytest.TempPathFactory, table: Table, writer: tuple[str, Callable[[Path, Table], None]]
) -> None:
    path = tmp_path_factory.getbasetemp() / writer[0]
    writer[1](path, table)
    names, rows = table
    try:
        found = sniff(path)
        columns = {name: Column(name, "any", required=False, expected=True) for name in names}
        records = read_records(path, columns, reader=Reader(found.layout))
    except DataError as error:
        assert str(error).startswith(f"{path}"), error
        event(f"refused: {path.suffix}")
        return
    event("came back")
    assert found.columns == names
    assert [list(record.values.values()) for record in records] == rows
    assert (found.rows, found.broken) == (len(rows), 0)


def test_ordinary_tables_are_not_refused(tmp_path: Path) -> None:
    """The property would hold of a reader that refuses everything."""
    rows = [
        ["Dame dos cafés, por favor; gracias.", '{"n": 2, "q": "sí"}'],
        ["línea\ny otra", "{}"],
        ["dijo «no»", "{}"],
    ]
    for number, (name, write) in enumerate(WRITERS):
        table: Table = (["text", "json"], [list(row) for row in rows])
        path = tmp_path / f"{number}{Path(name).suffix}"
        write(path, table)
        found = sniff(path)
        columns = {column: Column(column, "any") for column in table[0]}
        records = read_records(path, columns, reader=Reader(found.layout))
        assert [list(record.values.values()) for record in records] == table[1], number
