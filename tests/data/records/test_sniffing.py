"""What a file of somebody else is found to be, and read so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lit_llm.data.records.layout import Layout
from lit_llm.data.records.reading import Column, Reader, read_records
from lit_llm.data.records.sniffing import sniff
from lit_llm.errors import ConfigError, DataError

ORDERS = [["aviso", "respuesta", "clave"], ["Señor; dos cafés", '{"n": 2}', "f-1"], ["¿un té?", '{"n": 1}', "f-2"]]


def as_csv(mark: str) -> str:
    quoted = [['"' + cell.replace('"', '""') + '"' if set(cell) & {mark, '"'} else cell for cell in r] for r in ORDERS]
    return "".join(mark.join(row) + "\r\n" for row in quoted)


@pytest.mark.parametrize("mark", [",", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "windows-1252", "mac_roman", "cp850"])
def test_a_table_of_another_program(tmp_path: Path, mark: str, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(as_csv(mark).encode(encoding))
    found = sniff(path)
    assert (found.columns, found.rows, found.broken) == (ORDERS[0], 2, 0)
    assert found.lengths["aviso"].longest == len(ORDERS[1][0])
    columns = {name: Column(name) for name in ORDERS[0]}
    records = read_records(path, columns, reader=Reader(found.layout))
    assert [list(record.values.values()) for record in records] == ORDERS[1:]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("Buenos días.\tKualli tonalli.\nAdiós\tTimoitaske\n", ["column_1", "column_2"]),
        ("12\thola\tniltze\n13\tsí\tkema\n", ["column_1", "column_2", "column_3"]),
        ("hola\tniltze\nsí\tkema\n", ["hola", "niltze"]),
        ("frase\nhola\n", ["frase"]),
        ("\ttexto\tclase\n0\thola\ta\n", ["", "texto", "clase"]),
        ("2.5\t\t¿qué?\n0\thola\ta\n", ["column_1", "column_2", "column_3"]),
    ],
)
def test_whether_a_row_names_the_columns(tmp_path: Path, text: str, columns: list[str]) -> None:
    (tmp_path / "t.tsv").write_text(text, encoding="utf-8")
    found = sniff(tmp_path / "t.tsv")
    assert found.columns == columns
    assert found.rows == text.count("\n") - (found.layout.header is True)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "a;b\nй;й\n".encode("koi8-r"), "no encoding is certain; say which in data.init_args.encoding"),
        ("t.txt", b"a;b|c\n1;2|3\n", "part the rows equally well"),
        ("t.tsv", b'a\tb\n"x\t1\ny"\t2\n', ":2: begins a cell with a quote, and the file can be read in two ways"),
        ("t.csv", b"", "holds no records"),
        ("t.csv", b"sep=;\na;b\n1;2\n", ":1: names the separator for Excel"),
        ("t.csv", b"a,b,a\nx,y,z\n", ":1: field 'a': names two columns"),
        ("t.csv", b"a,b,,\nx,y,,\n", ":1: has columns without a name"),
        ("t.jsonl", b'{"a": 1}\r{"a": 2}\r', ":1: its lines end in carriage returns alone, as on old Macs"),
        ("t.tsv", b"a\tb\rc\td\r", "convert it: tr '\\r' '\\n' < "),
        ("t.jsonl", b'{\n "a": 1\n}\n', "flatten it: jq -c . "),
        ("t.json", b'[{"a": 1}, {"a', ":2: is cut: the array does not end"),
        ("t.json", b'{"rows": [{"a": 1}], "n": 3}', "take the list out: jq '.[\"rows\"]' "),
    ],
)
def test_what_is_not_guessed(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        sniff(tmp_path / name)
    assert message in str(caught.value)


def test_an_array_is_a_table(tmp_path: Path) -> None:
    rows = [{"t": "a, [", "j": {"n": [1, "]"]}}, {"t": 'b"}', "j": {}}] * 3000
    (tmp_path / "t.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    found = sniff(tmp_path / "t.json")
    assert (found.kind, found.columns, found.rows) == ("json", ["t", "j"], 6000)
    records = read_records(tmp_path / "t.json", {"t": Column("t"), "j": Column("j", "json")})
    assert [record.values for record in records] == rows
    assert records[-1].id == "t-6000"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delimiter": "ab"}, "delimiter: 'ab' is not one mark"),
        ({"encoding": "utf8-x"}, "there is no text encoding 'utf8-x'; did you mean 'utf-8'"),
        ({"encoding": "base64"}, "there is no text encoding 'base64'"),
        ({"header": ("a", "a")}, "'a' names two columns"),
        ({"header": ()}, "give each column of the file a name"),
        ({"quoting": "all"}, "'all' is not auto, csv or none"),
    ],
)
def test_impossible_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Layout(**settings)  # type: ignore[arg-type]
    assert message in str(caught.value)


@pytest.mark.parametrize(("encoding", "stray"), [("utf-8", b"\xe1"), ("windows-1252", b"\x81")])
def test_a_byte_that_is_no_letter_spoils_its_row_alone(tmp_path: Path, encoding: str, stray: bytes) -> None:
    rows = [f"señal número {k};está aquí\n".encode(encoding) for k in range(40)]
    (tmp_path / "t.csv").write_bytes(b"".join([b"a;b\n", *rows[:20], b"mal" + stray + b";x\n", *rows[20:]]))
    found = sniff(tmp_path / "t.csv")
    assert (found.layout.encoding, found.rows, found.broken) == (encoding, 41, 1)
