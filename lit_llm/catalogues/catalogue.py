"""A catalogue on disk: whether a name is in it, which name is nearest, and which ones a text mentions."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from bisect import bisect_left
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_llm.catalogues.grams import grams
from lit_llm.errors import DataError
from lit_llm.strict_json import dumps

ABOUT = "catalogue.json"
FORMAT = 1
QUOTE = ord('"')
"""Ends every name in the catalogue, as it does in an answer; so none is the beginning of another."""

LENGTH = 0.7
"""How much the length of a name counts against it where a text mentions a part: power of the weight of its n-grams."""


class Near(NamedTuple):
    """A name that was found.

    Attributes:
        name: as the catalogue writes it.
        distance: 0 where the two have the same n-grams, 1 where they have none in common.
    """

    name: str
    distance: float


class Catalogue:
    """Names in a folder that ``write_catalogue`` made. Nothing is read before it is asked for.

    Args:
        folder: where it lies.

    Raises:
        DataError: if it is not there, or of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            self.size = int(about["names"])
            known = about["format"] == FORMAT
            self.letters, self.starts = self._array("letters"), self._array("starts")
            self._folds, self._fold_names = self._array("folds"), self._array("fold_names")
            self._grams, self._gram_starts = self._array("grams"), self._array("gram_starts")
            self._gram_names, self._sums, self._norms = (self._array(name) for name in ("gram_names", "sums", "norms"))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder}: it is no catalogue ({error}): remove it, and it is made again") from error
        if not known:
            raise DataError(f"{folder}: it was made by another version: remove it, and it is made again")

    @staticmethod
    @lru_cache(maxsize=256)
    def opened(folder: str) -> Catalogue:
        """Return the catalogue of a folder, opened once in a process."""
        return Catalogue(Path(folder))

    def __len__(self) -> int:
        return self.size

    def name(self, number: int) -> str:
        """Return a name by its place in the order of the catalogue."""
        text: str = json.loads(b'"' + self._bytes(number))
        return text

    def __contains__(self, name: str) -> bool:
        """Whether a name is in the catalogue, to the letter."""
        letters = encoded(name)
        place = bisect_left(range(self.size), letters, key=self._bytes)
        return place < self.size and self._bytes(place) == letters

    def known(self, name: str) -> str | None:
        """Return a name as the catalogue writes it, be it but for case, white space and composed letters; else None."""
        if name in self:
            return name
        hashed, plain = np.uint64(fold_hash(name)), plainly(name)
        place = int(np.searchsorted(self._folds, hashed))
        while place < self.size and self._folds[place] == hashed:
            found = self.name(int(self._fold_names[place]))
            if plainly(found) == plain:
                return found
            place += 1
        return None

    def nearest(self, name: str) -> Near | None:
        """Return the name that is most like another, by the cosine of weighted n-grams; None where nothing is alike."""
        codes, weights = self._weighed(name)
        scores = self._scores(codes, weights**2) / np.maximum(self._norms, 1e-9)
        own = float(np.sqrt((weights**2).sum()))
        best = int(np.argmax(np.round(scores, 5))) if len(scores) else 0
        likeness = float(scores[best]) / max(own, 1e-9)
        return Near(self.name(best), max(0.0, round(1 - likeness, 4))) if likeness > 0 else None

    def mentioned(self, text: str, count: int) -> list[str]:
        """Return the names that a text mentions most of, the likeliest first: those without any n-gram of it never.

        A name scores what those of its n-grams weigh that the text has, over the weight of all to the power ``LENGTH``.
        """
        codes, weights = self._weighed(text)
        scores = np.round(self._scores(codes, weights) / np.maximum(self._sums, 1e-9) ** LENGTH, 5)
        some = np.argpartition(-scores, min(count, self.size) - 1)[:count] if count else np.zeros(0, np.intp)
        # Of equal scores the first of all, not of those that the partition happened to take.
        least = scores[some].min() if len(some) else 0.0
        some = np.flatnonzero((scores >= least) & (scores > 0))
        order = some[np.lexsort((some, -scores[some]))][:count]
        return [self.name(int(number)) for number in order]

    def _weighed(self, text: str) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return which of the known n-grams a text has, and what all of its n-grams weigh."""
        _, codes = grams([text])
        if not len(self._grams):
            return np.zeros(0, np.intp), np.ones(len(codes))
        places = np.searchsorted(self._grams, codes)
        held = (places < len(self._grams)) & (self._grams[np.minimum(places, len(self._grams) - 1)] == codes)
        places = places[held]
        counts = np.zeros(len(codes), np.int64)
        counts[held] = self._gram_starts[places + 1] - self._gram_starts[places]
        weights = idf(np.maximum(counts, 1), self.size)
        # Known ones first, so that the two go together.
        return places, np.concatenate([weights[held], weights[~held]])

    def _scores(self, places: NDArray[np.intp], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return for each name the summed weights of the n-grams that it has among some."""
        if not len(places):
            return np.zeros(self.size)
        held = [self._gram_names[self._gram_starts[place] : self._gram_starts[place + 1]] for place in places]
        repeated = np.repeat(weights[: len(places)], [len(names) for names in held])
        return np.asarray(np.bincount(np.concatenate(held), repeated, self.size), np.float64)

    def _bytes(self, number: int) -> bytes:
        return self.letters[self.starts[number] : self.starts[number + 1]].tobytes()

    def _array(self, name: str) -> NDArray[Any]:
        return np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]


def encoded(name: str) -> bytes:
    """Return a name as an answer writes it, from behind its first quote to the last."""
    return dumps(name)[1:].encode("utf-8", "surrogatepass")


def plainly(name: str) -> str:
    """Return a name in composed letters, without case and surplus white space."""
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).split())


def fold_hash(name: str) -> int:
    """Return a hash of 64 bits of ``plainly``."""
    digest = hashlib.blake2b(plainly(name).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def idf(counts: NDArray[np.int64], names: int) -> NDArray[np.float64]:
    """Return what n-grams weigh that so many of the names hold: log(1 + names / counts)."""
    return np.log1p(names / counts)
