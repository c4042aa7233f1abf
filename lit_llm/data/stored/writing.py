"""Encoded rows become a folder: Arrow files that can be mapped into memory, and what is known of them all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.dataset import Example, text_key
from lit_llm.strict_json import dumps, excerpt, loads

if TYPE_CHECKING:
    from lit_llm.data.tokens.dataset import Row
    from lit_llm.data.tokens.prompting import Context

ROWS, SHARED, ABOUT = "rows.arrow", "shared.arrow", "about.json"
"""The files of a folder: rows, values that many rows have in common, and facts about all of them."""

BATCH = 4096
"""Rows of an Arrow batch: all but the last have as many, so that a row's place is known from its number."""


class Unstorable(Exception):
    """A row that would not be read again as it is."""


class StoredRecord(NamedTuple):
    """What stands in JSON of a row, in this order.

    Attributes:
        id: as in ``Example``, and so are the next four; the reference as JSON.
        meta: name and value of each fact; with a third item, the value is a place among the shared ones.
        context: a place among the shared values.
        learned: where learned tokens begin and end, in turns.
        prompt_length: as in ``Encoded``, and so are the last two.
    """

    id: str
    text: str
    answer: str | None
    reference: str
    place: str
    meta: list[list[Any]]
    context: int | None
    learned: list[int]
    prompt_length: int
    truncated: bool
    trimmed: bool


def write_rows(folder: Path, rows: Iterable[Row | None], part: str = "") -> dict[str, Any]:
    """Write rows into a folder that is there, one by one.

    Args:
        folder: where to.
        rows: encoded; None counts one that was dropped.
        part: what a mixture puts before their ids.

    Returns:
        Facts about all rows: ``rows``, ``dropped``, ``truncated``, ``trimmed``, ``unlabelled`` and where the first of
        these is, ``content`` as ``Split.content`` has it, and the ``bytes`` of each file.

    Raises:
        Unstorable: if a row would not be read again as it is.
    """
    writer = _Writer(folder, part)
    for row in rows:
        writer.add(row)
    facts = writer.close()
    facts["bytes"] = {name: (folder / name).stat().st_size for name in (ROWS, SHARED)}
    return facts


class _Table:
    """An Arrow file that grows row by row."""

    def __init__(self, path: Path, columns: dict[str, Any]) -> None:
        import pyarrow as pa

        self._schema = pa.schema(columns)
        self._file = pa.ipc.new_file(path, self._schema)
        self._waiting: list[dict[str, Any]] = []
        self.rows = 0

    def add(self, **values: Any) -> int:
        """Write a row and return its number."""
        self._waiting.append(values)
        if len(self._waiting) == BATCH:
            self._flush()
        self.rows += 1
        return self.rows - 1

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._file.write_batch(pa.RecordBatch.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []


class _Writer:
    """Writes rows, and notes what is said of all."""

    def __init__(self, folder: Path, part: str) -> None:
        import pyarrow as pa

        # What is read row by row stands in two columns: each one that is touched costs pages of memory.
        numbers = {"length": pa.int32(), "prompt_length": pa.int32(), "text_key": pa.uint64()}
        self._rows = _Table(folder / ROWS, {"record": pa.string(), "ids": pa.list_(pa.int32()), **numbers})
        self._values = _Table(folder / SHARED, {"value": pa.string()})
        self._part = f"{part}/" if part else ""
        self._places: dict[bytes, int] = {}
        self._last: dict[str, tuple[Any, int]] = {}
        self._counts = {"dropped": 0, "truncated": 0, "trimmed": 0, "unlabelled": 0}
        self._first_unlabelled = ""
        self._content = hashlib.sha256()

    def add(self, row: Row | None) -> None:
        """Write a row; None counts one that was dropped."""
        if row is None or row.example is None:
            self._counts["dropped"] += 1
            return
        encoded, example = row.encoded, row.example
        if type(example) is not Example or example.error or row.features is not None or encoded.slots is not None:
            raise Unstorable(f"{example.place}: it is more than a text with its answer")
        learned = _runs(encoded.labels)
        self._say(example)
        self._counts["truncated"] += encoded.truncated
        self._counts["trimmed"] += encoded.trimmed
        if not learned:
            self._counts["unlabelled"] += 1
            self._first_unlabelled = self._first_unlabelled or example.place
        record = StoredRecord(
            id=example.id,
            text=example.text,
            answer=example.answer,
            reference=_kept(example.reference),
            place=example.place,
            meta=[self._fact(name, value) for name, value in example.meta.items()],
            context=self._context(example.context),
            learned=learned,
            prompt_length=encoded.prompt_length,
            truncated=encoded.truncated,
            trimmed=encoded.trimmed,
        )
        self._rows.add(
            record=dumps(record),
            ids=encoded.input_ids,
            length=len(encoded.input_ids),
            prompt_length=encoded.prompt_length,
            text_key=text_key(example.text),
        )

    def close(self) -> dict[str, Any]:
        """Write the ends of the files and return what is known of all rows."""
        self._rows.close()
        self._values.close()
        self._content.update(b"]" if self._rows.rows else b"[]")
        counts = {"rows": self._rows.rows} | self._counts
        return counts | {"first_unlabelled": self._first_unlabelled, "content": self._content.hexdigest()[:16]}

    def _say(self, example: Example) -> None:
        """Add a row to the hash of what all of them say, which is that of ``Split.content``."""
        said = [f"{self._part}{example.id}", example.text, example.answer, str(example.context or "")]
        self._content.update((", " if self._rows.rows else "[").encode() + json.dumps(said).encode())

    def _fact(self, name: str, value: Any) -> list[Any]:
        """Return a fact with its value, or with the place of one that other rows may have too, such as a schema."""
        if not isinstance(value, dict | list):
            _kept(value)
            return [name, value]
        # Of a schema that all rows share, the same object comes again and again.
        if name not in self._last or self._last[name][0] is not value:
            self._last[name] = value, self._place(_kept(value))
        return [name, self._last[name][1], True]

    def _context(self, context: Context | None) -> int | None:
        if context is None:
            return None
        return self._place(dumps([context.system, context.instruction, context.shots]))

    def _place(self, text: str) -> int:
        """Return where a value stands among those that rows share; it is written the first time."""
        key = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if key not in self._places:
            self._places[key] = self._values.add(value=text)
        return self._places[key]


def _kept(value: Any) -> str:
    """Return a value as JSON, from which it can be read again as it is.

    Raises:
        Unstorable: if it cannot, as a tuple.
    """
    try:
        text = dumps(value)
        same = _alike(loads(text), value)
    except (TypeError, ValueError) as error:
        raise Unstorable(f"{type(value).__name__} {excerpt(value)} is not JSON") from error
    if not same:
        raise Unstorable(f"{type(value).__name__} {excerpt(value)} would not be the same when it is read again")
    return text


def _alike(one: Any, other: Any) -> bool:
    """Whether two values are equal and of the same types throughout; numbers with their digits are numbers."""
    if isinstance(one, dict) and type(other) is dict:
        return list(one) == list(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and type(other) is list:
        return len(one) == len(other) and all(map(_alike, one, other))
    both_floats = isinstance(one, float) and isinstance(other, float)
    return bool(one == other) and (both_floats or type(one) is type(other))


def _runs(labels: list[int]) -> list[int]:
    """Return where learned tokens begin and end, in turns."""
    learned = [False, *(label != IGNORE for label in labels), False]
    return [at for at, (before, here) in enumerate(pairwise(learned)) if before != here]
