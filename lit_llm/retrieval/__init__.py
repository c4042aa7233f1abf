"""Finding passages: by the words or the meaning of their text, or by the vectors that a model has made of them."""

from lit_llm.retrieval.base import Hit, Retriever, Search
from lit_llm.retrieval.dense import Dense
from lit_llm.retrieval.index import Entry, VectorIndex
from lit_llm.retrieval.lexical import BM25
from lit_llm.retrieval.writing import IndexWriter

__all__ = ["BM25", "Dense", "Entry", "Hit", "IndexWriter", "Retriever", "Search", "VectorIndex"]
