"""Records of a task and their tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.prompting import Context, Encoded
from lit_llm.errors import DataError

NOTHING = Encoded([0], [IGNORE], 1)
"""Stands for the tokens of a row that cannot be answered."""


@dataclass(frozen=True, slots=True)
class Example:
    """One record of a task, before it is encoded.

    Attributes:
        id: unique within its file group.
        text: what the model reads.
        answer: what it should write; None where it is not known.
        reference: what metrics compare with.
        place: ``file:line``, for errors.
        meta: facts about the row for metrics, reports and predictions.csv.
        context: what stands before the text, where rows differ in it; by default the data module's.
        error: why it cannot be answered; empty where it can.
    """

    id: str
    text: str
    answer: str | None
    reference: Any
    place: str
    meta: dict[str, Any] = field(default_factory=dict)
    context: Context | None = None
    error: str = ""

    @property
    def sizes(self) -> dict[str, int]:
        """How long it is, by what is counted."""
        return {"characters of texts": len(self.text)} | self._answer_size

    @property
    def _answer_size(self) -> dict[str, int]:
        return {} if self.answer is None else {"characters of answers": len(self.answer)}


@dataclass(frozen=True, slots=True)
class Row:
    """An example with its tokens; an ``example`` of None is a row that only fills a batch.

    Attributes:
        example: the record.
        encoded: its tokens.
        features: ``[L, C]`` float32 of a row that is more than text.
    """

    example: Example | None
    encoded: Encoded
    features: NDArray[np.float32] | None = None


class Split(Dataset[Row]):
    """The encoded rows of one file group.

    Args:
        name: of the group.
        rows: encoded; None counts one that was dropped.
        vary: makes a variant for ``(example, epoch, index, variant)``, or None where the example itself is to be used;
            without it nothing is augmented.
        factor: rows per example; the first is the example itself, the others are variants of it.
    """

    def __init__(
        self,
        name: str,
        rows: Iterable[Row | None] = (),
        vary: Callable[[Example, int, int, int], Row | None] | None = None,
        factor: int = 1,
    ) -> None:
        self.name = name
        found = list(rows)
        self.rows: Sequence[Row] = [row for row in found if row is not None]
        self.dropped = len(found) - len(self.rows)
        self._vary = vary
        self.factor = factor if vary else 1

    def __len__(self) -> int:
        return len(self.rows) * self.factor

    def __getitem__(self, key: tuple[int, int]) -> Row:
        epoch, index = key
        if index < 0:
            return Row(None, self.rows[0].encoded)
        base, variant = index % len(self.rows), index // len(self.rows)
        row = self.rows[base]
        if variant == 0 or self._vary is None or row.example is None:
            return row
        return self._vary(row.example, epoch, base, variant) or row

    def lengths(self, *, prompt: bool = False) -> Sequence[int]:
        """Return the tokens of each row; of its prompt alone where only that is fed."""
        own = [row.encoded.prompt_length if prompt else len(row.encoded.input_ids) for row in self.rows]
        return own * self.factor

    def failed(self) -> set[int]:
        """Return the places of the rows that cannot be answered."""
        return {at for at, row in enumerate(self.rows) if row.example and row.example.error}

    def text_keys(self) -> NDArray[np.uint64]:
        """Return a number for the text of each record, the same for texts that differ in case or outer space alone."""
        return np.array([text_key(example.text) for example in self.examples], dtype=np.uint64)

    def rename(self, change: Callable[[Example], Example]) -> None:
        """Change every record, but none of its tokens."""
        self.rows = [replace(row, example=change(row.example)) if row.example else row for row in self.rows]

    @cached_property
    def content(self) -> str:
        """A hash of what its records say, in their order; of features, it knows the ids alone."""
        said = [[e.id, e.text, e.answer, str(e.context or "")] for e in self.examples]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]

    @property
    def truncated(self) -> int:
        """How many rows were cut to their limit."""
        return sum(row.encoded.truncated for row in self.rows)

    @property
    def trimmed(self) -> int:
        """Of how many rows the template takes off outer white space."""
        return sum(row.encoded.trimmed for row in self.rows)

    @property
    def unlabelled(self) -> tuple[int, str]:
        """How many rows have no token that is learned, and the place of the first."""
        found = [row for row in self.rows if row.encoded.labels.count(IGNORE) == len(row.encoded.labels)]
        return len(found), found[0].example.place if found and found[0].example else ""

    @property
    def examples(self) -> Sequence[Example]:
        """The records that were kept."""
        return [row.example for row in self.rows if row.example]


def text_key(text: str) -> int:
    """Return a number for a text, the same for texts that differ in case or outer white space alone."""
    plain = text.casefold().strip().encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(plain, digest_size=8).digest(), "big")


def encoded_rows(
    examples: Iterable[Example], encode: Callable[[Example], Encoded | None], *, lenient: bool = False
) -> Iterator[Row | None]:
    """Yield examples with their tokens; None for one that is dropped.

    Args:
        examples: the records.
        encode: turns an example into tokens, or None to drop it.
        lenient: keep what cannot be encoded as a row whose example has an ``error``.
    """
    return (_row(example, encode, lenient=lenient) for example in examples)


def _row(example: Example, encode: Callable[[Example], Encoded | None], *, lenient: bool) -> Row | None:
    if example.error:
        return Row(example, NOTHING)
    try:
        encoded = encode(example)
    except DataError as error:
        if not lenient:
            raise
        return Row(replace(example, error=str(error).removeprefix(f"{example.place}: ")), NOTHING)
    return None if encoded is None else Row(example, encoded)
