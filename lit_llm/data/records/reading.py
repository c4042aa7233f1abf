"""JSONL, JSON, CSV, TSV and Parquet in; errors that name file, line and field out.

A record is a dict of named columns. Everything that is wrong with a file is found here, before a model is opened, and
told at once: ``orders.jsonl:17: field 'json': …``. Lines count from 1 as an editor counts them (a CSV's header is
line 1); a Parquet file and a JSON array have rows in their place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_llm.data.records.delimited import nearest
from lit_llm.data.records.faults import Broken, Fault, Faults
from lit_llm.data.records.kinds import raw_rows, rows_of
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import MAX_LINE_BYTES, amid, fail, text_lines
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
    "read_parallel",
    "read_records",
    "read_rows",
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
    return _read([Path(path)], columns, reader, either, expect)


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
    return _read([Path(path) for path in paths], columns, reader, (), ())


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
    _refuse_empty(file, rows)
    _unique([record for record, _ in found], "id", faults)
    faults.rows = len(rows)
    faults.settle()
    return [{"id": record.id} | row | {"id": record.id} for record, row in found]


def read_parallel(
    pattern: str, names: Sequence[str], *, max_line_bytes: int = MAX_LINE_BYTES, reader: Reader | None = None
) -> list[Record]:
    """Read plain text files of equally many lines, one for each of ``names`` in the place of ``{lang}``.

    Returns:
        A record for each line, with a value for each name; None where the line is blank.

    Raises:
        DataError: if a file cannot be read, or the files differ in their number of lines.
    """
    reader = reader or Reader(max_line_bytes=max_line_bytes)
    faults = Faults() if reader.faults is None else reader.faults
    paths = {name: Path(pattern.replace("{lang}", name)) for name in names}
    texts = {name: _text_rows(path, reader) for name, path in paths.items()}
    counts = {paths[name]: len(lines) for name, lines in texts.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{path} has {count} lines" for path, count in counts.items())
        raise DataError(f"{pattern}: {listed}: parallel files have one line for each pair")
    first = paths[names[0]]
    records = []
    for line, row in enumerate(zip(*texts.values(), strict=True), start=1):
        own = f"{reader.prefix or first.stem}-{line}"
        values = dict(zip(names, row, strict=True))
        broken = {name: text for name, text in values.items() if isinstance(text, Broken)}
        for name, text in broken.items():
            faults.add(Fault(paths[name], line, text.message, row=text.raw, id=own))
        if not broken:
            found = {name: text if str(text).strip() else None for name, text in values.items()}
            records.append(Record(first, line, own, found))
    faults.rows += len(next(iter(texts.values())))
    if reader.faults is None:
        faults.settle()
    return records


def _text_rows(path: Path, reader: Reader) -> list[str | Broken]:
    lines = text_lines(path, reader.max_line_bytes, reader.layout)
    return [text if isinstance(text, Broken) else amid(text, path) or text.rstrip("\r\n") for _, text in lines]


def _read(
    files: Sequence[Path],
    columns: Mapping[str, Column],
    reader: Reader,
    either: Sequence[str],
    expect: Sequence[Collection[str]],
) -> list[Record]:
    stems = [file.stem for file in files]
    faults = Faults() if reader.faults is None else reader.faults
    records: list[Record] = []
    for file in files:
        prefix = reader.prefix or (file.stem if stems.count(file.stem) == 1 else f"{file.parent.name}/{file.stem}")
        rows = _rows(file, columns, reader)
        _refuse_empty(file, rows)
        reader.seen[file] = _present(file, rows)
        _refuse_absent(file, rows, columns, expect or [[name] for name in either], reader.seen[file])
        found = [_record(file, prefix, line, row, columns, faults) for line, row in rows]
        records += [record for record in found if record is not None and _has_one(record, either, columns, faults)]
        faults.rows += len(rows)
    records = _unique(records, columns["id"].name if "id" in columns else "id", faults)
    if reader.faults is None:
        faults.settle()
    return records


def _rows(path: Path, columns: Mapping[str, Column], reader: Reader) -> list[tuple[int, dict[str, Any] | Broken]]:
    read = rows_of(path, delimited=reader.layout.delimiter is not None)
    try:
        return list(read(path, columns.values(), reader.max_line_bytes, reader.layout))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _refuse_empty(path: Path, rows: Sequence[Any]) -> None:
    if not rows:
        raise DataError(f"{path}: holds no records; is it the right file, and was it written to the end?")


def _refuse_absent(
    path: Path,
    rows: Sequence[tuple[int, dict[str, Any] | Broken]],
    columns: Mapping[str, Column],
    groups: Sequence[Collection[str]],
    present: Collection[str],
) -> None:
    """Refuse a file that lacks a column as a whole, which is no fault of its rows."""
    whole = [line for line, row in rows if isinstance(row, dict)]
    if not whole:
        return
    needed = [column for column in columns.values() if column.required or column.expected]
    missing = [column.name for column in needed if column.name not in present]
    lacks = [[columns[key].name for key in group if columns[key].name not in present] for group in groups]
    if lacks and all(lacks):
        missing += sorted(lacks, key=lambda lack: len(lack))[0]
    if missing:
        every = " from every row" if len(whole) > 1 else ""
        fail(path, whole[0], missing[0], f"is missing{every}; {nearest(missing[0], present)}")


def _present(path: Path, rows: Sequence[tuple[int, dict[str, Any] | Broken]]) -> list[str]:
    if path.suffix.lower() == ".parquet":
        return column_names(path)
    return list(dict.fromkeys(key for _, row in rows if isinstance(row, dict) for key in row))


def _has_one(record: Record, either: Sequence[str], columns: Mapping[str, Column], faults: Faults) -> bool:
    if not either or any(record.values[name] is not None for name in either):
        return True
    names = [columns[name].name for name in either]
    message = f"has no value, nor has {' or '.join(map(repr, names[1:]))}"
    faults.add(Fault(record.path, record.line, message, names[0], record.values, record.id))
    return False


def _unique(records: Sequence[Record], name: str, faults: Faults) -> list[Record]:
    """Return the records whose ids did not occur before.

    Args:
        records: of one or of several files.
        name: what the files call the id.
        faults: notes both places of an id that occurs twice.
    """
    seen: dict[str, Record] = {}
    for record in records:
        first = seen.setdefault(record.id, record)
        if first is not record:
            message = f"{excerpt(record.id)} is already the id of {first.place}; give each record its own"
            faults.add(Fault(record.path, record.line, message, name, record.values, record.id))
    return list(seen.values())


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
