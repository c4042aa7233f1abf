"""Everything that is wrong with a file, gathered and told at once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lit_llm.errors import DataError
from lit_llm.strict_json import dumps, excerpt

SHOWN = 20
"""Faults that an error lists; the rest are in the file that it names."""

MOST = 10_000
"""Faults after which a file is not read on."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one row.

    Attributes:
        path: the file.
        line: the row's line, or its number in a Parquet file or a JSON array, from 1.
        message: what is wrong and the remedy.
        field: the column in question; empty where it is the row as a whole.
        row: the row as far as it could be read: its columns, or the text of its line.
        id: the row's id, or the one that it would be given.
    """

    path: Path
    line: int
    message: str
    field: str = ""
    row: Any = None
    id: str = ""

    def __str__(self) -> str:
        about = f"field {excerpt(self.field)}: " if self.field else ""
        return f"{self.path}:{self.line}: {about}{self.message}"

    def as_dict(self) -> dict[str, Any]:
        """Return what is written to the list of bad rows."""
        return {"line": self.line, "id": self.id, "field": self.field, "reason": self.message, "row": self.row}


@dataclass(frozen=True)
class Broken:
    """Stands for a row that a reader could not take apart.

    Attributes:
        message: what is wrong and the remedy.
        raw: its text, as far as it was read.
        field: the column in question, if there is one.
    """

    message: str
    raw: Any = None
    field: str = ""


class Faults:
    """Gathers the faults of files.

    Args:
        keep: whether faults are kept for the caller to judge; else they end in an error.

    Attributes:
        rows: how many rows were read in all; 0 where that is not known.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self.rows = 0
        self.found: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def add(self, fault: Fault) -> None:
        """Note a fault; a file that has nothing but faults is given up.

        Raises:
            DataError: if there are more than anyone would mend one by one, and they are not kept.
        """
        self.found.append(fault)
        if len(self.found) >= MOST:
            self.settle()

    def by_row(self) -> dict[tuple[Path, int], list[Fault]]:
        """Return the faults of each bad row, in the order in which they were found."""
        rows: dict[tuple[Path, int], list[Fault]] = {}
        for fault in self.found:
            rows.setdefault((fault.path, fault.line), []).append(fault)
        return rows

    def settle(self, remedy: str = "") -> None:
        """Raise what was found, unless faults are kept.

        Args:
            remedy: what else may be done about bad rows.

        Raises:
            DataError: the one fault on one line; several as a table of the first 20, all of them in a file that it
                names.
        """
        if not self.found or self.keep:
            return
        self.found.sort(key=lambda fault: (str(fault.path), fault.line))
        if len(self.found) == 1:
            raise DataError(str(self.found[0]))
        raise DataError(self._table(remedy))

    def _table(self, remedy: str) -> str:
        listed = write_faults(self.found)
        bad = len(self.by_row())
        of = f" of {self.rows:,}" if self.rows else ""
        first, *others = self.found[:SHOWN]
        width = max(len(f"{fault.path.name}:{fault.line}") for fault in self.found[:SHOWN])
        more = f"and {len(self.found) - 1:,} more {'faults' if others[1:] else 'fault'}"
        lines = [str(first), f"{more}; {bad:,}{of} rows {'are' if bad > 1 else 'is'} bad:"]
        lines += [_line(fault, width) for fault in others]
        if left := len(self.found) - SHOWN:
            lines.append(f"  … {left:,} more" if left > 0 else "")
        lines.append(f"all of them, with their rows: {listed}")
        return "\n".join([line for line in lines if line] + ([remedy] if remedy else []))


def write_faults(faults: Sequence[Fault], path: Path | None = None) -> Path:
    """Write faults as JSON lines and return the file; by default one among the temporary files, the same each time.

    An error may be met before anything else is written, and must not leave a file beside a user's data or runs.
    """
    if path is None:
        source = faults[0].path
        own = hashlib.sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:8]
        path = _own_temporary() / f"{source.stem[:40] or 'data'}-{own}.bad_rows.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [dumps(fault.as_dict(), default=str) + "\n" for fault in faults]
    path.write_text("".join(lines), encoding="utf-8", errors="backslashreplace", newline="\n")
    return path


def _own_temporary() -> Path:
    """Return a folder of this user for lists that may be written anew; a new one where somebody else has its name."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"lit_llm-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ours = not folder.is_symlink() and folder.stat().st_uid == user
    except OSError:
        ours = False
    return folder if ours else Path(tempfile.mkdtemp(prefix="lit_llm-"))


def _line(fault: Fault, width: int) -> str:
    place = f"{fault.path.name}:{fault.line}"
    field = f"field {excerpt(fault.field)}: " if fault.field else ""
    return f"  {place:<{width}}  {field}{fault.message}"
