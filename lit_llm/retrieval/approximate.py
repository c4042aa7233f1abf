"""Search that does not look at every vector: a graph of neighbours over shorter vectors, and an exact second look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lit_llm.retrieval.base import need
from lit_llm.retrieval.files import GRAPH, PROJECTION
from lit_llm.retrieval.search import nearest, nearest_of

WIDTH, SAMPLE, BLOCK = 128, 4096, 2048
"""Numbers that are kept of a vector; vectors that the projection is taken from; vectors at a time."""

CONNECTIVITY, EXPANSION = 32, 256
"""Neighbours of a vector in the graph, and how widely they are looked for, when it is made and when it is searched."""


class Neighbours:
    """A graph of neighbours (HNSW, by ``usearch``) over the main directions of vectors.

    Args:
        graph: ``usearch.index.Index``.
        mean: ``[D]``, of the vectors brought to length 1.
        directions: ``[D, W]``, their main directions around it.
    """

    def __init__(self, graph: Any, mean: Tensor, directions: Tensor) -> None:
        self._graph, self._mean, self._directions = graph, mean, directions

    @classmethod
    def opened(cls, folder: Path) -> Neighbours:
        """Return the graph of an index."""
        need("usearch", "the approximate search")
        from usearch.index import Index

        both = torch.from_numpy(np.load(folder / PROJECTION))
        graph: Any = Index.restore(str(folder / GRAPH), view=True)
        return cls(graph, both[0], both[1:].T)

    def candidates(self, questions: Tensor, count: int) -> Tensor:
        """Return ``[Q, count]`` numbers of vectors that are probably near; -1 where fewer were found."""
        self._graph.expansion_search = max(EXPANSION, 2 * count)
        short = _short(questions.float().cpu(), self._mean, self._directions)
        found = self._graph.search(short.numpy(), min(count, len(self._graph)), threads=1)
        # Of one question, usearch gives only what it found, without how many that are.
        counts = found.counts if len(short) > 1 else [len(found.keys)]
        keys = torch.from_numpy(np.asarray(found.keys).reshape(len(short), -1).astype(np.int64))
        known = torch.from_numpy(np.asarray(counts).astype(np.int64)).view(-1, 1)
        return keys.masked_fill(torch.arange(keys.shape[1]) >= known, -1)


def build(folder: Path, vectors: Any, norms: Any) -> None:
    """Make the graph of an index and write it; the same bytes for the same vectors.

    Args:
        folder: of the index.
        vectors: ``[N, D]`` float16.
        norms: ``[N]``, their lengths.
    """
    need("usearch", "the approximate search")
    from usearch.index import Index

    count, size = vectors.shape
    some = np.sort(np.random.default_rng(0).permutation(count)[:SAMPLE])
    sample = _unit(vectors[some], norms[some])
    mean = sample.mean(0)
    width = min(WIDTH, size, len(sample))
    # Of fewer rows than columns, the directions are sums of the rows.
    _, _, rows = torch.linalg.svd(sample - mean, full_matrices=False)
    directions = rows[:width].T.contiguous()
    graph = Index(
        ndim=width, metric="l2sq", dtype="f32", connectivity=CONNECTIVITY, expansion_add=EXPANSION, multi=False
    )
    for start in range(0, count, BLOCK):
        end = min(start + BLOCK, count)
        short = (_unit(vectors[start:end], norms[start:end]) - mean) @ directions
        # One thread: the order in which vectors are added decides the graph.
        graph.add(np.arange(start, end), short.numpy(), threads=1)
    np.save(folder / PROJECTION, torch.cat([mean[None], directions.T]).numpy())
    graph.save(str(folder / GRAPH))


def measured(
    folder: Path, vectors: Any, norms: Any, questions: Tensor, count: int, recall: float
) -> dict[str, Any] | None:
    """Return how many candidates have to be looked at again, and the recall with so many; None where none reaches it.

    Args:
        folder: of the index.
        vectors: ``[N, D]`` float16.
        norms: ``[N]``, their lengths.
        questions: ``[Q, D]``, to measure with.
        count: how many passages are wanted of each.
        recall: share of those that an exact search finds which is wanted.
    """
    graph = Neighbours.opened(folder)
    exact = nearest(vectors, norms, questions, count).scores
    candidates, reached = count, 0.0
    while True:
        candidates = min(2 * candidates, len(vectors))
        found = nearest_of(vectors, norms, questions, graph.candidates(questions, candidates), count).scores
        # By the scores, as of passages that say the same any is right.
        reached = float((found >= exact[:, -1:] - 1e-6).double().mean())
        if reached >= recall:
            break
        if candidates == len(vectors):
            return None
    return {"candidates": candidates, f"recall@{count}": round(reached, 4), "questions": len(questions)}


def _unit(vectors: Any, norms: Any) -> Tensor:
    wide = torch.from_numpy(np.array(vectors)).float()
    return wide / torch.from_numpy(np.array(norms))[:, None].clamp(min=1e-12)


def _short(vectors: Tensor, mean: Tensor, directions: Tensor) -> Tensor:
    with torch.autocast(vectors.device.type, enabled=False):
        return (F.normalize(vectors, dim=1) - mean) @ directions
