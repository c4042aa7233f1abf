"""Finds the nearest of many texts by character n-grams, for baselines that need no model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Measure = Literal["jaccard", "cosine", "tfidf"]
BLOCK = 512
"""Texts compared with all training texts at once."""


@dataclass(frozen=True)
class Nearness:
    """How near two texts are.

    Attributes:
        measure: ``jaccard`` of the sets of n-grams, ``cosine`` of their counts, or ``tfidf``: cosine of counts weighted
            by log((1 + N) / (1 + texts that hold the n-gram)) + 1.
        shortest: characters of the shortest n-grams.
        longest: characters of the longest.
    """

    measure: Measure = "jaccard"
    shortest: int = 1
    longest: int = 5

    def __str__(self) -> str:
        """Return it as the table writes it."""
        return f"{self.measure}, n = {self.shortest} to {self.longest}"


def ngrams(text: str, shortest: int, longest: int) -> Counter[str]:
    """Count the n-grams of a text, without regard to case; white space is one blank, also at both ends."""
    padded = f" {' '.join(text.casefold().split())} "
    return Counter(padded[i : i + n] for n in range(shortest, longest + 1) for i in range(len(padded) - n + 1))


@dataclass
class Neighbours:
    """Finds the training text nearest to another.

    Args:
        texts: the training texts.
        nearness: what near means.
    """

    texts: Sequence[str]
    nearness: Nearness
    columns: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        grams = [self._ngrams(text) for text in self.texts]
        held = Counter(gram for one in grams for gram in one)
        self.columns = {gram: column for column, gram in enumerate(held)}
        idf = [math.log((1 + len(grams)) / (1 + count)) + 1 for count in held.values()]
        self.weights = np.array(idf if self.nearness.measure == "tfidf" else [1.0] * len(idf))
        self.matrix, self.sizes = self._vectors(grams)

    def nearest(self, texts: Sequence[str]) -> list[int]:
        """Return the index of the nearest training text for each text; of equally near ones the first."""
        found: list[int] = []
        for start in range(0, len(texts), BLOCK):
            matrix, sizes = self._vectors([self._ngrams(text) for text in texts[start : start + BLOCK]])
            shared = (matrix @ self.matrix.T).toarray()
            if self.nearness.measure == "jaccard":
                likeness = shared / np.maximum(sizes[:, None] + self.sizes[None] - shared, 1)
            else:
                # A text's own norm scales its whole row, which changes no order.
                likeness = shared / np.maximum(np.sqrt(self.sizes)[None], 1e-12)
            # Rounded, so that sums of floats in another order do not break ties otherwise.
            found += likeness.round(9).argmax(1).tolist()
        return found

    def _ngrams(self, text: str) -> Counter[str]:
        return ngrams(text, self.nearness.shortest, self.nearness.longest)

    def _vectors(self, grams: Iterable[Counter[str]]) -> tuple[csr_matrix, np.ndarray]:
        """Return a row per text, and each text's squared norm, in which n-grams of no training text count too."""
        from scipy.sparse import csr_matrix

        values: list[float] = []
        columns: list[int] = []
        ends, sizes = [0], []
        for counts in grams:
            found = {self.columns[gram]: count for gram, count in counts.items() if gram in self.columns}
            once = self.nearness.measure == "jaccard"
            row = [1.0 if once else count * float(self.weights[column]) for column, count in found.items()]
            values += row
            columns += found
            ends.append(len(values))
            sizes.append(len(counts) if once else sum(value * value for value in row))
        return csr_matrix((values, columns, ends), shape=(len(sizes), len(self.columns))), np.array(sizes)
