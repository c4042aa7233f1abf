"""Rows whose clips are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.dataset import Example, Row, Split
from lit_llm.data.tokens.prompting import Encoded

Load = Callable[["ClipSplit", int, int], NDArray[np.float32]]
"""Returns the frames ``[L, C]`` of a row of a split, by epoch and index."""


@dataclass(frozen=True, slots=True)
class ClipExample(Example):
    """A sentence and the clip that it translates.

    Attributes:
        path: file of the clip.
        key: of the clip, in a file that holds several.
        length: its frames.
    """

    path: str = ""
    key: str | None = None
    length: int = 0

    @property
    def sizes(self) -> dict[str, int]:
        """How long it is: its frames, and the characters of its sentence."""
        return {"frames": self.length} | self._answer_size


class ClipSplit(Split):
    """Rows whose clips are read when they are asked for.

    Args:
        name: of the split.
        rows: examples with the tokens around their clips.
        load: returns the frames ``[L, C]`` of a row in an epoch.
        downsample: how many frames a position stands for.
        longest: returns the most frames of a clip of a number of frames, once it is changed and sampled.
    """

    def __init__(self, name: str, rows: list[Row], load: Load, downsample: int, longest: Callable[[int], int]) -> None:
        super().__init__(name, [], lambda _: None)
        self.rows = rows
        self._load = load
        self._downsample, self._longest = downsample, longest

    def __getitem__(self, key: tuple[int, int]) -> Row:
        epoch, index = key
        row = self.rows[max(0, index)]
        if row.example and row.example.error:
            return row if index >= 0 else replace(row, example=None)
        features = self._load(self, epoch, max(0, index))
        filled = Row(row.example, self._spread(row.encoded, len(features)), features)
        return filled if index >= 0 else replace(filled, example=None)

    def lengths(self, *, prompt: bool = False) -> list[int]:
        """Return the positions of each row, those of its clip among them; the most that there may be in training."""
        return [
            (row.encoded.prompt_length if prompt else len(row.encoded.input_ids))
            + self._positions(self._longest(row.example.length) if isinstance(row.example, ClipExample) else 0)
            for row in self.rows
        ]

    def _positions(self, frames: int) -> int:
        return -(-frames // self._downsample)

    def _spread(self, encoded: Encoded, frames: int) -> Encoded:
        """Make room for a clip among the tokens."""
        count = self._positions(frames)
        at = encoded.slots.start if encoded.slots is not None else 0
        # Which token stands there does not matter: the model puts the clip in its place.
        ids = [*encoded.input_ids[:at], *encoded.input_ids[:1] * count, *encoded.input_ids[at:]]
        labels = [*encoded.labels[:at], *[IGNORE] * count, *encoded.labels[at:]]
        return Encoded(ids, labels, encoded.prompt_length + count, slots=range(at, at + count))
