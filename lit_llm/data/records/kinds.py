"""Which reader a file has, by its extension."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from lit_llm.data.records.delimited import delimited_rows, nearest
from lit_llm.data.records.faults import Broken
from lit_llm.data.records.json_rows import json_rows, jsonl_rows
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import MAX_LINE_BYTES, SUFFIXES, fail, files_like
from lit_llm.data.records.parquet import column_names, parquet_rows
from lit_llm.data.records.values import Column
from lit_llm.errors import DataError

RowReader = Callable[[Path, Collection[Column], int, Layout], Iterator[tuple[int, dict[str, Any] | Broken]]]
"""Yields line and columns of every row, or why it has none, for a file, its columns, the longest line and a layout."""


def _parquet(path: Path, columns: Collection[Column], limit: int, layout: Layout) -> Iterator[tuple[int, Any]]:
    present = column_names(path)
    for column in columns:
        if (column.required or column.expected) and column.name not in present:
            fail(path, 1, column.name, f"is not a column; {nearest(column.name, present)}")
    return parquet_rows(path, [column.name for column in columns if column.name in present])


def _lines(read: Callable[[Path, int, Layout], Iterator[tuple[int, Any]]]) -> RowReader:
    return lambda path, columns, limit, layout: read(path, limit, layout)


_READERS: dict[str, RowReader] = {
    ".jsonl": _lines(jsonl_rows),
    ".ndjson": _lines(jsonl_rows),
    ".json": _lines(json_rows),
    ".csv": delimited_rows,
    ".tsv": delimited_rows,
    ".parquet": _parquet,
}


def rows_of(path: Path, *, delimited: bool = False) -> RowReader:
    """Return what reads the rows of a file.

    Args:
        path: the file.
        delimited: whether a file of another extension is one of cells parted by a mark.

    Raises:
        DataError: if there is no such file, or no reader for it.
    """
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file in it{files_like('', path)}")
    if not path.exists():
        raise DataError(f"{path}: no such file{files_like(path.name, path.parent)}")
    suffix = path.suffix.lower()
    if suffix not in _READERS and not delimited:
        known = ", ".join(SUFFIXES)
        raise DataError(
            f"{path}: the extension {path.suffix!r} is not one of {known}; convert or rename the file, or say what "
            "separates its cells: data.init_args.delimiter"
        )
    return _READERS.get(suffix, delimited_rows)


def raw_rows(
    path: Path, layout: Layout, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    """Yield line and columns of every row of a file as they are, or why a row has none.

    Raises:
        DataError: if the file as a whole cannot be read.
    """
    yield from rows_of(path, delimited=True)(path, (), max_line_bytes, layout)
