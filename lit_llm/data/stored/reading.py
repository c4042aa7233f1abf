"""Encoded rows that lie in a folder, mapped into memory and taken out one by one."""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from lit_llm.batch import IGNORE
from lit_llm.data.stored.writing import ABOUT, BATCH, ROWS, SHARED, StoredRecord
from lit_llm.data.tokens.dataset import Example, Row, Split
from lit_llm.data.tokens.prompting import Context, Encoded
from lit_llm.strict_json import loads

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGES = 64
"""Rows after which pages of the file that were read are given back: they stay with the operating system."""

KEPT_VALUES = 4096
"""Values shared by rows that are kept as they were read."""


def read_facts(folder: Path) -> dict[str, Any] | None:
    """Return what is known of the rows of a folder; None where there are none, or not all of them."""
    try:
        facts: dict[str, Any] = loads((folder / ABOUT).read_text(encoding="utf-8"))
        whole = all((folder / name).stat().st_size == size for name, size in facts["bytes"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return facts if whole else None


class StoredRows(Sequence[Row]):
    """The rows of a folder.

    Args:
        folder: that ``write_rows`` has filled.
        change: what becomes of each example.
    """

    def __init__(self, folder: Path, change: Callable[[Example], Example] | None = None) -> None:
        self.folder = folder
        self.change = change
        self._open()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...

    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        """Return a row, or those of a slice as a list."""
        if isinstance(at, slice):
            return [self[place] for place in range(*at.indices(len(self)))]
        batch, place = self._place(at)
        record = self._record(batch, place)
        ids = _numbers(batch.column("ids")[place])
        labels = [IGNORE] * len(ids)
        for start, end in zip(record.learned[::2], record.learned[1::2], strict=True):
            labels[start:end] = ids[start:end]
        encoded = Encoded(ids, labels, record.prompt_length, record.truncated, trimmed=record.trimmed)
        return Row(self._example(record), encoded)

    def example(self, at: int) -> Example:
        """Return the record of a row."""
        return self._example(self._record(*self._place(at)))

    def numbers(self, name: str) -> NDArray[Any]:
        """Return a column of numbers."""
        kind = np.uint64 if name == "text_key" else np.int32
        # Not to_numpy, which imports pandas.
        parts = [np.frombuffer(batch.column(name).buffers()[1], kind, batch.num_rows) for batch in self._rows]
        found = np.concatenate(parts) if parts else np.zeros(0, dtype=kind)
        self._give_back()
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open files, which another process opens itself."""
        return {"folder": self.folder, "change": self.change}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    def _open(self) -> None:
        import pyarrow as pa

        self._maps: list[mmap.mmap] = []
        self._rows: list[Any] = []
        self._shared: list[Any] = []
        for name, batches in ((ROWS, self._rows), (SHARED, self._shared)):
            with (self.folder / name).open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped)))
            batches += [reader.get_batch(place) for place in range(reader.num_record_batches)]
            self._maps.append(mapped)
        self._count = sum(int(batch.num_rows) for batch in self._rows)
        self._value = lru_cache(KEPT_VALUES)(self._read_value)
        self._context = lru_cache(KEPT_VALUES)(self._read_context)
        self._read = 0

    def _place(self, at: int) -> tuple[Any, int]:
        """Return the batch of a row and its place there."""
        if not -len(self) <= at < len(self):
            raise IndexError(f"row {at} of {len(self)}")
        self._read += 1
        if self._read % PAGES == 0:
            self._give_back()
        return self._rows[at % len(self) // BATCH], at % len(self) % BATCH

    def _record(self, batch: Any, place: int) -> StoredRecord:
        return StoredRecord(*loads(batch.column("record")[place].as_py()))

    def _example(self, record: StoredRecord) -> Example:
        meta = {name: self._value(value) if shared else value for name, value, *shared in record.meta}
        context = None if record.context is None else self._context(record.context)
        example = Example(
            record.id, record.text, record.answer, loads(record.reference), record.place, meta=meta, context=context
        )
        return self.change(example) if self.change else example

    def _read_value(self, place: int) -> Any:
        return loads(self._shared[place // BATCH].column("value")[place % BATCH].as_py())

    def _read_context(self, place: int) -> Context:
        system, instruction, shots = self._value(place)
        return Context(system, instruction, tuple((text, answer) for text, answer in shots))

    def _give_back(self) -> None:
        """Let go of pages of the files; what is read again comes from the operating system's own memory."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)


def _numbers(value: Any) -> list[int]:
    """Return the numbers of a list that stands in one cell."""
    items = value.values
    found: list[int] = np.frombuffer(items.buffers()[1], np.int32, len(items), items.offset * 4).tolist()
    return found


class _Examples(Sequence[Example]):
    """The records of stored rows."""

    def __init__(self, rows: StoredRows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Example]:
        return (self.rows.example(at) for at in range(len(self)))

    @overload
    def __getitem__(self, at: int) -> Example: ...

    @overload
    def __getitem__(self, at: slice) -> list[Example]: ...

    def __getitem__(self, at: int | slice) -> Example | list[Example]:
        """Return a record, or those of a slice as a list."""
        if isinstance(at, slice):
            return [self.rows.example(place) for place in range(*at.indices(len(self)))]
        return self.rows.example(at)


class StoredSplit(Split):
    """The encoded rows of one file group, left on disk.

    Args:
        name: of the group.
        folder: of its rows.
        facts: about them, as ``read_facts`` returns them.
        vary: as for ``Split``.
        factor: as for ``Split``.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        facts: dict[str, Any],
        vary: Callable[[Example, int, int, int], Row | None] | None = None,
        factor: int = 1,
    ) -> None:
        super().__init__(name, (), vary, factor)
        self.rows = self._stored = StoredRows(folder)
        self.facts = facts
        self.dropped = facts["dropped"]

    def lengths(self, *, prompt: bool = False) -> Sequence[int]:
        """See ``Split.lengths``."""
        own = self._stored.numbers("prompt_length" if prompt else "length")
        return array("i", own.astype(np.intc).tobytes()) * self.factor

    def failed(self) -> set[int]:
        """Return nothing: rows that cannot be answered are not stored."""
        return set()

    def text_keys(self) -> NDArray[np.uint64]:
        """See ``Split.text_keys``."""
        return self._stored.numbers("text_key").astype(np.uint64, copy=False)

    def rename(self, change: Callable[[Example], Example]) -> None:
        """See ``Split.rename``."""
        self.rows = self._stored = StoredRows(self._stored.folder, change)

    @property
    def content(self) -> str:  # type: ignore[override]
        """See ``Split.content``."""
        return str(self.facts["content"])

    @property
    def truncated(self) -> int:
        """See ``Split.truncated``."""
        return int(self.facts["truncated"])

    @property
    def trimmed(self) -> int:
        """See ``Split.trimmed``."""
        return int(self.facts["trimmed"])

    @property
    def unlabelled(self) -> tuple[int, str]:
        """See ``Split.unlabelled``."""
        return int(self.facts["unlabelled"]), str(self.facts["first_unlabelled"])

    @property
    def examples(self) -> Sequence[Example]:
        """The records, read when they are asked for."""
        return _Examples(self._stored)
