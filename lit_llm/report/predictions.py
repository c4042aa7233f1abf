"""Reads predictions.csv again, from a file or from a run folder."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from lit_llm.batch import Prediction
from lit_llm.errors import ConfigError, DataError
from lit_llm.results import check_predictions

NEEDED = ("id", "prediction", "reference")
"""Columns without which nothing can be scored."""


def read_predictions(path: str | Path) -> list[Prediction]:
    """Return the rows of a file, or of ``predictions.csv`` in a run folder.

    Raises:
        DataError: if there is no such file, the weights of the run folder have not made it, it lacks a column, or a
            row is not as ``predict`` writes it.
    """
    file = Path(path)
    if file.is_dir():
        check_predictions(file)
    file = file / "predictions.csv" if file.is_dir() else file
    if not file.exists():
        raise DataError(f"{file}: no such file; write it with python -m lit_llm predict --config …")
    rows = [_row(file, line, row) for line, row in _rows(file)]
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise DataError(f"{file}: id {row.id!r} occurs twice, so that rows cannot be told apart")
        seen.add(row.id)
    return rows


def facts_of(rows: Sequence[Prediction]) -> list[str]:
    """Return the facts that rows can be grouped by: what their ``meta`` says in one word or number."""
    found = {key: None for row in rows for key, value in row.meta.items() if isinstance(value, str | int | float)}
    return list(found)


def check_facts(rows: Sequence[Prediction], keys: Sequence[str], more: Sequence[str] = ()) -> None:
    """Raise a ConfigError that lists the facts there are if no row has one of ``keys``, nor ``more`` names it."""
    known = [*facts_of(rows), *more]
    if unknown := [key for key in keys if key not in known]:
        raise ConfigError(f"--by {unknown[0]}: no row has this fact; there are {', '.join(known) or 'none'}")


def rows_with(rows: list[Prediction], conditions: Sequence[str], file: str | Path) -> list[Prediction]:
    """Return the rows whose meta meets all conditions.

    Args:
        rows: of one file.
        conditions: each ``key=value``, such as ``direction=es-nah``.
        file: where they come from, for errors.

    Raises:
        ConfigError: if a condition is not of that form, or no row is left.
    """
    for condition in conditions:
        key, found, value = condition.partition("=")
        if not found:
            raise ConfigError(f"--only {condition}: write key=value, such as direction=es-nah")
        facts = facts_of(rows)
        known = sorted({str(row.meta[key]) for row in rows if key in row.meta})
        rows = [row for row in rows if key in row.meta and str(row.meta[key]) == value]
        if not rows:
            values = f"{key} is {', '.join(known)}" if known else f"there are {', '.join(facts)}"
            raise ConfigError(f"--only {condition}: no row of {file} has it; {values}")
    return rows


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a file, as ``predict`` wrote it or as a spreadsheet saved it again."""
    from lit_llm.data.records.cells import quoted_cells
    from lit_llm.data.records.encodings import detect
    from lit_llm.data.records.faults import Broken
    from lit_llm.data.records.layout import Layout

    layout = Layout(_mark(file, encoding := detect(file)[0]), encoding, "csv")
    header: list[str] = []
    for line, cells in quoted_cells(file, 1 << 30, layout):
        if isinstance(cells, Broken):
            raise DataError(f"{file}:{line}: {cells.message.partition('; where quotes')[0]}")
        if not cells:
            continue
        if header and len(cells) != len(header):
            name = header[len(cells)] if len(cells) < len(header) else header[-1]
            raise DataError(
                f"{file}:{line}: field {name!r}: the row has {len(cells)} cells for {len(header)} columns; save the "
                "file again as CSV with quotes around text"
            )
        if header:
            yield line, dict(zip(header, cells, strict=True))
            continue
        header = cells
        if missing := [name for name in NEEDED if name not in header]:
            listed = f"there are {', '.join(header)}, and {', '.join(NEEDED)} are needed"
            raise DataError(f"{file}:{line}: field {missing[0]!r} is missing from the header; {listed}")


def _mark(file: Path, encoding: str) -> str:
    """Return what separates the cells of the header."""
    with file.open(encoding=encoding, newline="") as stream:
        first = stream.readline(1 << 16)
    return max(",;\t", key=first.count)


def _row(file: Path, line: int, row: dict[str, str]) -> Prediction:
    if not row["id"]:
        raise DataError(
            f"{file}:{line}: field 'id': is empty; where pandas saved the file, read it with dtype=str and "
            "keep_default_na=False"
        )
    try:
        meta = json.loads(row.get("meta") or "{}")
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{line}: field 'meta': is not JSON: {error}; write the cell as predict does") from error
    if not isinstance(meta, dict):
        raise DataError(f"{file}:{line}: field 'meta': must be a JSON object, got {row['meta'][:40]!r}")
    tokens = _number(file, line, "new_tokens", row)
    if tokens % 1:
        raise DataError(f"{file}:{line}: field 'new_tokens': {row['new_tokens']!r} is no whole number; mend the cell")
    return Prediction(
        id=row["id"],
        text=row.get("text") or "",
        prediction=row["prediction"],
        reference=row["reference"],
        status=row.get("status") or "ok",
        error=row.get("error") or "",
        raw=row.get("raw") or "",
        new_tokens=int(tokens),
        score=_number(file, line, "score", row),
        meta=meta,
    )


def _number(file: Path, line: int, name: str, row: dict[str, str]) -> float:
    """Return a number, whether a program wrote 65, 65.0 or, as in Spanish, 65,0; 0 where there is none."""
    cell = (row.get(name) or "0").strip().replace("\u2212", "-")
    try:
        value = float(cell.replace(",", ".") if cell.count(",") == 1 and "." not in cell else cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"{file}:{line}: field {name!r}: {cell!r} is no number; write it as -0.000457, or leave the column out"
        )
    return value
