"""Which tokens may follow in a name: the sorted names of a catalogue, walked as a trie of their bytes."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_llm.catalogues.catalogue import QUOTE, Catalogue
from lit_llm.catalogues.grams import MIX

LONGEST = 16
"""Bytes of the longest tokens that names are written with; longer ones can be written with shorter ones."""

FEW = 8
"""Names that are looked at one by one; of more, the tokens are remembered."""

KEPT = 2**12
"""Places of the trie whose tokens are remembered."""


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
        self._powers = np.cumprod(np.full(LONGEST, MIX), dtype=np.uint64)
        whole: defaultdict[bytes, list[int]] = defaultdict(list)
        # A token may end a name and go on behind it: by what stands in it up to a quote.
        ends: defaultdict[bytes, list[int]] = defaultdict(list)
        begun: set[bytes] = set()
        for number, token in enumerate(self.tokens):
            if 0 < len(token) <= LONGEST:
                whole[token].append(number)
            for end in range(1, min(len(token), LONGEST + 1)):
                begun.add(token[:end])
                if token[end - 1] == QUOTE:
                    ends[token[:end]].append(number)
        self.over_a_quote = [number for number, token in enumerate(self.tokens) if QUOTE in token[:-1]]
        self._whole, self._ends = dict(whole), dict(ends)
        self._whole_table, self._ends_table = self._table(whole), self._table(ends)
        self._begun = np.sort(self._hashes(sorted(begun)))
        self._kept: OrderedDict[Node, NDArray[np.int64]] = OrderedDict()

    def following(self, node: Node) -> NDArray[np.int64]:
        """Return the tokens that go on with a name or end one, in order; what they write behind it is not looked at."""
        if node.end - node.first <= FEW:
            return self._of_few(node)
        if node in self._kept:
            self._kept.move_to_end(node)
            return self._kept[node]
        found = self._kept[node] = self._of_many(node)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found

    def _of_few(self, node: Node) -> NDArray[np.int64]:
        letters, starts = node.catalogue.letters, node.catalogue.starts
        found: set[int] = set()
        for number in range(node.first, node.end):
            rest = letters[starts[number] + node.depth : starts[number + 1]][:LONGEST].tobytes()
            for end in range(1, len(rest) + 1):
                found.update(self._whole.get(rest[:end], ()))
            if starts[number] + node.depth + len(rest) == starts[number + 1]:
                found.update(self._ends.get(rest, ()))
        return np.array(sorted(found), np.int64)

    def _of_many(self, node: Node) -> NDArray[np.int64]:
        """Lengthen what the names have in common byte by byte, as long as tokens begin so.

        Names that begin alike are neighbours. So each beginning is a range of them, and has one hash.
        """
        letters, starts = node.catalogue.letters, node.catalogue.starts
        places = starts[node.first : node.end] + node.depth
        ends = starts[node.first + 1 : node.end + 1]
        ranges, hashes = np.zeros(len(places), np.int64), np.zeros(1, np.uint64)
        found = []
        for length in range(LONGEST):
            last = letters[places]
            fresh = np.ones(len(places), bool)
            fresh[1:] = (ranges[1:] != ranges[:-1]) | (last[1:] != last[:-1])
            first = np.flatnonzero(fresh)
            # Numbers wrap around at 64 bits.
            hashes = hashes[ranges[first]] + (last[first].astype(np.uint64) + np.uint64(1)) * self._powers[length]
            ended = places[first] + 1 == ends[first]
            found += [_found(self._whole_table, hashes), _found(self._ends_table, hashes[ended])]
            goes_on = _among(self._begun, hashes) & ~ended
            ranges = np.cumsum(fresh) - 1
            kept = goes_on[ranges]
            places, ends, ranges = places[kept] + 1, ends[kept], ranges[kept]
            if not len(places):
                break
        return np.unique(np.concatenate(found))

    def _table(self, numbers: Mapping[bytes, list[int]]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return hashes of bytes in order, one for each token, and the numbers of the tokens."""
        hashes = np.repeat(self._hashes(list(numbers)), [len(own) for own in numbers.values()])
        order = np.argsort(hashes, kind="stable")
        return hashes[order], np.array([number for own in numbers.values() for number in own], np.int64)[order]

    def _hashes(self, texts: Sequence[bytes]) -> NDArray[np.uint64]:
        """Return a hash of 64 bits of each of some bytes, at most ``LONGEST`` each."""
        wide = np.frombuffer(b"".join(text.ljust(LONGEST, b"\0") for text in texts), np.uint8).reshape(-1, LONGEST)
        inside = np.arange(LONGEST) < np.array([len(text) for text in texts], np.int64)[:, None]
        values = np.where(inside, (wide.astype(np.uint64) + np.uint64(1)) * self._powers, np.uint64(0))
        return np.asarray(values.sum(axis=1, dtype=np.uint64))


def _found(table: tuple[NDArray[np.uint64], NDArray[np.int64]], hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the tokens of a table that have one of these hashes, of which none is there twice."""
    known, numbers = table
    low, high = (np.searchsorted(known, hashes, side) for side in ("left", "right"))
    ranges = [numbers[low[place] : high[place]] for place in np.flatnonzero(high > low)]
    return np.concatenate([np.zeros(0, np.int64), *ranges])


def _among(known: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of some hashes are among others, which are in order."""
    if not len(known):
        return np.zeros(len(hashes), bool)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.asarray(known[places] == hashes)
