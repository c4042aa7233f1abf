"""Passages: what questions are answered from, read from files, cut to size and joined into batches."""

from lit_llm.data.passages.chunking import Chunk, chunks
from lit_llm.data.passages.layouts import Fields, examples_of
from lit_llm.data.passages.rows import Passage, PassageExample, PassageRow, PassageSplit, joined

__all__ = [
    "Chunk",
    "Fields",
    "Passage",
    "PassageExample",
    "PassageRow",
    "PassageSplit",
    "chunks",
    "examples_of",
    "joined",
]
