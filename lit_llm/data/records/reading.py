"""JSONL, JSON, CSV, TSV and Parquet in; errors that name file, line and field out.

A record is a dict of named columns. Everything that is wrong with a file is found here, before a model is opened, and
told at once: ``orders.jsonl:17: field 'json': …``. Lines count from 1 as an editor counts them (a CSV's header is
line 1); a Parquet file and a JSON array have rows in their place.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_llm.data.records.delimited import nearest
from lit_llm.data.records.faults import Broken, Fault, Faults
from lit_llm.data.records.kinds import raw_rows, rows_of
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import MAX_LINE_BYTES, fail
from lit_llm.data.records.parquet import column_names
from lit_llm.data.records.values import Column, Kind, ValueFault, converted
from lit_llm.errors import DataError
from lit_llm.strict_json import excerpt

__all__ = [
    "MAX_LINE_BYTES",
    "Column",
    "Kind",
    "Reader",
    "Record",
    "raw_rows",
    "read_files",
    "read_records",
    "read_rows",
    "stream_records",
]


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        path: the file it came from.
        line: its line, or its row in a Parquet file or JSON array, from 1.
        id: its own id, or ``<stem>-<line>``.
        values: by the reader's names; None where an optional column has no value.
        notes: why values of lenient columns could not be used.
    """

    path: Path
    line: int
    id: str
    values: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Reader:
    """How files are read.

    Attributes:
        layout: how text files are written.
        max_line_bytes: longest line of a text file.
        faults: gathers what is wrong, for the caller to settle; by default it ends in an error.
        prefix: what ids begin with that a file does not give itself; by default its name.
        seen: is filled with the columns that each file has.
    """

    layout: Layout = field(default_factory=Layout)
    max_line_bytes: int = MAX_LINE_BYTES
    faults: Faults | None = None
    prefix: str | None = None
    seen: dict[Path, list[str]] = field(default_factory=dict)


def read_records(
    path: str | Path,
    columns: Mapping[str, Column],
    *,
    max_line_bytes: int = MAX_LINE_BYTES,
    either: Sequence[str] = (),
    expect: Sequence[Collection[str]] = (),
    reader: Reader | None = None,
) -> list[Record]:
    """Read and validate a ``.jsonl``, ``.ndjson``, ``.json``, ``.csv``, ``.tsv`` or ``.parquet`` file.

    Args:
        path: the file.
        columns: what to read, by the name that :attr:`Record.values` will use. A column named ``id`` fills
            :attr:`Record.id` and is not among the values. Other columns of the file are ignored.
        max_line_bytes: longest line of a text file, unless ``reader`` says it.
        either: optional columns of which every record must have one.
        expect: groups of columns; the file must have all of one group.
        reader: how the file is read, and where faults go.

    Raises:
        DataError: if the file or, without a place for faults, one of its records is not as it should be.
    """
    reader = reader or Reader(max_line_bytes=max_line_bytes)
    return list(_stream([Path(path)], columns, reader, either, expect))


def read_files(
    paths: Sequence[str | Path],
    columns: Mapping[str, Column],
    *,
    max_line_bytes: int = MAX_LINE_BYTES,
    reader: Reader | None = None,
) -> list[Record]:
    """Read several files as :func:`read_records` does; an id may occur once in all of them.

    Files of one name get default ids with their folder in front, so that these never collide.

    Raises:
        DataError: as :func:`read_records`, and if two records have one id.
    """
    reader = reader or Reader(max_line_bytes=max_line_bytes)
    return list(_stream([Path(path) for path in paths], columns, reader, (), ()))


def read_rows(
    path: str | Path, *, max_line_bytes: int = MAX_LINE_BYTES, layout: Layout | None = None
) -> list[dict[str, Any]]:
    """Return all columns of a file as JSON can hold them; a row without an ``id`` gets that of a data module.

    Raises:
        DataError: if the file cannot be read as rows of named columns, is empty, or an id occurs twice.
    """
    file, faults = Path(path), Faults()
    layout = layout or Layout()
    rows = list(rows_of(file, delimited=layout.delimiter is not None)(file, (), max_line_bytes, layout))
    found = []
    for line, row in rows:
        record = _record(file, file.stem, line, row, {"id": Column("id", "id", required=False)}, faults)
        if record is not None and isinstance(row, dict):
            found.append((record, row))
    _refuse_empty(file, len(rows))
    known: dict[str, tuple[Path, int]] = {}
    for record, _ in found:
        _is_new(record, known, "id", faults)
    faults.rows = len(rows)
    faults.settle()
    return [{"id": record.id} | row | {"id": record.id} for record, row in found]


def stream_records(
    path: str | Path,
    columns: Mapping[str, Column],
    *,
    either: Sequence[str] = (),
    expect: Sequence[Collection[str]] = (),
    reader: Reader | None = None,
) -> Iterator[Record]:
    """Return the records of a file as :func:`read_records` does, one by one, so that a large file fills no memory.

    Its columns are looked at before this returns, its rows as they are asked for; without a place for faults, these
    end in an error behind the last row.

    Raises:
        DataError: as :func:`read_records`.
    """
    reader = reader or Reader()
    return _stream([Path(path)], columns, reader, either, expect)


def _stream(
    files: Sequence[Path],
    columns: Mapping[str, Column],
    reader: Reader,
    either: Sequence[str],
    expect: Sequence[Collection[str]],
) -> Iterator[Record]:
    """Look at the columns of all files, and return what yields their records."""
    counts = {}
    for file in dict.fromkeys(files):
        seen = _Seen.of(file, columns, reader)
        reader.seen[file], counts[file] = seen.present, seen.rows
        _refuse_empty(file, seen.rows)
        _refuse_absent(file, seen, columns, expect or [[name] for name in either])
    return _records(files, columns, reader, either, counts)


def _records(
    files: Sequence[Path],
    columns: Mapping[str, Column],
    reader: Reader,
    either: Sequence[str],
    counts: Mapping[Path, int],
) -> Iterator[Record]:
    stems = [file.stem for file in files]
    faults = Faults() if reader.faults is None else reader.faults
    name = columns["id"].name if "id" in columns else "id"
    known: dict[str, tuple[Path, int]] = {}
    for file in files:
        prefix = reader.prefix or (file.stem if stems.count(file.stem) == 1 else f"{file.parent.name}/{file.stem}")
        for line, row in _rows(file, columns, reader):
            record = _record(file, prefix, line, row, columns, faults)
            if record is None or not _has_one(record, either, columns, faults):
                continue
            # Lines of one file that give no ids have unlike ones, which need not be remembered.
            if (len(files) == 1 and name not in reader.seen[file]) or _is_new(record, known, name, faults):
                yield record
        faults.rows += counts[file]
    if reader.faults is None:
        faults.settle()


@dataclass(frozen=True)
class _Seen:
    """What a first look at a file tells of its columns.

    Attributes:
        rows: how many there are, broken ones among them.
        whole: how many are not broken.
        first: the line of the first of these.
        present: the columns that there are.
    """

    rows: int
    whole: int
    first: int
    present: list[str]

    @classmethod
    def of(cls, path: Path, columns: Mapping[str, Column], reader: Reader) -> _Seen:
        """Look at all rows of a file."""
        rows = whole = first = 0
        present: dict[str, None] = {}
        for line, row in _rows(path, columns, reader):
            rows += 1
            if isinstance(row, dict):
                whole += 1
                first = first or line
                present.update(dict.fromkeys(row))
        named = column_names(path) if path.suffix.lower() == ".parquet" else list(present)
        return cls(rows, whole, first, named)


def _rows(path: Path, columns: Mapping[str, Column], reader: Reader) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    read = rows_of(path, delimited=reader.layout.delimiter is not None)
    try:
        yield from read(path, columns.values(), reader.max_line_bytes, reader.layout)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _refuse_empty(path: Path, rows: int) -> None:
    if not rows:
        raise DataError(f"{path}: holds no records; is it the right file, and was it written to the end?")


def _refuse_absent(path: Path, seen: _Seen, columns: Mapping[str, Column], groups: Sequence[Collection[str]]) -> None:
    """Refuse a file that lacks a column as a whole, which is no fault of its rows."""
    if not seen.whole:
        return
    needed = [column for column in columns.values() if column.required or column.expected]
    missing = [column.name for column in needed if column.name not in seen.present]
    lacks = [[columns[key].name for key in group if columns[key].name not in seen.present] for group in groups]
    if lacks and all(lacks):
        missing += sorted(lacks, key=lambda lack: len(lack))[0]
    if missing:
        every = " from every row" if seen.whole > 1 else ""
        fail(path, seen.first, missing[0], f"is missing{every}; {nearest(missing[0], seen.present)}")


def _has_one(record: Record, either: Sequence[str], columns: Mapping[str, Column], faults: Faults) -> bool:
    if not either or any(record.values[name] is not None for name in either):
        return True
    names = [columns[name].name for name in either]
    message = f"has no value, nor has {' or '.join(map(repr, names[1:]))}"
    faults.add(Fault(record.path, record.line, message, names[0], record.values, record.id))
    return False


def _is_new(record: Record, known: dict[str, tuple[Path, int]], name: str, faults: Faults) -> bool:
    """Whether a record's id did not occur before.

    Args:
        record: the record.
        known: places of the ids so far; gets this one's.
        name: what the files call the id.
        faults: notes both places of an id that occurs twice.
    """
    if record.id in known:
        place = ":".join(map(str, known[record.id]))
        message = f"{excerpt(record.id)} is already the id of {place}; give each record its own"
        faults.add(Fault(record.path, record.line, message, name, record.values, record.id))
        return False
    known[record.id] = record.path, record.line
    return True


def _record(
    path: Path,
    prefix: str,
    line: int,
    row: dict[str, Any] | Broken,
    columns: Mapping[str, Column],
    faults: Faults,
) -> Record | None:
    own = f"{prefix}-{line}"
    if isinstance(row, Broken):
        faults.add(Fault(path, line, row.message, row.field, row.raw, own))
        return None
    values: dict[str, Any] = {}
    wrong: list[ValueFault] = []
    notes: list[str] = []
    for key, column in columns.items():
        try:
            values[key] = _value(row, column)
        except ValueFault as error:
            values[key] = None
            if column.lenient:
                notes.append(f"field '{error.where}': {error.message}")
            else:
                wrong.append(error)
    found = values.pop("id", None)
    own = own if found is None else found
    for fault in wrong:
        faults.add(Fault(path, line, fault.message, fault.where, row, own))
    return None if wrong else Record(path, line, own, values, notes)


def _value(row: dict[str, Any], column: Column) -> Any:
    if column.required and column.name not in row:
        raise ValueFault(f"is missing; {nearest(column.name, row)}", column.name)
    return converted(row.get(column.name), column)
