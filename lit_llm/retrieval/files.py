"""The names of the files of an index."""

ABOUT, VECTORS, NORMS, PASSAGES, OFFSETS = "index.json", "vectors.npy", "norms.npy", "passages.jsonl", "offsets.npy"
"""Files of an index; the first is written last."""

GRAPH, PROJECTION = "neighbours.usearch", "projection.npy"
"""Files of its approximate search, where it has one: the graph, and what makes vectors shorter."""

PROGRESS = "progress.json"
"""The file that is there until all vectors are."""

FORMAT = "lit_llm index"
"""What the first file says that it is of."""
