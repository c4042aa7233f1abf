"""JSONL, CSV, TSV and Parquet in; errors that name file, line and field out.

A record is a dict of named columns. Everything that is wrong with a file is found here, before a model is opened, and
said in one line: ``orders.jsonl:17: field 'json': …``. Lines count from 1 as an editor counts them (a CSV's header is
line 1); a Parquet file has rows in their place.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lit_llm.data.records.lines import fail, files_like, text_lines
from lit_llm.data.records.parquet import column_names, parquet_rows
from lit_llm.errors import DataError
from lit_llm.strict_json import JSONError, excerpt, json_type, loads

Kind = Literal["text", "json", "id"]
"""``text``: a string that is not blank; ``json``: an object or array, or text of one; ``id``: a string or integer."""

MAX_LINE_BYTES = 1 << 20
"""Longest line that is read unless told otherwise: one forgotten newline must not fill the memory."""


@dataclass(frozen=True)
class Column:
    """A field to read.

    Attributes:
        name: as the file calls it.
        kind: what its values must be.
        required: whether every record must have a value.
    """

    name: str
    kind: Kind = "text"
    required: bool = True


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        path: the file it came from.
        line: its line, or its row in a Parquet file, from 1.
        id: its own id, or ``<stem>-<line>``.
        values: by the reader's names; None where an optional column has no value.
    """

    path: Path
    line: int
    id: str
    values: dict[str, Any]

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.path}:{self.line}"


def read_records(
    path: str | Path,
    columns: Mapping[str, Column],
    *,
    max_line_bytes: int = MAX_LINE_BYTES,
    either: Sequence[str] = (),
) -> list[Record]:
    """Read and validate a ``.jsonl``, ``.ndjson``, ``.csv``, ``.tsv`` or ``.parquet`` file.

    Args:
        path: the file.
        columns: what to read, by the name that :attr:`Record.values` will use. A column named ``id`` fills
            :attr:`Record.id` and is not among the values. Other columns of the file are ignored.
        max_line_bytes: longest line of a text file.
        either: optional columns of which every record must have one.

    Raises:
        DataError: if the file or one of its records is not as it should be; nothing is skipped but blank lines.
    """
    records = read_files([path], columns, max_line_bytes=max_line_bytes)
    for record in records:
        if either and all(record.values[name] is None for name in either):
            names = [columns[name].name for name in either]
            fail(record.path, record.line, names[0], f"has no value, nor has {' or '.join(map(repr, names[1:]))}")
    return records


def read_rows(path: str | Path, *, max_line_bytes: int = MAX_LINE_BYTES) -> list[dict[str, Any]]:
    """Return all columns of a file as they are; a row without an ``id`` gets the one that a data module would give it.

    Raises:
        DataError: if the file cannot be read as rows of named columns, is empty, or an id occurs twice.
    """
    file = Path(path)
    rows = list(_reader(file)(file, (), max_line_bytes))
    if not rows:
        raise DataError(f"{file}: holds no records; is it the right file, and was it written to the end?")
    records = [_record(file, file.stem, line, row, {"id": Column("id", "id", required=False)}) for line, row in rows]
    check_unique_ids(records)
    return [{"id": record.id} | row | {"id": record.id} for record, (_, row) in zip(records, rows, strict=True)]


def read_parallel(pattern: str, names: Sequence[str], *, max_line_bytes: int = MAX_LINE_BYTES) -> list[Record]:
    """Read plain text files of equally many lines, one for each of ``names`` in the place of ``{lang}``.

    Returns:
        A record for each line, with a value for each name; None where the line is blank.

    Raises:
        DataError: if a file cannot be read, or the files differ in their number of lines.
    """
    paths = {name: Path(pattern.replace("{lang}", name)) for name in names}
    texts = {
        name: [text.rstrip("\r\n") for _, text in text_lines(path, max_line_bytes)] for name, path in paths.items()
    }
    counts = {paths[name]: len(lines) for name, lines in texts.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{path} has {count} lines" for path, count in counts.items())
        raise DataError(f"{pattern}: {listed}: parallel files have one line for each pair")
    first = paths[names[0]]
    rows = zip(*texts.values(), strict=True)
    return [
        Record(
            first, line, f"{first.stem}-{line}", {n: t if t.strip() else None for n, t in zip(names, row, strict=True)}
        )
        for line, row in enumerate(rows, start=1)
    ]


def read_files(
    paths: Sequence[str | Path], columns: Mapping[str, Column], *, max_line_bytes: int = MAX_LINE_BYTES
) -> list[Record]:
    """Read several files as :func:`read_records` does; an id may occur once in all of them.

    Files of one name get default ids with their folder in front, so that these never collide.

    Raises:
        DataError: as :func:`read_records`, and if two records have one id.
    """
    files = [Path(path) for path in paths]
    stems = [file.stem for file in files]
    records: list[Record] = []
    for file in files:
        prefix = file.stem if stems.count(file.stem) == 1 else f"{file.parent.name}/{file.stem}"
        found = _read_file(file, prefix, columns, max_line_bytes)
        if not found:
            raise DataError(f"{file}: holds no records; is it the right file, and was it written to the end?")
        records += found
    check_unique_ids(records, columns["id"].name if "id" in columns else "id")
    return records


def check_unique_ids(records: Iterable[Record], name: str = "id") -> None:
    """Raise a DataError that names both places if an id occurs twice.

    Args:
        records: of one or of several files.
        name: what the files call the id.
    """
    seen: dict[str, Record] = {}
    for record in records:
        first = seen.setdefault(record.id, record)
        if first is not record:
            message = f"{excerpt(record.id)} is already the id of {first.place}; give each record its own"
            fail(record.path, record.line, name, message)


def _read_file(path: Path, prefix: str, columns: Mapping[str, Column], limit: int) -> list[Record]:
    reader = _reader(path)
    try:
        rows = list(reader(path, columns.values(), limit))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    return [_record(path, prefix, line, row, columns) for line, row in rows]


def _record(path: Path, prefix: str, line: int, row: dict[str, Any], columns: Mapping[str, Column]) -> Record:
    values = {key: _value(path, line, row, column) for key, column in columns.items()}
    own = values.pop("id", None)
    return Record(path, line, f"{prefix}-{line}" if own is None else own, values)


def _value(path: Path, line: int, row: dict[str, Any], column: Column) -> Any:
    if column.required and column.name not in row:
        fail(path, line, column.name, f"is missing; {_nearest(column.name, row)}")
    value = row.get(column.name)
    blank = value == "" or (column.kind == "text" and isinstance(value, str) and not value.strip())
    if value is None or (blank and not column.required):
        if column.required:
            fail(path, line, column.name, "is null; give it a value or remove the record")
        return None
    try:
        return _CONVERT[column.kind](value)
    except JSONError as error:
        fail(path, line, f"{column.name}.{error.where}".rstrip("."), error.message)
    except ValueError as error:
        fail(path, line, column.name, str(error))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, got {json_type(value)} {excerpt(value)}")
    if not value.strip():
        raise ValueError("is blank; give it a value or remove the record")
    return value


def _id(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"must be a string or an integer, got {json_type(value)} {excerpt(value)}")
    return _text(value)


def _json(value: Any) -> Any:
    if isinstance(value, str):
        value = loads(_text(value))
    if not isinstance(value, dict | list):
        raise ValueError(f"must be a JSON object or array, got {json_type(value)} {excerpt(value)}")
    return value


_CONVERT: dict[Kind, Callable[[Any], Any]] = {"text": _text, "json": _json, "id": _id}


_Rows = Iterator[tuple[int, dict[str, Any]]]


def _jsonl(path: Path, columns: Collection[Column], limit: int) -> _Rows:
    for line, text in text_lines(path, limit):
        if not text.strip():
            continue
        if line == 1 and text.lstrip().startswith("["):
            fail(path, line, "", f"is a JSON array; write one object per line: jq -c '.[]' {path.name}")
        try:
            row = loads(text.rstrip("\r\n"))
        except JSONError as error:
            fail(path, line, error.where, error.message)
        if not isinstance(row, dict):
            fail(path, line, "", f"must be a JSON object, got {json_type(row)} {excerpt(row)}")
        yield line, row


def _delimited(delimiter: str) -> Callable[[Path, Collection[Column], int], _Rows]:
    def rows(path: Path, columns: Collection[Column], limit: int) -> _Rows:
        """Yield the rows below the header."""
        header: list[str] = []
        for line, cells in _cells(path, delimiter, limit):
            if not header:
                header = cells
                _check_header(path, line, header, columns)
            elif len(cells) != len(header):
                name = header[len(cells)] if len(cells) < len(header) else header[-1]
                hint = f"quote a value that holds {delimiter!r} or a line break"
                fail(path, line, name, f"the row has {len(cells)} values for {len(header)} columns; {hint}")
            else:
                yield line, dict(zip(header, cells, strict=True))

    return rows


def _cells(path: Path, delimiter: str, limit: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each non-blank row begins, and its cells."""
    reader = csv.reader((text for _, text in text_lines(path, limit)), delimiter=delimiter, strict=True)
    line = 1
    # The csv module's own limit is one for the whole process and lower than ours.
    before = csv.field_size_limit(limit)
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        fail(path, line, "", f"is not {path.suffix[1:].upper()}: {error}; is a quote left open in this row?")
    finally:
        csv.field_size_limit(before)


def _check_header(path: Path, line: int, header: list[str], columns: Collection[Column]) -> None:
    for name in header:
        if header.count(name) > 1:
            fail(path, line, name, "names two columns; rename one")
    for column in columns:
        if column.required and column.name not in header:
            hint = f"{_nearest(column.name, header)}{_other_delimiter(header)}"
            fail(path, line, column.name, f"is missing from the header; {hint}")


def _other_delimiter(header: list[str]) -> str:
    found = next((mark for mark in ";\t|," if mark in header[0]), None) if len(header) == 1 else None
    return f". Is {found!r} its separator? .csv means ',' and .tsv a tab" if found else ""


def _parquet(path: Path, columns: Collection[Column], limit: int) -> _Rows:
    present = column_names(path)
    for column in columns:
        if column.required and column.name not in present:
            fail(path, 1, column.name, f"is not a column; {_nearest(column.name, present)}")
    return parquet_rows(path, [column.name for column in columns if column.name in present])


_READERS: dict[str, Callable[[Path, Collection[Column], int], _Rows]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": _delimited(","),
    ".tsv": _delimited("\t"),
    ".parquet": _parquet,
}


def _reader(path: Path) -> Callable[[Path, Collection[Column], int], _Rows]:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file in it{files_like('', path)}")
    if not path.exists():
        raise DataError(f"{path}: no such file{files_like(path.name, path.parent)}")
    if path.suffix.lower() not in _READERS:
        known = ", ".join(_READERS)
        raise DataError(f"{path}: the extension {path.suffix!r} is not one of {known}; convert or rename the file")
    return _READERS[path.suffix.lower()]


def _nearest(name: str, present: Iterable[str]) -> str:
    names = [str(item) for item in present]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(excerpt(item) for item in names[:8]) + (", …" if len(names) > 8 else "")
    return f"did you mean {near[0]!r}? (there are {listed})" if near else f"there are {listed or 'none'}"
