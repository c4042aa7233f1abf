"""Rows of CSV and TSV files by the names of their columns."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from lit_llm.data.records.cells import plain_cells, quoted_cells
from lit_llm.data.records.faults import Broken
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import fail
from lit_llm.data.records.quoting import resolve
from lit_llm.data.records.values import Column
from lit_llm.strict_json import excerpt
from lit_llm.wording import many, typed


def delimited_rows(
    path: Path, columns: Collection[Column], limit: int, layout: Layout
) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    """Yield the rows below the header, or all of them where the layout names the columns.

    Raises:
        DataError: if the header lacks a column that is required, or names one twice.
    """
    quoting = resolve(path, limit, layout)
    read = quoted_cells if quoting == "csv" else plain_cells
    rows = read(path, limit, layout)
    header = list(layout.header) if isinstance(layout.header, tuple) else []
    if header:
        check_header(path, 1, header, columns, layout)
    for line, cells in rows:
        if isinstance(cells, Broken):
            if not header:
                fail(path, line, "", cells.message)
            yield line, cells
        elif not cells and (not header or len(header) > 1 or quoting == "csv"):
            # A blank line; in a table of one column without quoting it is a row with an empty cell.
            continue
        elif not header:
            header = cells if layout.header is True else [f"column_{place + 1}" for place in range(len(cells))]
            check_header(path, line, header, columns, layout)
            if layout.header is False:
                yield line, dict(zip(header, cells, strict=True))
        elif cells == header and isinstance(layout.header, tuple):
            fail(path, line, "", "holds the names of data.init_args.header themselves: leave header out")
        else:
            yield line, _row(header, cells or [""], layout.separator(path), quoting)


def _row(header: list[str], cells: list[str], mark: str, quoting: str) -> dict[str, Any] | Broken:
    if len(cells) == len(header):
        return dict(zip(header, cells, strict=True))
    name = header[len(cells)] if len(cells) < len(header) else header[-1]
    hint = f"quote a value that holds {mark!r} or a line break"
    if len(header) == 1:
        other = next(iter(re.findall(r"[^\w\s.'\"-]", header[0])), None)
        named = f", such as {other!r}" if other else ""
        hint += f"; where another mark parts the cells, set data.init_args.delimiter to it{named}"
    if quoting == "none":
        hint = f"a value cannot hold {mark!r} or a line break, unless it is quoted and data.init_args.quoting is csv"
    return Broken(f"the row has {many(len(cells), 'value')} for {many(len(header), 'column')}; {hint}", cells, name)


def check_header(path: Path, line: int, header: list[str], columns: Iterable[Column], layout: Layout) -> None:
    """Raise a DataError if a column is named twice, or one that is required is not there."""
    refuse_twins(path, line, header)
    for column in columns:
        if (column.required or column.expected) and column.name not in header:
            hint = f"{nearest(column.name, header)}{_other_delimiter(header, layout)}{_no_header(layout)}"
            fail(path, line, column.name, f"is missing from the header; {hint}")


def refuse_twins(path: Path, line: int, header: list[str]) -> None:
    """Raise a DataError if two columns have one name, or none, or the line is one that is meant for Excel."""
    if header[0].lower().startswith("sep="):
        fail(path, line, "", f"names the separator for Excel and no columns; remove the line: sed -i 1d {typed(path)}")
    if sum(not name.strip() for name in header) > 1:
        fail(path, line, "", "has columns without a name; name them, or remove them")
    for name in header:
        if header.count(name) > 1:
            fail(path, line, name, "names two columns; rename one")


def _other_delimiter(header: list[str], layout: Layout) -> str:
    found = next((mark for mark in ";\t|,^~¦§\x1f\x01" if mark in header[0]), None) if len(header) == 1 else None
    if not found:
        return ""
    return f". Is {found!r} its separator? Set data.init_args.delimiter to it; .csv means ',' and .tsv a tab"


def _no_header(layout: Layout) -> str:
    return (
        "; where no row names the columns, list their names in data.init_args.header" if layout.header is True else ""
    )


def nearest(name: str, present: Iterable[str]) -> str:
    """Name the column that is nearest to ``name``, and the first of all."""
    names = [str(item) for item in present]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = ", ".join(excerpt(item) for item in names[:8]) + (", …" if len(names) > 8 else "")
    return f"did you mean {near[0]!r}? (there are {listed})" if near else f"there are {listed or 'none'}"
