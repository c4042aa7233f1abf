from __future__ import annotations

import json

import pytest

from lit_llm.data.records.reading import Column, read_files, read_records
from lit_llm.errors import DataError

COLUMNS = {"id": Column("id", "id", required=False), "text": Column("text"), "json": Column("json", "json")}
GOOD = '{"text": "dos cafés", "json": {"n": 2}}\n'


def record(**changes):
    return json.dumps({"text": "a", "json": {"n": 1}, **changes}) + "\n"


def nested(depth):
    return '{"text": "a", "json": ' + '{"a": ' * depth + "1" + "}" * depth + "}\n"


# name of the file, its content, and what its error must hold after the folder
JSONL = [
    pytest.param('{"text": "a", "json": {"n": 1}\n', ":1: is not JSON: Expecting ',' delimiter at column 31", id="cut"),
    pytest.param(
        GOOD + '{"text" "a"}\n', ":2: is not JSON: Expecting ':' delimiter at column 9, near '{\"text\"", id="json"
    ),
    pytest.param(GOOD + "{'text': 'a'}\n", ":2: is not JSON: Expecting property name", id="single quotes"),
    pytest.param(GOOD + "\n\n" + '{"text": "a"}\n', ":4: field 'json': is missing; there are 'text'", id="missing"),
    pytest.param(
        record(json=None).replace("json", "jsno"), ":1: field 'json': is missing; did you mean 'jsno'?", id="near"
    ),
    pytest.param(record(text=7), ":1: field 'text': must be a string, got the number 7", id="number as text"),
    pytest.param(record(text=["a"]), ":1: field 'text': must be a string, got an array ['a']", id="array as text"),
    pytest.param(record(text=True), ":1: field 'text': must be a string, got the boolean True", id="boolean as text"),
    pytest.param(record(text=" \t"), ":1: field 'text': is blank", id="blank text"),
    pytest.param(record(text=None), ":1: field 'text': is null", id="null text"),
    pytest.param(record(json=None), ":1: field 'json': is null", id="null json"),
    pytest.param(
        record(json=3), ":1: field 'json': must be a JSON object or array, got the number 3", id="scalar json"
    ),
    pytest.param(
        record(json='"a"'), ":1: field 'json': must be a JSON object or array, got the string 'a'", id="string json"
    ),
    pytest.param(
        record(json='{"n": '), ":1: field 'json': is not JSON: Expecting value at column 7", id="broken string"
    ),
    pytest.param(record(json='{"n": [NaN]}'), ":1: field 'json.n[0]': NaN is not JSON", id="NaN in a string"),
    pytest.param(
        record(json={"a": [{"n": float("nan")}]}), ":1: field 'json.a[0].n': NaN is not JSON; use null", id="NaN"
    ),
    pytest.param(record(json={"n": float("-inf")}), ":1: field 'json.n': -Infinity is not JSON", id="infinity"),
    pytest.param('{"text": "a", "json": {"n": 1e999}}', ":1: field 'json.n': '1e999' is too large", id="overflow"),
    pytest.param(
        '{"text": "a", "json": {"n": %s}}' % ("9" * 5000), ":1: holds a number that cannot be read", id="digits"
    ),
    pytest.param('{"text": "a", "text": "b", "json": {}}', ":1: field 'text': occurs twice in one object", id="twice"),
    pytest.param(
        '{"text": "a", "json": {"b": {"n": 1, "n": 2}}}', ":1: field 'json.b.n': occurs twice", id="inner twice"
    ),
    pytest.param('{"text": "\\ud800", "json": {}}', ":1: field 'text': holds half of a surrogate pair", id="surrogate"),
    pytest.param(nested(70), ":1: field 'json': is nested deeper than 64 levels", id="deep"),
    pytest.param(nested(100_000), ":1: is nested deeper than 64 levels", id="very deep"),
    pytest.param(
        "[" + GOOD.strip() + "]",
        ":1: is a JSON array; name the file .json, or write one object per line",
        id="array",
    ),
    pytest.param(GOOD + '"a"\n', ":2: must be a JSON object, got the string 'a'", id="not an object"),
    pytest.param(record(id=" ") + GOOD, ":1: field 'id': is blank", id="blank id"),
    pytest.param(record(id=1.5), ":1: field 'id': must be a string or an integer, got the number 1.5", id="float id"),
    pytest.param(record(id=True), ":1: field 'id': must be a string or an integer, got the boolean", id="boolean id"),
    pytest.param(record(id="k") + GOOD + record(id="k"), ":3: field 'id': 'k' is already the id of ", id="duplicate"),
    pytest.param(
        record(id=5) + record(id="5"), ":2: field 'id': '5' is already the id of ", id="duplicate across types"
    ),
    pytest.param(record(id="x-2") + GOOD, ":2: field 'id': 'x-2' is already the id of ", id="clash with a default id"),
    pytest.param("", ": holds no records", id="empty"),
    pytest.param("\n \r\n\n", ": holds no records", id="blank lines"),
    pytest.param(GOOD + "a" * 10_000_000, ":2: is longer than 1,048,576 bytes; split the record or raise", id="10 MB"),
    pytest.param(
        GOOD.encode("latin-1"), ":1: is not UTF-8: 0xe9 at byte 18 of the line (offset 17 in the file)", id="latin 1"
    ),
    pytest.param(GOOD.encode() + b'{"\xff', ":2: is not UTF-8: 0xff at byte 3 of the line (offset 43 in", id="offset"),
    pytest.param(GOOD.encode("utf-16"), ":1: is UTF-16; set data.init_args.encoding to utf-16", id="utf-16"),
    pytest.param(GOOD.replace("dos", "d\0s"), ":1: holds a NUL at column 12; remove it", id="NUL"),
]

CSV = [
    pytest.param(
        "text,jsno\na,{}\n", ":1: field 'json': is missing from the header; did you mean 'jsno'?", id="column"
    ),
    pytest.param(
        "text;json\na;{}\n",
        ":1: field 'text': is missing from the header; did you mean 'text;json'? (there are 'text;json'). Is ';'",
        id="semicolon",
    ),
    pytest.param("text,json,text\na,{},b\n", ":1: field 'text': names two columns", id="column twice"),
    pytest.param("text,json\na,{}\nb\n", ":3: field 'json': the row has 1 value for 2 columns", id="short row"),
    pytest.param('text,json\na,{"n": 1, "m": 2}\n', ":2: field 'json': ", id="unquoted json"),
    pytest.param(
        'text,json\n"a\nb",{}\n\n"c","{""n"": }"\n',
        ":5: field 'json': is not JSON: Expecting value at column 7",
        id="cell",
    ),
    pytest.param("text,json\na,\n", ":2: field 'json': is blank", id="empty json"),
    pytest.param("text,json\n,{}\n", ":2: field 'text': is blank", id="empty text"),
    pytest.param("text,json\na,3\n", ":2: field 'json': must be a JSON object or array", id="scalar"),
    pytest.param(
        'text,json\na,{}\n"b,{}\nc,{}\n',
        ":3: is not CSV: unexpected end of data; is a quote left open",
        id="open quote",
    ),
    pytest.param('text,json\n"a"b,{}\n', ":2: is not CSV: ',' expected after '\"'", id="text after a quote"),
    pytest.param("text,json\na\0,{}\n", ":2: holds a NUL at column 2", id="NUL"),
    pytest.param("text,json\ná,{}\n".encode("latin-1"), ":2: is not UTF-8: 0xe1 at byte 1", id="latin 1"),
    pytest.param(
        "text,json\n" + '"' + f"{'a' * 200},{{}}\n" * 6_000,
        ":2: is not CSV: a quoted cell is longer than",
        id="swallowed",
    ),
    pytest.param("id,text,json\n7,a,{}\n7,b,{}\n", ":3: field 'id': '7' is already the id of ", id="duplicate id"),
    pytest.param("text,json\n", ": holds no records", id="header alone"),
    pytest.param("", ": holds no records", id="empty"),
]


@pytest.mark.parametrize(("content", "message"), JSONL)
def test_malformed_jsonl(tmp_path, content, message):
    check_error(tmp_path / "x.jsonl", content, message)


@pytest.mark.parametrize(("content", "message"), CSV)
def test_malformed_csv(tmp_path, content, message):
    check_error(tmp_path / "x.csv", content, message)


def check_error(path, content, message):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError) as caught:
        read_records(path, COLUMNS)
    said = str(caught.value)
    assert said.startswith(f"{path}{message}")
    assert "\n" not in said
    assert len(said) < 400 + 2 * len(str(path))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"text": ["a"], "jsno": ["{}"]}, ":1: field 'json': is not a column; did you mean 'jsno'?"),
        ({"text": ["a", None], "json": ["{}", "{}"]}, ":2: field 'text': is null"),
        ({"text": ["a", "b"], "json": [{"n": 1}, None]}, ":2: field 'json': is null"),
        ({"text": ["a", "b"], "json": ["{}", "{"]}, ":2: field 'json': is not JSON: Expecting property name"),
        ({"text": [1], "json": ["{}"]}, ":1: field 'text': must be a string, got the number 1"),
        ({"text": ["a"], "json": [{"n": float("nan")}]}, ":1: field 'json.n': nan is not JSON"),
        ({"text": ["a"], "json": [{"n": b"x"}]}, ":1: field 'json.n': a bytes b'x' is not JSON"),
        ({"text": ["a", "b"], "json": ["{}", "{}"], "id": [1, 1]}, ":2: field 'id': '1' is already the id of "),
        ({"text": [], "json": []}, ": holds no records"),
    ],
)
def test_malformed_parquet(tmp_path, rows, message):
    path = tmp_path / "x.parquet"
    write_parquet(path, rows)
    with pytest.raises(DataError) as caught:
        read_records(path, COLUMNS)
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize("keep", [0, 3, 40, -1])
def test_a_parquet_file_that_is_cut(tmp_path, keep):
    path = tmp_path / "x.parquet"
    write_parquet(path, {"text": ["a"], "json": ["{}"]})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"x\.parquet: is not a readable Parquet file: .*; write it again"):
        read_records(path, COLUMNS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trian.jsonl", "trian.jsonl: no such file: {folder} has train.jsonl"),
        ("0", "0: no such file: {folder} has test.csv, train.jsonl"),
        ("other/train.jsonl", "other/train.jsonl: no such file; its folder {folder}/other does not exist either"),
        ("", ": is a folder; name a file in it: {folder} has test.csv, train.jsonl"),
        ("notes.txt", "notes.txt: the extension '.txt' is not one of .jsonl, .ndjson, .json, .csv, .tsv"),
    ],
)
def test_a_file_that_cannot_be_opened(tmp_path, name, message):
    for file in ("train.jsonl", "test.csv", "notes.txt"):
        (tmp_path / file).write_text(GOOD)
    with pytest.raises(DataError) as caught:
        read_records(tmp_path / name, COLUMNS)
    assert message.format(folder=tmp_path) in str(caught.value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("blank", ["", "  "])
def test_byte_order_marks_line_ends_and_blank_lines_are_fine(tmp_path, end, mark, blank):
    lines = end.join(['{"text": "dos cafés", "json": {"n": 2}}', blank, '{"text": "a", "json": []}'])
    (tmp_path / "x.jsonl").write_bytes(mark + lines.encode())
    found = read_records(tmp_path / "x.jsonl", COLUMNS)
    assert [(item.id, item.line, item.values) for item in found] == [
        ("x-1", 1, {"text": "dos cafés", "json": {"n": 2}}),
        ("x-3", 3, {"text": "a", "json": []}),
    ]
    assert found[1].place == f"{tmp_path}/x.jsonl:3"


@pytest.mark.parametrize(("name", "mark"), [("x.csv", ","), ("x.tsv", "\t")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimited_files(tmp_path, name, mark, end):
    lines = [f"text{mark}n{mark}json", f'"dos{end}""cafés"""{mark}1{mark}"{{""n"": 2}}"', "", f"a{mark}2{mark}[]"]
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + end.join(lines).encode())
    found = read_records(tmp_path / name, COLUMNS)
    assert [(item.id, item.values) for item in found] == [
        ("x-2", {"text": f'dos{end}"cafés"', "json": {"n": 2}}),
        ("x-5", {"text": "a", "json": []}),
    ]


def test_parquet(tmp_path):
    rows = {
        "text": ["a", "b"],
        "json": [{"n": 1, "m": [2.5]}, {"n": None, "m": []}],
        "id": ["k", None],
        "other": [b"", b""],
    }
    write_parquet(tmp_path / "x.parquet", rows)
    found = read_records(tmp_path / "x.parquet", COLUMNS)
    assert [(item.id, item.values["json"]) for item in found] == [
        ("k", {"n": 1, "m": [2.5]}),
        ("x-2", {"n": None, "m": []}),
    ]


def test_columns_have_the_readers_names_and_may_be_absent(tmp_path):
    (tmp_path / "x.csv").write_text("pedido,nota\na,\nb,c\n")
    columns = {"text": Column("pedido"), "note": Column("nota", required=False), "json": Column("j", "json", False)}
    found = read_records(tmp_path / "x.csv", columns)
    assert [item.values for item in found] == [
        {"text": "a", "note": None, "json": None},
        {"text": "b", "note": "c", "json": None},
    ]


def test_an_optional_value_must_still_be_of_its_kind(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "a", "json": 3}')
    with pytest.raises(DataError, match=r"x\.jsonl:1: field 'json': must be"):
        read_records(tmp_path / "x.jsonl", {"text": Column("text"), "json": Column("json", "json", required=False)})


def test_the_limit_of_a_line_can_be_set(tmp_path):
    (tmp_path / "x.jsonl").write_text(GOOD)
    size = len(GOOD.encode())
    assert read_records(tmp_path / "x.jsonl", COLUMNS, max_line_bytes=size - 1)
    with pytest.raises(DataError, match=f":1: is longer than {size - 2} bytes"):
        read_records(tmp_path / "x.jsonl", COLUMNS, max_line_bytes=size - 2)


def test_ids_of_several_files(tmp_path):
    for name in ("a/test.jsonl", "b/test.jsonl", "b/train.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(GOOD)
    found = read_files([tmp_path / "a/test.jsonl", tmp_path / "b/test.jsonl", tmp_path / "b/train.jsonl"], COLUMNS)
    assert [item.id for item in found] == ["a/test-1", "b/test-1", "train-1"]


def test_one_id_in_two_files_names_both(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text(record(id="k"))
    with pytest.raises(DataError) as caught:
        read_files([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], COLUMNS)
    assert "b.jsonl:1: field 'id': 'k' is already the id of" in str(caught.value)
    assert "a.jsonl:1;" in str(caught.value)


def test_all_files_of_the_real_data_are_read(real_data):
    files = sorted((real_data / "data/extraction").glob("*.jsonl"))
    found = read_files(files, COLUMNS)
    assert len(found) == sum(len(file.read_text("utf-8").splitlines()) for file in files) > 7000


def write_parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table(rows), path)
