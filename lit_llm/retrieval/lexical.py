"""Passages found by the words that they have in common with a question."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from lit_llm.errors import ConfigError
from lit_llm.retrieval.base import Hit, Retriever, Search, need

WORD = re.compile(r"\w+")


class BM25(Retriever):
    """Okapi BM25 in the variant of Lucene, by ``bm25s``: rare words count more, long texts and repetitions less.

    Words are runs of letters and figures, in lower case; none are left out or stemmed.

    Args:
        k1: how much a word counts again that a text repeats.
        b: how much the length of a text counts, from 0 to 1.

    Raises:
        ConfigError: if a value is not possible.
    """

    def __init__(self, k1: float = 1.5, b: float = 0.75) -> None:
        if k1 < 0 or not 0 <= b <= 1:
            raise ConfigError(f"BM25: k1 is {k1} and b {b}: use a k1 of 0 or more, and a b from 0 to 1")
        self.k1, self.b = k1, b

    def over(self, texts: Sequence[str]) -> Search:
        """Return what searches these texts."""
        need("bm25s", "BM25")
        import bm25s

        model = bm25s.BM25(k1=self.k1, b=self.b, method="lucene")
        split = [words(text) for text in texts]
        has_words = any(split)
        if has_words:
            model.index(split, show_progress=False)

        def search(questions: Sequence[str], count: int) -> list[list[Hit]]:
            """Return the best texts of each question."""
            found = []
            for question in questions:
                known = [word for word in words(question) if has_words and word in model.vocab_dict]
                scores = model.get_scores(known) if known else np.zeros(len(split))
                order = np.argsort(-scores, kind="stable")[:count]
                found.append([Hit(int(number), float(scores[number])) for number in order])
            return found

        return search


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return WORD.findall(text.lower())
