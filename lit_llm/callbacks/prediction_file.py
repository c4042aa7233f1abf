"""The records of predictions.csv on disk: written whole, read back after a cut."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from lit_llm.batch import FILLER, Prediction
from lit_llm.storage import write_atomically
from lit_llm.strict_json import dumps

COLUMNS = ("id", "text", "prediction", "reference", "status", "error", "raw", "new_tokens", "score", "meta")
"""The columns of predictions.csv, in order."""


class PartialFile:
    """Appends predictions to one process's file of a run that may be killed at any moment.

    Args:
        path: of the file; it is created with a header where it does not exist.
        finished: ids that are on disk already, in this file or that of another process; they are not written again.
    """

    def __init__(self, path: Path, finished: Iterable[str]) -> None:
        self._seen = {FILLER, *finished}
        new = not path.exists() or path.stat().st_size == 0
        self._file: BinaryIO = path.open("ab", buffering=0)
        if new:
            self._append(encode([COLUMNS]))

    def write(self, predictions: Iterable[Prediction]) -> None:
        """Append the rows that are new, and wait until they are on the disk."""
        rows = []
        for prediction in predictions:
            if prediction.id not in self._seen:
                self._seen.add(prediction.id)
                rows.append(cells(prediction))
        if rows:
            self._append(encode(rows))

    def close(self) -> None:
        """Close the file; it may be opened again."""
        self._file.close()

    def _append(self, content: bytes) -> None:
        left = memoryview(content)
        while left:
            left = left[self._file.write(left) :]
        os.fsync(self._file.fileno())


def encode(rows: Iterable[Iterable[str]]) -> bytes:
    """Return rows as CSV with every cell quoted; a lone surrogate is written as its JSON escape."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", errors="backslashreplace")


def records(content: bytes) -> Iterator[tuple[bytes, list[str]]]:
    """Yield each record's bytes and cells, header included, up to the first that is cut or broken."""
    csv.field_size_limit(sys.maxsize)  # the default refuses cells over 128 KiB
    start = end = quotes = 0
    for line in io.BytesIO(content):
        end += len(line)
        quotes += line.count(b'"')
        # Inside quotes a newline belongs to the cell, and then the quotes so far are odd in number.
        if quotes % 2:
            continue
        record = content[start:end]
        cells = _parse(record)
        if cells is None:
            return
        yield record, cells
        start = end


def repair(path: Path) -> None:
    """Cut off what follows the last whole record."""
    content = path.read_bytes()
    whole = sum(len(record) for record, _ in records(content))
    if whole < len(content):
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())


def read_ids(path: Path) -> list[str]:
    """Return the ids in a predictions file, in the order of the file."""
    return [cells[0] for _, cells in records(path.read_bytes())][1:]


def has_references(path: Path) -> bool:
    """Whether a predictions file is there and any of its rows has an expected answer."""
    place = COLUMNS.index("reference")
    rows = records(path.read_bytes()) if path.exists() else iter(())
    return any(cells[place] for _, cells in list(rows)[1:])


def partial_path(path: Path, rank: int = 0) -> Path:
    """Return where one process keeps its rows until the file is complete."""
    return path.with_name(f"{path.name}.partial" + (f".{rank}" if rank else ""))


def partial_files(path: Path) -> list[Path]:
    """Return what exists of the files of all processes, also of a run with another number of them."""
    pattern = re.compile(re.escape(path.name) + r"\.partial(\.\d+)?")
    return sorted(p for p in path.parent.iterdir() if pattern.fullmatch(p.name)) if path.parent.is_dir() else []


def assemble(path: Path, order: Iterable[str]) -> None:
    """Write the complete file in input order, in one step, and remove the partial ones."""
    found: dict[str, bytes] = {}
    for part in partial_files(path):
        for record, cells in list(records(part.read_bytes()))[1:]:
            found.setdefault(cells[0], record)
    write_atomically(path, encode([COLUMNS]) + b"".join(found[name] for name in order))
    for part in partial_files(path):
        part.unlink()


def _parse(record: bytes) -> list[str] | None:
    if not record.endswith(b"\n"):
        return None
    try:
        rows = list(csv.reader([record.decode()], strict=True))
    except (csv.Error, UnicodeDecodeError):
        return None
    return rows[0] if len(rows) == 1 and len(rows[0]) == len(COLUMNS) else None


def cells(prediction: Prediction) -> list[str]:
    """Return a row of the file; equal predictions give equal bytes."""
    meta = dumps(prediction.meta, sort_keys=True, default=str)
    # Six decimals, and never "-0.000000": equal results must be equal bytes.
    score = f"{round(prediction.score, 6) + 0.0:.6f}"
    texts = [prediction.prediction, prediction.reference, prediction.status, prediction.error, prediction.raw]
    return [prediction.id, prediction.text, *texts, str(prediction.new_tokens), score, meta]
