"""Rows whose clips are read when they are asked for."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lit_llm.batch import IGNORE
from lit_llm.data.clips.changes import ClipChanges
from lit_llm.data.clips.pose import read_pose
from lit_llm.data.clips.reading import Clip, clip_length, read_clip
from lit_llm.data.tokens.dataset import Example, Row, Split
from lit_llm.data.tokens.prompting import Encoded
from lit_llm.errors import ConfigError, DataError

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
        super().__init__(name, rows)
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
        at = encoded.slots.start if isinstance(encoded.slots, range) else 0
        # Which token stands there does not matter: the model puts the clip in its place.
        ids = [*encoded.input_ids[:at], *encoded.input_ids[:1] * count, *encoded.input_ids[at:]]
        labels = [*encoded.labels[:at], *[IGNORE] * count, *encoded.labels[at:]]
        return Encoded(ids, labels, encoded.prompt_length + count, slots=range(at, at + count))


def clip_of(example: Example | None) -> tuple[ClipExample, Clip]:
    """Return a row as one with a clip, and the clip.

    Raises:
        ConfigError: if it has none.
        DataError: if the clip is not as long as the row says.
    """
    if not isinstance(example, ClipExample):
        raise ConfigError("data: a row without a clip")
    clip = read_clip(Path(example.path), example.key, example.length)
    if len(clip.values) != example.length:
        raise DataError(
            f"{example.place}: field 'length': {example.length}, but {example.path} has {len(clip.values)} frames: "
            "mend it, or leave the column out"
        )
    return example, clip


def asked_clip(text: str, folder: str | None, key: str | None, lang: str | None) -> ClipExample:
    """Return a clip that no manifest names.

    Args:
        text: path of its file, as it is or in ``folder``.
        folder: where a manifest's clips lie.
        key: of the clip, in a file that holds several.
        lang: what the language of the answer is called.

    Raises:
        DataError: if there is no such clip, or it cannot be read.
    """
    places = [Path(text), *([Path(folder) / text] if folder else [])]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(f"there is no file {text!r}: this run translates clips; name the file of one")
    meta = {"lang": lang} if lang else {}
    length = clip_length(path, key)
    return ClipExample("", text, None, None, str(path), meta, path=str(path), key=key, length=length)


def views_of(example: ClipExample, changes: ClipChanges | None) -> dict[str, NDArray[np.float32]]:
    """Return a clip for people to look at: as it is read, and as training changes it.

    Returns:
        By name: points ``[L, P, 2]`` in the file's unit, where the file still holds them; then those in shoulder
        widths, or features ``[L, D]``; then what ``changes`` makes of them.
    """
    path = Path(example.path)
    clip = read_clip(path, example.key, example.length)
    found = {"in the file": read_pose(path.read_bytes()).points} if path.suffix == ".pose" else {}
    found["normalised" if clip.is_pose else "features"] = clip.values
    if changes:
        found["changed"] = changes.apply(clip.values, random.Random(example.id), is_pose=clip.is_pose)
    return found
