"""Rows of a Parquet file, with errors that name row and column."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lit_llm.data.records.lines import fail
from lit_llm.errors import DataError
from lit_llm.strict_json import JSONError, check_json, excerpt


def column_names(path: Path) -> list[str]:
    """Return the columns of a file; raises DataError if it cannot be read."""
    import pyarrow.parquet

    with _readable(path):
        return list(pyarrow.parquet.ParquetFile(path).schema_arrow.names)


def parquet_rows(path: Path, names: Collection[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield row numbers from 1 and values.

    Args:
        path: the file.
        names: the columns to read; all of them if no name is given.

    Raises:
        DataError: if the file cannot be read, or a nested value is not JSON.
    """
    import pyarrow.parquet

    with _readable(path):
        batches = pyarrow.parquet.ParquetFile(path).iter_batches(columns=list(names) or None)
        # Batch by batch: a table as Python objects takes many times the memory of the file.
        for line, row in enumerate((row for batch in batches for row in batch.to_pylist()), start=1):
            for name, value in row.items():
                _check(path, line, name, value)
            yield line, row


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = excerpt(str(error) or type(error).__name__, 200)
        raise DataError(f"{path}: is not a readable Parquet file: {reason}; write it again") from error


def _check(path: Path, line: int, name: str, value: Any) -> None:
    if isinstance(value, dict | list):
        try:
            check_json(value, name)
        except JSONError as error:
            fail(path, line, error.where, error.message)
