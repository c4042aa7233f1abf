"""Names held to their catalogues while they are written, beside the grammar that everything else is held to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.catalogues import Vocabulary
from lit_llm.generation.places import Place, Roots

KEPT = 2**12
"""Places of a text whose forbidden tokens are remembered."""


class Names:
    """Which tokens a grammar allows that also go on with a name.

    Args:
        vocabulary: the tokens of the model.
        roots: where names begin.
    """

    def __init__(self, vocabulary: Vocabulary, roots: Roots) -> None:
        self.vocabulary, self.roots = vocabulary, roots
        # Grammars may have a word more than the tokens need.
        self._words = len(vocabulary.tokens) // 32 + 1
        self._kept: OrderedDict[Place, NDArray[np.uint32]] = OrderedDict()

    def after(self, place: Place, tokens: Sequence[int]) -> Place:
        """Return the place behind some tokens; what is no name any more is one text up to its end."""
        for token in tokens:
            if 0 <= token < len(self.vocabulary.tokens):
                place = place.left(self.vocabulary.tokens[token], self.roots)
        return place

    def narrowed(self, place: Place, bits: bytes) -> bytes:
        """Return the bits of the tokens that a grammar allows, without those that no name goes on with.

        Where that would leave none, as where a name is longer than the schema allows, the grammar alone decides.
        """
        allowed = np.frombuffer(bits, np.uint32)
        narrow = allowed & self._mask(place)[: len(allowed)]
        return narrow.tobytes() if narrow.any() else bits

    def _mask(self, place: Place) -> NDArray[np.uint32]:
        if place in self._kept:
            self._kept.move_to_end(place)
            return self._kept[place]
        tokens = self.vocabulary.tokens
        if place.node is None:
            mask = ~self._bits([n for n in self.vocabulary.over_a_quote if self._leaves(place, tokens[n])])
        else:
            # What ends a name may begin another one in the same token.
            following = self.vocabulary.following(place.node)
            over = np.intersect1d(following, np.array(self.vocabulary.over_a_quote, np.int64))
            wrong = [int(number) for number in over if self._leaves(place, tokens[number])]
            mask = self._bits(np.setdiff1d(following, wrong))
        self._kept[place] = mask
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return mask

    def _leaves(self, place: Place, letters: bytes) -> bool:
        try:
            return place.after(letters, self.roots) is None
        except (IndexError, ValueError):
            # No JSON goes on with it, so the grammar does not allow it either.
            return False

    def _bits(self, numbers: Any) -> NDArray[np.uint32]:
        found = np.asarray(numbers, np.int64)
        bits = np.zeros(self._words, np.uint32)
        np.bitwise_or.at(bits, found >> 5, np.left_shift(np.uint32(1), (found & 31).astype(np.uint32)))
        return bits
