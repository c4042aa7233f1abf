"""Passages of a question that are found by their text, in a corpus or among those of its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.data.passages.corpus import passages
from lit_llm.data.passages.rows import PassageExample, Source
from lit_llm.errors import ConfigError
from lit_llm.retrieval import Retriever

if TYPE_CHECKING:
    from lit_llm.retrieval import Search


class Finder:
    """Gives questions the passages that a retriever finds for them.

    Args:
        retriever: what finds them.
        corpus: where they are looked for; None for the passages of each row.
        count: how many a question gets.
    """

    def __init__(self, retriever: Retriever, corpus: str | None, count: int) -> None:
        self.retriever, self.corpus, self.count = retriever, corpus, count
        self._sources: list[Source] = []
        self._search: Search | None = None

    def open(self, tokenizer: Any, size: int, overlap: int) -> None:
        """Read the corpus, cut to passages of ``size`` tokens.

        Raises:
            ConfigError: if it has fewer passages than a question gets.
        """
        if self.corpus is None or self._search is not None:
            return
        self._sources = [
            Source(entry, tuple(ids)) for entry, ids in passages(Path(self.corpus), tokenizer, size, overlap)
        ]
        if len(self._sources) < self.count:
            raise ConfigError(
                f"data.init_args.corpus: {self.corpus} has {len(self._sources)} passages, and {self.count} are wanted"
            )
        self._search = self.retriever.over([source.entry.text for source in self._sources])

    def give(self, examples: Sequence[PassageExample]) -> list[PassageExample]:
        """Return questions with what was found for each in the corpus, the best first."""
        if self._search is None:
            return list(examples)
        found = self._search([example.text for example in examples], self.count)
        return [
            replace(example, sources=tuple(self._sources[hit.number] for hit in hits))
            for example, hits in zip(examples, found, strict=True)
        ]

    def among(self, question: str, texts: Sequence[str]) -> list[int]:
        """Return the places of the best of a row's own passages, the best first; of a corpus all are found already."""
        if self.corpus is not None:
            return list(range(len(texts)))
        return [hit.number for hit in self.retriever.over(texts)([question], self.count)[0]]


def finder_of(
    retriever: Retriever | None,
    corpus: str | None,
    candidates: int | None,
    reads: int | None,
    *,
    has_texts: bool,
    index: str | None,
) -> Finder | None:
    """Return what finds passages by their text; None where nothing does.

    Args:
        retriever: a setting of the data, as those that follow.
        corpus: where it looks.
        candidates: how many it gives to a row.
        reads: how many are read.
        has_texts: whether it is their text that is read.
        index: folder of an index, if passages are found there.

    Raises:
        ConfigError: if the settings do not go together.
    """
    key, count = "data.init_args", candidates or reads
    if retriever is None:
        if corpus or candidates:
            raise ConfigError(
                f"{key}.{'corpus' if corpus else 'candidates'}: nothing finds passages there: set retriever to "
                "lit_llm.retrieval.BM25 or lit_llm.retrieval.Dense"
            )
        return None
    if index:
        raise ConfigError(f"{key}.retriever: passages of an index are found by their vectors; leave one of both out")
    if count is None or count < (reads or 1):
        raise ConfigError(
            f"{key}.candidates is {candidates}, and reads {reads}: say by reads how many passages an answer is read "
            "from, and give candidates at least as many"
        )
    if has_texts and count != (reads or count):
        raise ConfigError(f"{key}.candidates is {candidates}: the text of the {reads} best is read: leave it out")
    return Finder(retriever, corpus, count)
