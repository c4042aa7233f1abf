"""Which tokens may follow in a name: the sorted names of a catalogue, walked as a trie of their bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_llm.catalogues.catalogue import QUOTE, Catalogue

LONGEST = 16
"""Bytes of the longest tokens that names are written with; longer ones can be written with shorter ones."""

FACTOR = np.uint64(0x9E3779B97F4A7C15)
BLOCK = 2**16
"""Names that are looked at together."""

KEPT = 2**12
"""Places of the trie whose tokens are remembered."""

MANY = 4
"""From so many names on, the tokens of a place are remembered."""


class Node(NamedTuple):
    """A place in the trie: the names that begin with what has been written.

    Attributes:
        catalogue: whose.
        first: the first of them, in the order of the catalogue.
        end: the one behind the last.
        depth: bytes that have been written.
    """

    catalogue: Catalogue
    first: int
    end: int
    depth: int

    @classmethod
    def root(cls, catalogue: Catalogue) -> Node:
        """Return the place where nothing has been written."""
        return cls(catalogue, 0, len(catalogue), 0)

    def down(self, letter: int) -> Node | None:
        """Return the place after one more byte; None where no name goes on with it."""
        letters, starts, depth = self.catalogue.letters, self.catalogue.starts, self.depth

        def at(number: int) -> int:
            """Return the byte of a name at this depth; all that are as long begin alike up to it."""
            return int(letters[starts[number] + depth])

        names = range(self.first, self.end)
        first = bisect_left(names, letter, key=at)
        end = bisect_left(names, letter + 1, lo=first, key=at)
        return self._replace(first=self.first + first, end=self.first + end, depth=depth + 1) if end > first else None


class Vocabulary:
    """The tokens of a model as bytes, found by what they begin with.

    Args:
        tokens: bytes of each token by its number; empty for those that stand for no text.
    """

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.tokens = list(tokens)
        self._powers = np.ones(LONGEST, np.uint64)
        self._powers[1:] = FACTOR
        self._powers = np.cumprod(self._powers, dtype=np.uint64)
        whole = [(number, token) for number, token in enumerate(self.tokens) if 0 < len(token) <= LONGEST]
        # A token may end a name and go on behind it.
        ends = [
            (number, token[: place + 1])
            for number, token in enumerate(self.tokens)
            for place, letter in enumerate(token[:LONGEST])
            if letter == QUOTE and place + 1 < len(token)
        ]
        self.over_a_quote = sorted({number for number, _ in ends})
        self._whole, self._ends = self._table(whole), self._table(ends)
        self._kept: OrderedDict[Node, NDArray[np.int64]] = OrderedDict()

    def following(self, node: Node) -> NDArray[np.int64]:
        """Return the tokens that go on with a name or end one, in order; what they write behind it is not looked at."""
        if node in self._kept:
            self._kept.move_to_end(node)
            return self._kept[node]
        blocks = [
            self._in_block(node.catalogue, start, min(start + BLOCK, node.end), node.depth)
            for start in range(node.first, node.end, BLOCK)
        ]
        found = np.unique(np.concatenate(blocks))
        if node.end - node.first >= MANY:
            self._kept[node] = found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found

    def _in_block(self, catalogue: Catalogue, first: int, end: int, depth: int) -> NDArray[np.int64]:
        begins = catalogue.starts[first:end] + depth
        places = begins[:, None] + np.arange(LONGEST)
        inside = places < catalogue.starts[first + 1 : end + 1, None]
        letters = catalogue.letters[np.minimum(places, len(catalogue.letters) - 1)].astype(np.uint64) + np.uint64(1)
        # The hash of each beginning of what is left of each name, all at once; numbers wrap around at 64 bits.
        hashes = np.cumsum(letters * self._powers, axis=1, dtype=np.uint64)
        last = inside.sum(axis=1)
        ending = np.flatnonzero(last + begins == catalogue.starts[first + 1 : end + 1])
        ended = hashes[ending, last[ending] - 1]
        return np.concatenate([_found(self._whole, hashes[inside]), _found(self._ends, ended)])

    def _table(self, beginnings: Sequence[tuple[int, bytes]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return hashes of bytes in order, and the numbers of the tokens that they belong to."""
        hashes = np.array([self._hash(letters) for _, letters in beginnings], np.uint64)
        order = np.argsort(hashes, kind="stable")
        return hashes[order], np.array([number for number, _ in beginnings], np.int64)[order]

    def _hash(self, letters: bytes) -> int:
        values = np.frombuffer(letters, np.uint8).astype(np.uint64) + np.uint64(1)
        return int((values * self._powers[: len(values)]).sum(dtype=np.uint64))


def _found(table: tuple[NDArray[np.uint64], NDArray[np.int64]], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the tokens of a table that have one of these hashes."""
    known, numbers = table
    wanted = np.unique(hashes)
    low, high = (np.searchsorted(known, wanted, side) for side in ("left", "right"))
    ranges = [numbers[low[place] : high[place]] for place in np.flatnonzero(high > low)]
    return np.concatenate([np.zeros(0, np.int64), *ranges])
