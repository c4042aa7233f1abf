"""Finds the nearest of many texts by character n-grams, for baselines that need no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from lit_llm.catalogues.grams import MIX

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Measure = Literal["jaccard", "cosine", "tfidf"]

CHUNK = 2**18
"""Characters whose n-grams are taken apart together."""

CELLS = 2**24
"""Most pairs of texts that are compared at once."""

BITS = 22
COLUMNS = 2**BITS


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
        """Return it as a table writes it."""
        return f"{self.measure}, n = {self.shortest} to {self.longest}"


class Neighbours:
    """Finds the training text nearest to another.

    Tens of thousands of texts take seconds: an n-gram is one of four million columns of a sparse matrix, and a block of
    texts is compared at a time. The columns are hashed: of a hundred thousand n-grams, one in forty shares another's.

    Args:
        texts: the training texts.
        nearness: what near means.
    """

    def __init__(self, texts: Sequence[str], nearness: Nearness) -> None:
        from scipy.sparse import vstack

        self.nearness = nearness
        self.weights = np.ones(1)
        chunks = [self._counts(some) for some in _blocks(texts, len(texts))]
        matrix: csr_matrix = vstack(chunks or [self._counts([])], format="csr")
        if nearness.measure == "tfidf":
            held = np.bincount(matrix.indices, minlength=COLUMNS)
            # What no training text holds has no part in a product, whatever its weight.
            self.weights = np.log((1 + len(texts)) / (1 + held)) + 1
            matrix.data *= self.weights[matrix.indices]
        self.sizes = _row_sums(matrix, matrix.data**2)
        self.transposed: csr_matrix = matrix.T.tocsr()

    def nearest(self, texts: Sequence[str]) -> list[int]:
        """Return the index of the nearest training text for each text; of equally near ones the first."""
        found: list[int] = []
        for some in _blocks(texts, CELLS // max(1, len(self.sizes))):
            found += self._likeness(some).argmax(1).tolist()
        return found

    def ranked(self, texts: Sequence[str], count: int) -> list[list[tuple[int, float]]]:
        """Return the nearest training texts of each text with their likeness, the nearest first; ties in order."""
        found: list[list[tuple[int, float]]] = []
        for some in _blocks(texts, CELLS // max(1, len(self.sizes))):
            for likeness in self._likeness(some):
                best = np.argsort(-likeness, kind="stable")[:count]
                found.append([(int(place), float(likeness[place])) for place in best])
        return found

    def _likeness(self, texts: Sequence[str]) -> NDArray[np.float64]:
        matrix = self._counts(texts)
        sizes = _row_sums(matrix, matrix.data)
        if self.nearness.measure == "tfidf":
            matrix.data *= self.weights[matrix.indices]
        likeness = np.asarray((matrix @ self.transposed).toarray())
        if self.nearness.measure == "jaccard":
            likeness /= np.maximum(sizes[:, None] + self.sizes[None] - likeness, 1)
        else:
            # A text's own norm scales its whole row, which changes no order.
            likeness /= np.maximum(np.sqrt(self.sizes)[None], 1e-12)
        # Rounded, so that sums of floats in another order do not break ties otherwise.
        rounded: NDArray[np.float64] = likeness.round(9)
        return rounded

    def _counts(self, texts: Sequence[str]) -> csr_matrix:
        """Return how often each text holds each n-gram, ``[texts, COLUMNS]``; for ``jaccard``, whether it does."""
        from scipy.sparse import csr_matrix

        whole = [_padded(text) for text in texts]
        codes = np.frombuffer("".join(whole).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        owner = np.repeat(np.arange(len(whole), dtype=np.int32), [len(text) for text in whole])
        columns, rows = [np.zeros(0, np.int32)], [np.zeros(0, np.int32)]
        number = np.zeros(len(codes), np.uint64)
        for n in range(1, self.nearness.longest + 1):
            # The n-gram at a place is that of one character less, and one more; numbers wrap around at 64 bits.
            number = number[: len(codes) - n + 1] * MIX + codes[n - 1 :] + np.uint64(1)
            inside = owner[: len(number)] == owner[n - 1 :]
            if n >= self.nearness.shortest:
                columns.append((number[inside] * MIX >> np.uint64(64 - BITS)).astype(np.int32))
                rows.append(owner[: len(number)][inside])
        where = np.concatenate(rows), np.concatenate(columns)
        matrix = csr_matrix((np.ones(len(where[0])), where), shape=(len(texts), COLUMNS))
        if self.nearness.measure == "jaccard":
            matrix.data[:] = 1.0
        return matrix


def _blocks(texts: Sequence[str], most: int) -> Iterator[Sequence[str]]:
    """Yield texts in order, as many at a time as ``CHUNK`` characters are, at least one and at most so many."""
    start = size = 0
    for place, text in enumerate(texts):
        if place > start and (size + len(text) > CHUNK or place - start >= most):
            yield texts[start:place]
            start, size = place, 0
        size += len(text)
    if texts:
        yield texts[start:]


def _padded(text: str) -> str:
    """Return what n-grams are taken of: lower case, with one blank for white space, and one at both ends."""
    return f" {' '.join(text.casefold().split())} "


def _row_sums(matrix: csr_matrix, values: NDArray[np.float64]) -> NDArray[np.float64]:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    found: NDArray[np.float64] = sums[matrix.indptr[1:]] - sums[matrix.indptr[:-1]]
    return found
