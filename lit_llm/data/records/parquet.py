"""Rows of a Parquet file, with errors that name row and column."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.data.records.faults import Broken
from lit_llm.data.records.lines import fail
from lit_llm.errors import DataError
from lit_llm.strict_json import JSONError, check_json, excerpt

if TYPE_CHECKING:
    import pyarrow


def column_names(path: Path) -> list[str]:
    """Return the columns of a file; raises DataError if it cannot be read, or has two of one name."""
    import pyarrow.parquet

    with _readable(path):
        schema = pyarrow.parquet.ParquetFile(path).schema_arrow
    _refuse_twins(path, "", [schema.field(place) for place in range(len(schema.names))])
    return list(schema.names)


def parquet_rows(path: Path, names: Collection[str]) -> Iterator[tuple[int, dict[str, Any] | Broken]]:
    """Yield row numbers from 1 and values; dates, times and decimals as text.

    Args:
        path: the file.
        names: the columns to read; all of them if no name is given.

    Yields:
        The columns of a row, or why JSON could not hold them.

    Raises:
        DataError: if the file cannot be read.
    """
    import pyarrow.parquet

    column_names(path)
    line = 0
    with _readable(path):
        # Batch by batch: a table as Python objects takes many times the memory of the file.
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(columns=list(names) or None):
            columns = {name: _values(path, name, batch.column(name)) for name in batch.schema.names}
            for values in zip(*columns.values(), strict=True):
                line += 1
                yield line, _checked(dict(zip(columns, values, strict=True)))


def _values(path: Path, name: str, column: pyarrow.Array) -> list[Any]:
    import pyarrow

    kind = column.type
    as_text = pyarrow.types.is_temporal(kind) or pyarrow.types.is_decimal(kind)
    try:
        return list((column.cast(pyarrow.string()) if as_text else column).to_pylist())
    except (pyarrow.ArrowException, ValueError, TypeError, OverflowError) as error:
        # Such as nanoseconds within a nested value, which Python has no type for.
        reason = excerpt(str(error).splitlines()[0], 120)
        fail(path, 1, name, f"values of type {kind} cannot be read ({reason}); write them as text")


def _checked(row: dict[str, Any]) -> dict[str, Any] | Broken:
    for name, value in row.items():
        try:
            check_json(value, name)
        except JSONError as error:
            return Broken(error.message, row, error.where)
    return row


def _refuse_twins(path: Path, within: str, fields: list[pyarrow.Field]) -> None:
    """Refuse two columns, or two fields of a value, of one name: the last would be all that is seen."""
    import pyarrow

    names = [field.name for field in fields]
    for field in fields:
        where = f"{within}.{field.name}" if within else field.name
        if names.count(field.name) > 1:
            fail(path, 1, where, f"names two {'fields of one value' if within else 'columns'}; rename one")
        kind = field.type
        while pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
            kind = kind.value_type
        if pyarrow.types.is_struct(kind):
            _refuse_twins(path, where, [kind.field(place) for place in range(kind.num_fields)])


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = excerpt(str(error) or type(error).__name__, 200)
        raise DataError(f"{path}: is not a readable Parquet file: {reason}; write it again") from error
