"""Records of a task and their tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from lit_llm.data.tokens.prompting import Context, Encoded


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
    """

    id: str
    text: str
    answer: str | None
    reference: Any
    place: str
    meta: dict[str, Any] = field(default_factory=dict)
    context: Context | None = None

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
        examples: its records.
        encode: turns an example into tokens, or None to drop it.
        vary: makes a variant for ``(example, epoch, index, variant)``, or None where the example itself is to be used;
            without it nothing is augmented.
        factor: rows per example; the first is the example itself, the others are variants of it.
    """

    def __init__(
        self,
        name: str,
        examples: Iterable[Example],
        encode: Callable[[Example], Encoded | None],
        vary: Callable[[Example, int, int, int], Row | None] | None = None,
        factor: int = 1,
    ) -> None:
        self.name = name
        self.rows: list[Row] = []
        self.dropped = 0
        for example in examples:
            encoded = encode(example)
            if encoded is None:
                self.dropped += 1
            else:
                self.rows.append(Row(example, encoded))
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

    def lengths(self, *, prompt: bool = False) -> list[int]:
        """Return the tokens of each row; of its prompt alone where only that is fed."""
        own = [row.encoded.prompt_length if prompt else len(row.encoded.input_ids) for row in self.rows]
        return own * self.factor

    @property
    def examples(self) -> list[Example]:
        """The records that were kept."""
        return [row.example for row in self.rows if row.example]
