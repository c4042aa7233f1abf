"""How long the rows of the splits are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lit_llm.data.tokens.dataset import Example

BINS = 24
"""Bars of a histogram."""


@dataclass(frozen=True)
class Lengths:
    """How long the rows of one split are, by one measure.

    Attributes:
        measure: what was counted, such as ``frames``.
        split: of the rows.
        shortest: of them.
        median: of them.
        p95: the 95th percentile.
        longest: of them.
        width: how much a bar spans; all splits have the same.
        counts: rows of each bar, the first from 0 on.
    """

    measure: str
    split: str
    shortest: int
    median: float
    p95: float
    longest: int
    width: int
    counts: list[int]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    def bars(self) -> str:
        """Return a line of bars, the highest for the most rows; a blank for none."""
        heights = " ▁▂▃▄▅▆▇█"
        most = max(self.counts)
        return "".join(heights[-(-count * (len(heights) - 1) // most)] for count in self.counts)


def lengths(splits: Mapping[str, Sequence[Example]]) -> list[Lengths]:
    """Return the lengths of every split by every measure that its rows have."""
    found: dict[str, dict[str, list[int]]] = {}
    for split, examples in splits.items():
        for example in examples:
            for measure, size in example.sizes.items():
                found.setdefault(measure, {}).setdefault(split, []).append(size)
    result = []
    for measure, by_split in found.items():
        longest = max(max(sizes) for sizes in by_split.values())
        width = longest // BINS + 1
        for split, sizes in by_split.items():
            counts = np.bincount(np.asarray(sizes) // width, minlength=BINS).tolist()
            middle, high = (float(value) for value in np.percentile(sizes, [50, 95]))
            result.append(Lengths(measure, split, min(sizes), middle, high, max(sizes), width, counts))
    return result
