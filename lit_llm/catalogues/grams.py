"""What names and texts have in common: n-grams of the characters of their words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

SIZE = 4
"""Characters of an n-gram; a blank before and behind a word is one of them."""

CHUNK = 2**18
"""Texts that are taken apart together."""

MIX = np.uint64(0x9E3779B97F4A7C15)
"""Spreads numbers over 64 bits: an odd multiplier near 2**64 by the golden ratio."""

WORD = re.compile(r"\w+")


def folded(text: str) -> str:
    """Return a text without case, accents, punctuation and surplus white space: its words with single blanks."""
    plain = unicodedata.normalize("NFD", text.casefold())
    return " ".join(WORD.findall("".join(letter for letter in plain if not unicodedata.combining(letter))))


def grams(texts: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """Return the n-grams of texts, each once a text: its number, and a hash of 64 bits, in the order of the hashes."""
    parts = [_grams(texts[start : start + CHUNK], start) for start in range(0, len(texts), CHUNK)]
    owners = np.concatenate([np.zeros(0, np.int32), *(owner for owner, _ in parts)])
    codes = np.concatenate([np.zeros(0, np.uint64), *(code for _, code in parts)])
    order = np.lexsort((owners, codes))
    owners, codes = owners[order], codes[order]
    fresh = np.ones(len(codes), bool)
    fresh[1:] = (codes[1:] != codes[:-1]) | (owners[1:] != owners[:-1])
    return owners[fresh], codes[fresh]


def _grams(texts: Sequence[str], first: int) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    whole = [f" {folded(text)} " for text in texts]
    letters = np.frombuffer("".join(whole).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(first, first + len(whole), dtype=np.int32), [len(text) for text in whole])
    windows = [(owner[places], _hashed(letters, places, size)) for size, places in _windows(letters, owner)]
    return tuple(np.concatenate(kind) for kind in zip(*windows, strict=True))  # type: ignore[return-value]


def _windows(letters: NDArray[np.uint64], owner: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield sizes of n-grams and where they begin: within one text and one word; shorter ones for one-letter words."""
    blank = letters == ord(" ")
    for size in (SIZE - 1, SIZE):
        last = len(letters) - size + 1
        if last < 1:
            yield size, np.zeros(0, np.intp)
            continue
        inside = owner[:last] == owner[size - 1 :]
        for offset in range(1, size - 1):
            inside &= ~blank[offset : last + offset]
        if size < SIZE:
            inside &= blank[:last] & blank[size - 1 :]
        yield size, np.flatnonzero(inside)


def _hashed(letters: NDArray[np.uint64], places: NDArray[np.intp], size: int) -> NDArray[np.uint64]:
    number = np.zeros(len(places), np.uint64)
    for offset in range(size):
        number = (number ^ letters[places + offset]) * MIX
        number ^= number >> np.uint64(29)
    return number
