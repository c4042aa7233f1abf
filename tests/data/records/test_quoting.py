"""What quotes mean between tabs: decided by the whole file, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lit_llm.data.records.layout import Layout, Quoting
from lit_llm.data.records.quoting import resolve
from lit_llm.data.records.reading import MAX_LINE_BYTES, Column, Reader, read_records
from lit_llm.errors import DataError

LETTERS = [
    'a\tb\n"Hola."\tx\n',
    'a\tb\n"Hola, amigo."\tx\nbueno, sí\ty\n',
    'a\tb\nel "grande"\tx\n"Sí, claro"\ty\n',
    'a\tb\n"Sí" y "no"\tx\n',
    'a\tb\n"uno\tx\ndos"\ty\n',
    'a\tb\n"abierta\tx\n',
    'a\tb\n12"\t"3\n4\t5\n',
]
CELLS = [
    'a\tb\n"uno\ndos"\tx\n',
    'a\tb\n"uno\tdos"\tx\n',
    'a\tb\nx\t"{""n"": 1}"\n',
    '"a"\t"b"\n"Hola."\t"x"\n',
    'a\tb\n"Dijo ""hola"" y se fue"\tx\n"""Adiós"", dijo"\ty\n',
]
DOUBT = ['a\tb\n"Hola, amigo."\tx\nbueno\ty\n', 'a\tb\n"Dijo ""hola"""\tx\n', 'a\n"uno\ndos"\n']
SWALLOWED = 'a\tb\n"x\ty\nz"\t1\tw\n'


@pytest.mark.parametrize(
    ("text", "meaning"), [*[(text, "none") for text in LETTERS], *[(text, "csv") for text in CELLS]]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_one_reading_rules_out(tmp_path: Path, text: str, meaning: str, end: str) -> None:
    (tmp_path / "t.tsv").write_bytes(text.replace("\n", end).encode())
    assert resolve(tmp_path / "t.tsv", MAX_LINE_BYTES, Layout()) == meaning


@pytest.mark.parametrize("text", DOUBT)
def test_doubt_is_refused_and_a_setting_ends_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"t\.tsv:2: begins a cell with a quote.*quoting to none .* to csv"):
        resolve(path, MAX_LINE_BYTES, Layout())
    found = {}
    for quoting in ("none", "csv"):
        layout: Quoting = "none" if quoting == "none" else "csv"
        records = read_records(path, {"a": Column("a")}, reader=Reader(Layout(quoting=layout)))
        found[quoting] = [record.values["a"] for record in records]
    assert found["none"] != found["csv"]


def test_a_row_that_is_swallowed_is_not_silent(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(SWALLOWED)
    with pytest.raises(DataError):
        read_records(tmp_path / "t.tsv", {"a": Column("a")})
