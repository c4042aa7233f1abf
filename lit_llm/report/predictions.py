"""Reads predictions.csv again, from a file or from a run folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from lit_llm.batch import Prediction
from lit_llm.errors import ConfigError, DataError
from lit_llm.results import check_predictions

NEEDED = ("id", "prediction", "reference", "status")
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
    before = csv.field_size_limit(1 << 30)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            if missing := [name for name in NEEDED if name not in (reader.fieldnames or [])]:
                raise DataError(f"{file}:1: field {missing[0]!r} is missing from the header")
            rows = [_row(file, reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file}: is not a CSV file in UTF-8: {error}") from error
    finally:
        csv.field_size_limit(before)
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            raise DataError(f"{file}: id {row.id!r} occurs twice, so that rows cannot be told apart")
        seen.add(row.id)
    return rows


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
        known = sorted({str(row.meta[key]) for row in rows if key in row.meta})
        rows = [row for row in rows if key in row.meta and str(row.meta[key]) == value]
        if not rows:
            raise ConfigError(f"--only {condition}: no row of {file} has it; {key} is {', '.join(known) or 'nowhere'}")
    return rows


def _row(file: Path, line: int, row: dict[str, str]) -> Prediction:
    if missing := [name for name in NEEDED if row[name] is None]:
        raise DataError(f"{file}:{line}: field {missing[0]!r} is missing: the row is shorter than the header")
    try:
        meta = json.loads(row.get("meta") or "{}")
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{line}: field 'meta': is not JSON: {error}") from error
    return Prediction(
        id=row["id"],
        text=row.get("text") or "",
        prediction=row["prediction"],
        reference=row["reference"],
        status=row["status"],
        error=row.get("error") or "",
        raw=row.get("raw") or "",
        new_tokens=int(row.get("new_tokens") or 0),
        score=float(row.get("score") or 0),
        meta=meta,
    )
