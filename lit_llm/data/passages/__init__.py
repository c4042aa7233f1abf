"""Passages: what questions are answered from, read from files, cut to size and joined into batches."""

from lit_llm.data.passages.chunking import Chunk, chunks
from lit_llm.data.passages.encoding import PassageEncoder, Shown
from lit_llm.data.passages.finding import Finder, finder_of
from lit_llm.data.passages.layouts import Fields, examples_of
from lit_llm.data.passages.rows import Passage, PassageExample, PassageRow, PassageSplit, Source, joined, rolled

__all__ = [
    "Chunk",
    "Fields",
    "Finder",
    "Passage",
    "PassageEncoder",
    "PassageExample",
    "PassageRow",
    "PassageSplit",
    "Shown",
    "Source",
    "chunks",
    "examples_of",
    "finder_of",
    "joined",
    "rolled",
]
