"""What the splits of a data set share: rows of one split that stand, or nearly stand, in another."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lit_llm.data.hygiene.duplicates import NEAR, Folded
from lit_llm.data.tokens.dataset import Example

SHOWN = 5
"""Examples of each finding that a report holds."""


@dataclass
class Overlap:
    """Rows of ``second`` with a twin in ``first``; within one split, rows with an earlier twin.

    Attributes:
        side: what was compared, such as ``text`` or a language.
        first: name of the one split.
        second: name of the other.
        exact: rows of ``second`` whose folded text stands in ``first``.
        near: further rows of ``second`` whose text nearly stands there.
        examples: a few pairs of row ids with the similarity of near ones, None for exact ones.
    """

    side: str
    first: str
    second: str
    exact: int = 0
    near: int = 0
    examples: list[tuple[str, str, float | None]] = field(default_factory=list)

    @property
    def leaks(self) -> bool:
        """Whether two different splits share rows."""
        return self.first != self.second and self.exact + self.near > 0


@dataclass
class Leakage:
    """The findings over all splits.

    Attributes:
        rows: number of rows by split.
        threshold: least similarity of near twins.
        overlaps: for each side and pair of splits that share anything.
    """

    rows: dict[str, int]
    threshold: float
    overlaps: list[Overlap]

    @property
    def leaks(self) -> list[Overlap]:
        """The overlaps of different splits."""
        return [overlap for overlap in self.overlaps if overlap.leaks]

    def as_dict(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {"rows": self.rows, "threshold": self.threshold, "overlaps": [asdict(o) for o in self.overlaps]}


@dataclass(frozen=True)
class _Text:
    split: str
    id: str
    text: str


def leakage(
    splits: Mapping[str, Sequence[Example]], sides: Mapping[str, Mapping[str, Sequence[str]]], near: float = NEAR
) -> Leakage:
    """Compare every split with every other, and with itself.

    Args:
        splits: the rows of each split.
        sides: for each side the texts of each split, in parallel with its rows; an empty text is compared with none.
        near: least similarity of near twins.
    """
    found = []
    for side, by_split in sides.items():
        texts = [
            _Text(split, example.id, text)
            for split, rows in splits.items()
            for example, text in zip(rows, by_split[split], strict=True)
        ]
        found += _overlaps(side, texts, list(splits), near)
    return Leakage({name: len(rows) for name, rows in splits.items()}, near, found)


def _overlaps(side: str, texts: list[_Text], order: list[str], near: float) -> list[Overlap]:
    folded = Folded(text.text for text in texts)
    linked: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)
    for twins in folded.twins(near):
        linked[twins.first].append((-twins.similarity, twins.second))
        linked[twins.second].append((-twins.similarity, twins.first))
    firsts = [_first_places(texts, places) for places in folded.places]
    overlaps: dict[tuple[str, str], Overlap] = {}
    for node, places in enumerate(folded.places):
        # The exact twin of each split first, then near ones from the nearest on: a row counts once for each split.
        twins_of: defaultdict[str, list[tuple[int, float | None]]] = defaultdict(list)
        for similarity, twin in [(None, node), *((-value, twin) for value, twin in sorted(linked[node]))]:
            for split, first in firsts[twin].items():
                twins_of[split].append((first, similarity))
        for place, (split, found) in itertools.product(places, twins_of.items()):
            pair = next((pair for pair in found if _precedes(texts, order, pair[0], place)), None)
            if pair:
                overlap = overlaps.setdefault((split, texts[place].split), Overlap(side, split, texts[place].split))
                _note(overlap, texts[pair[0]].id, texts[place].id, pair[1])
    return sorted(overlaps.values(), key=lambda o: (order.index(o.first), order.index(o.second)))


def _first_places(texts: list[_Text], places: list[int]) -> dict[str, int]:
    """Return the first place of each split."""
    return {texts[place].split: place for place in reversed(places)}


def _precedes(texts: list[_Text], order: list[str], first: int, second: int) -> bool:
    """Whether the first row belongs to an earlier split, or to the same one and stands before the second."""
    one, other = order.index(texts[first].split), order.index(texts[second].split)
    return (one, first) < (other, second) if one == other else one < other


def _note(overlap: Overlap, first: str, second: str, similarity: float | None) -> None:
    """Count a twin; no similarity stands for the same text (texts may differ and yet have the same 5-grams)."""
    overlap.exact += similarity is None
    overlap.near += similarity is not None
    if len(overlap.examples) < SHOWN:
        overlap.examples.append((first, second, None if similarity is None else round(similarity, 3)))
