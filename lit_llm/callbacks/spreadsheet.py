"""Copies of predictions.csv for people: facts of rows as columns, and cells that a spreadsheet opens safely."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lit_llm.callbacks.prediction_file import COLUMNS, records
from lit_llm.storage import write_atomically
from lit_llm.strict_json import Written, dumps

_RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a cell begins with that a spreadsheet may run as a formula, or strips to find one behind it."""

_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)*|[.,]\d+)([eE][+-]?\d+)?%?")

MOST = 32_767
"""Characters that a cell of a spreadsheet holds."""


def copy_path(path: Path, *, excel: bool) -> Path:
    """Return where the copy of a predictions file goes: ``predictions.flat.csv`` or ``predictions.excel.csv``."""
    stem = path.name.removesuffix(".csv")
    return path.with_name(f"{stem}.{'excel' if excel else 'flat'}.csv")


def write_copy(path: Path, *, flat: bool, excel: bool) -> tuple[Path, int]:
    """Write a copy of a complete predictions file beside it, in one step.

    Args:
        path: of the file; it is left as it is, so that it can be resumed, compared and recognised.
        flat: whether each fact of ``meta`` becomes a column of its own, in place of ``meta``.
        excel: whether the copy begins with a byte order mark, which tells Excel that it is UTF-8, and cells that would
            run as formulas begin with an apostrophe.

    Returns:
        The copy, and how many of its cells are longer than a spreadsheet's cell can be.
    """
    rows = [cells for _, cells in records(path.read_bytes())]
    if flat:
        rows = flattened(rows)
    if excel:
        rows = [[guarded(cell) for cell in row] for row in rows]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n" if excel else "\n").writerows(rows)
    copy = copy_path(path, excel=excel)
    write_atomically(copy, buffer.getvalue().encode("utf-8-sig" if excel else "utf-8", "backslashreplace"))
    return copy, sum(len(cell) > MOST for row in rows for cell in row)


def flattened(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return rows, their header first, with a column for each fact that any row's ``meta`` has, in place of ``meta``.

    A fact named like a column that is there already becomes ``meta.<name>``.
    """
    head, *body = rows
    place = head.index("meta")
    facts = [json.loads(row[place] or "{}", parse_float=Written) for row in body]
    names = list(dict.fromkeys(name for found in facts for name in found))
    others = [name for name in head if name != "meta"]
    titles = [f"meta.{name}" if name in COLUMNS else name for name in names]
    flat = [[*others, *titles]]
    for row, found in zip(body, facts, strict=True):
        flat.append([*_without(row, place), *(_cell(found.get(name)) for name in names)])
    return flat


def guarded(cell: str) -> str:
    """Return a cell that a spreadsheet shows as it is written: with an apostrophe before what it would run.

    Plain numbers stay numbers, negative ones too.
    """
    runs = cell.lstrip(" ").startswith(_RUNS) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if runs else cell


def _without(row: Iterable[str], place: int) -> list[str]:
    return [cell for at, cell in enumerate(row) if at != place]


def _cell(value: object) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return dumps(value)
