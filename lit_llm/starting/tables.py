"""A person's table as it is: how it is written, its columns, its rows, and what is wrong with each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_llm.data.records.encodings import detect
from lit_llm.data.records.faults import Broken, Fault
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import text_lines
from lit_llm.data.records.reading import MAX_LINE_BYTES, Column, Record, raw_rows
from lit_llm.data.records.sniffing import sniff
from lit_llm.data.records.values import ValueFault, converted
from lit_llm.data.table import RESERVED
from lit_llm.errors import DataError
from lit_llm.starting.columns import by_name, present
from lit_llm.wording import many

SAMPLE = 2000


@dataclass
class Table:
    """A file of rows.

    Attributes:
        path: the file.
        layout: how it is written.
        columns: their names.
        raw: the rows that could be taken apart, by line.
        faults: the rows that cannot be used, as far as is known.
        findings: what was seen, a line each.
        unfit: why a column that is called like one of ids is none.
    """

    path: Path
    layout: Layout
    columns: list[str]
    raw: dict[int, dict[str, Any]]
    faults: list[Fault] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    unfit: dict[str, str] = field(default_factory=dict)

    def sample(self) -> list[dict[str, Any]]:
        """Return some rows to guess from, taken evenly from the whole file."""
        rows = list(self.raw.values())
        return rows[:: max(1, len(rows) // SAMPLE)]

    def records(self, columns: Mapping[str, Column]) -> list[Record]:
        """Return the rows whose values are what they must be; the others are noted as faults."""
        kept: list[Record] = []
        seen: dict[str, int] = {}
        for line, row in self.raw.items():
            try:
                values = {
                    key: _value(row, column) for key, column in columns.items() if key != "id" or _filled(row, column)
                }
                name = str(values.pop("id", f"{self.path.stem}-{line}"))
                if name in seen:
                    raise ValueFault(f"{name!r} is already the id of line {seen[name]}", columns["id"].name)
            except ValueFault as fault:
                self.faults.append(Fault(self.path, line, fault.message, fault.where, row, f"{self.path.stem}-{line}"))
                continue
            seen[name] = line
            kept.append(Record(self.path, line, name, values))
        return kept

    def identity(self, named: str | None, taken: Sequence[str]) -> str | None:
        """Return the column of ids: the one that is named, or one that is called so and whose values differ.

        Rows without an id are called by file and line; of rows with the same id, the first is good.
        """
        if named:
            return present("--id", named, self.columns)
        guess = by_name("id", self.columns, taken)
        if guess is None:
            return None
        values = [str(row[guess]) for row in self.raw.values() if row.get(guess) not in (None, "")]
        if values and len(set(values)) >= 0.9 * len(values):
            return guess
        self.unfit[guess] = (
            f"has {many(len(set(values)), 'value')} for {many(len(values), 'row')}, too few to tell rows apart"
            if values
            else "is empty"
        )
        return None

    def id_name(self, identity: str | None) -> str:
        """Return the name under which ids are written: one that the file does not use for something else."""
        return identity or ("row_id" if "id" in self.columns else "id")

    def kept(self, taken: Sequence[str | None]) -> list[str]:
        """Return the columns without a role, which go through to predictions.csv, but for names that are its own."""
        free = [name for name in self.columns if name not in taken]
        refused = [name for name in free if not keepable(name)]
        self.findings += [
            f"not taken for ids: {name!r} {reason} (--id names another column)" for name, reason in self.unfit.items()
        ]
        if refused:
            self.findings.append(
                f"not kept: {', '.join(map(repr, refused))}, since predictions.csv has a column of that name; rename "
                "what you need"
            )
        return [name for name in free if keepable(name)]

    def settings(self, keep: Sequence[str]) -> dict[str, Any]:
        """Return the arguments of a data module that read this file; the splits, which are JSON, do not mind them."""
        found: dict[str, Any] = {"keep": list(keep)} if keep else {}
        plain = Layout()
        if self.layout.delimiter is not None:
            found["delimiter"] = self.layout.delimiter
        if self.layout.quoting != plain.quoting:
            found["quoting"] = self.layout.quoting
        if self.layout.header is not True:
            found["header"] = self.columns
        return found


def keepable(name: str) -> bool:
    """Return whether a column may go through to predictions.csv under its name."""
    return name not in RESERVED


def read_table(path: Path, known: Layout, *, guess_encoding: bool = True) -> Table:
    """Look at a file and take it apart.

    Args:
        path: the file.
        known: what a user says of its layout; what is as by default is found out.
        guess_encoding: whether the encoding is not what a user says.

    Raises:
        DataError: if it is no table at all.
    """
    sniffed = sniff(path, known, guess_encoding=guess_encoding)
    table = Table(path, sniffed.layout, list(sniffed.columns), {}, findings=list(sniffed.findings))
    for line, row in raw_rows(path, sniffed.layout, MAX_LINE_BYTES):
        if isinstance(row, Broken):
            table.faults.append(Fault(path, line, row.message, row.field, row.raw, f"{path.stem}-{line}"))
        else:
            table.raw[line] = {name: _as_json(value) for name, value in row.items()}
    if not table.raw:
        first = f"; the first: {str(table.faults[0]).removeprefix(f'{path}:')}" if table.faults else ""
        first = first.replace("the first: ", "the first is in line ", 1)
        raise DataError(f"{path}: holds no row that can be read{first}")
    _leave_out_nameless(table)
    return table


def _leave_out_nameless(table: Table) -> None:
    """Leave out columns without a name, as pandas writes its index; no setting could name them."""
    nameless = [name for name in table.columns if not name.strip()]
    if not nameless:
        return
    shown = [str(row[name])[:20] for row in table.raw.values() for name in nameless if row.get(name) is not None][:3]
    table.columns = [name for name in table.columns if name not in nameless]
    table.raw = {
        line: {name: value for name, value in row.items() if name not in nameless} for line, row in table.raw.items()
    }
    table.findings.append(
        f"the column without a name ({', '.join(shown)}, …) is left out, as an index would be; to keep it, name it"
    )


def read_lines(path: Path, known: Layout, *, guess_encoding: bool = True) -> tuple[list[str | Broken], str]:
    """Return the lines of a plain text file, and its encoding.

    Raises:
        DataError: if there is no such file, or it is empty.
    """
    encoding = detect(path)[0] if guess_encoding and known.encoding == "utf-8" else known.encoding
    lines = [
        text if isinstance(text, Broken) else text.rstrip("\r\n")
        for _, text in text_lines(path, MAX_LINE_BYTES, Layout(encoding=encoding))
    ]
    return lines, encoding


def _as_json(value: Any) -> Any:
    """Return a value of a Parquet file as JSON can hold it: days, decimals and bytes as text, no number as null."""
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | int | float | None):
        return value
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _filled(row: dict[str, Any], column: Column) -> bool:
    return str(row.get(column.name) if row.get(column.name) is not None else "").strip() != ""


def _value(row: dict[str, Any], column: Column) -> Any:
    if column.required and column.name not in row:
        raise ValueFault("is missing", column.name)
    return converted(row.get(column.name), column)
