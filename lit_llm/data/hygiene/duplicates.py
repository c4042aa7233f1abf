"""Exact and near duplicates among many texts.

Texts are folded (case, punctuation, white space), so that what a reader takes for the same sentence is the same. Near
means that the sets of character 5-grams of two folded texts have a Jaccard similarity of at least 0.7. Pairs to compare
are found with MinHash and locality-sensitive hashing (Broder 1997; Indyk & Motwani 1998) and then compared exactly:
there are no false alarms, and a pair at the threshold is missed about once in 6,000.
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = 0.7
"""Least Jaccard similarity of near duplicates."""

GRAM = 5
_BANDS, _ROWS = 32, 4
_CROWD = 64
"""Texts that share a band with more others than this are compared with the first of them and the next one alone."""

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Twins:
    """Two different folded texts that are near each other.

    Attributes:
        first: place of the one in ``Folded.texts``.
        second: place of the other, after the first.
        similarity: Jaccard similarity of their character 5-grams.
    """

    first: int
    second: int
    similarity: float


def fold(text: str) -> str:
    """Return a text without case, punctuation and extra white space, in Unicode NFC."""
    return " ".join(re.findall(r"[^\W_]+", unicodedata.normalize("NFC", text).casefold()))


class Folded:
    """Many texts, folded.

    Args:
        texts: as they came; one that holds no letter and no digit is a twin of none.

    Attributes:
        texts: the different folded texts, in order of appearance.
        places: for each of them, the places of the texts that it stands for; several are exact duplicates.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        found: defaultdict[str, list[int]] = defaultdict(list)
        for place, text in enumerate(texts):
            if folded := fold(text):
                found[folded].append(place)
        self.texts = list(found)
        self.places = list(found.values())

    def twins(self, threshold: float = NEAR, seed: int = 0) -> list[Twins]:
        """Return all pairs of different folded texts of at least that similarity, which should not be below 0.6."""
        if len(self.texts) < 2:
            return []
        grams, starts = _grams(self.texts)
        signatures = _signatures(grams, starts, seed)
        kept = []
        for first, second in _candidates(signatures, threshold):
            similarity = _jaccard(_slice(grams, starts, first), _slice(grams, starts, second))
            if similarity >= threshold:
                kept.append(Twins(first, second, similarity))
        return kept

    def clusters(self, twins: Iterable[Twins]) -> list[list[int]]:
        """Return the places of texts that are linked by exact or near duplicates, each text in one cluster."""
        pairs = [[self.places[pair.first][0], self.places[pair.second][0]] for pair in twins]
        return linked([*self.places, *pairs])


def linked(groups: Iterable[Sequence[int]]) -> list[list[int]]:
    """Return the members of groups that are linked by common members, each member once, in order of appearance."""
    root: dict[int, int] = {}

    def find(node: int) -> int:
        """Return what stands for all that a node is linked with, and shorten the way there."""
        while root[node] != node:
            root[node] = node = root[root[node]]
        return node

    for group in groups:
        for member in group:
            root.setdefault(member, member)
            root[find(member)] = find(group[0])
    found: defaultdict[int, list[int]] = defaultdict(list)
    for node in root:
        found[find(node)].append(node)
    return list(found.values())


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of two texts' character 5-grams after folding."""
    sets = [{text[k : k + GRAM] for k in range(max(1, len(text) - GRAM + 1))} for text in map(fold, (one, other))]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def _grams(texts: Sequence[str]) -> tuple[Words, NDArray[np.int64]]:
    """Return a hash of every 5-gram of every text, texts one after the other, and where each text begins."""
    # A text that is shorter than a gram is one gram by itself; the padding is no letter, so it equals no other.
    padded = [text.ljust(GRAM, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    count = lengths - GRAM + 1
    begin = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    places = np.repeat(begin - starts, count) + np.arange(int(count.sum()))
    hashed = np.zeros(len(places), dtype=np.uint64)
    for offset in range(GRAM):
        hashed = _mixed(hashed + codes[places + offset] + np.uint64(1))
    return hashed, starts


def _mixed(values: Words) -> Words:
    """Scramble 64-bit numbers (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _signatures(grams: Words, starts: NDArray[np.int64], seed: int) -> NDArray[np.uint32]:
    """Return ``[N, 128]`` minima of random permutations of each text's grams."""
    rng = np.random.default_rng(seed)
    size = _BANDS * _ROWS
    odd = rng.integers(1, 2**63, size=size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    out = np.empty((len(starts), size), dtype=np.uint32)

    def fill(k: int) -> None:
        """Compute one permutation's minima."""
        permuted = ((grams * odd[k]) >> np.uint64(32)).astype(np.uint32)
        out[:, k] = np.minimum.reduceat(permuted, starts)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(size)))
    return out


def _candidates(signatures: NDArray[np.uint32], threshold: float) -> Iterator[tuple[int, int]]:
    """Yield pairs that share a band and whose signatures do not rule the threshold out."""
    total = len(signatures)
    packed = [np.empty(0, dtype=np.int64)]
    for band in range(_BANDS):
        rows = signatures[:, band * _ROWS : (band + 1) * _ROWS].astype(np.uint64)
        key = rows[:, 0]
        for k in range(1, _ROWS):
            key = _mixed(key) + rows[:, k]
        packed.append(_pairs_of_equal(key) @ np.array([total, 1], dtype=np.int64))
    pairs = np.unique(np.concatenate(packed))
    # Four standard deviations below the threshold: what is thrown away here would not have passed.
    size = signatures.shape[1]
    least = threshold - 4 * (threshold * (1 - threshold) / size) ** 0.5
    for start in range(0, len(pairs), 100_000):
        first, second = np.divmod(pairs[start : start + 100_000], total)
        close = (signatures[first] == signatures[second]).mean(axis=1) >= least
        yield from zip(first[close].tolist(), second[close].tolist(), strict=True)


def _pairs_of_equal(keys: Words) -> NDArray[np.int64]:
    """Return ``[P, 2]`` places of equal keys, the lower one first."""
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    pairs: list[tuple[int, int]] = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        members = order[begin : end + 1].tolist()
        if len(members) <= _CROWD:
            pairs += [(a, b) for k, a in enumerate(members) for b in members[k + 1 :]]
        else:
            pairs += [(members[0], b) for b in members[1:]]
            pairs += itertools.pairwise(members[1:])
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def _slice(grams: Words, starts: NDArray[np.int64], number: int) -> Words:
    end = starts[number + 1] if number + 1 < len(starts) else len(grams)
    return grams[starts[number] : end]


def _jaccard(one: Words, other: Words) -> float:
    first, second = set(one.tolist()), set(other.tolist())
    both = len(first & second)
    return both / (len(first) + len(second) - both)
