"""Which of its passages an answer is read from: the likest first, in a way that gradients pass through."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_llm.batch import Batch, Passages
from lit_llm.errors import ConfigError
from lit_llm.generation import Generation
from lit_llm.retrieval import VectorIndex
from lit_llm.retrieval.files import ABOUT

RANKED = 20
"""How many passages of an index are ranked at least, for the recall."""


@dataclass(frozen=True)
class Reading:
    """What the answers of a batch are read from.

    Attributes:
        vectors: ``[S, H]``, in the order of the slots of the batch.
        ranking: for each row the numbers of its passages, those that are read first; None where none were chosen. Of
            passages that were found in an index, numbers there.
        scores: how like each of them is to the question.
        gaps: ``[B]``, how far the vectors of a row's passages lie from their tokens; None where nothing learns it.
    """

    vectors: Tensor
    ranking: list[list[int]] | None = None
    scores: list[list[float]] | None = None
    gaps: Tensor | None = None


def likeness(questions: Tensor, passages: Tensor, rows: Tensor) -> Tensor:
    """Return the cosine between the vectors of each question and of each of its passages, in float32 at least.

    Args:
        questions: ``[B, l, H]``.
        passages: ``[N, l, H]``.
        rows: ``[B, D]`` int64, which of the ``N`` each question has; -1 where it has fewer.

    Returns:
        ``[B, D]``, ``-inf`` where there is no passage.
    """
    wide = torch.promote_types(questions.dtype, torch.float32)
    asked = F.normalize(questions.flatten(1).to(wide), dim=-1)
    kept = F.normalize(passages.flatten(1).to(wide), dim=-1)
    # Mixed precision would round the product, and passages differ little.
    with torch.autocast(asked.device.type, enabled=False):
        scores = (asked @ kept.T).gather(1, rows.clamp(min=0))
    return scores.masked_fill(rows < 0, -torch.inf)


def chosen(scores: Tensor, count: int) -> Tensor:
    """Return the places of the best ``[B, count]``, the best first; of equal ones the first."""
    return scores.argsort(dim=-1, descending=True, stable=True)[:, :count]


def straight_through(scores: Tensor, count: int, temperature: float) -> Tensor:
    """Return ``count`` choices one after the other as weights ``[B, count, D]``, differentiable in the scores.

    Forward, each row of weights is 1 at the best that is not taken yet; backward, it is the softmax over those
    (straight-through estimator, as in CLaRa's algorithm 1). What is taken counts ``-inf`` and not a small number, which
    a temperature of 0.02 would outweigh.

    Args:
        scores: ``[B, D]``, ``-inf`` where there is nothing to choose; at least ``count`` of a row are not.
        count: how many are chosen.
        temperature: of the softmax.
    """
    best = chosen(scores, count)
    taken = torch.zeros_like(scores, dtype=torch.bool)
    weights = []
    for place in best.unbind(1):
        soft = torch.softmax((scores / temperature).masked_fill(taken, -torch.inf), dim=-1)
        hard = F.one_hot(place, scores.shape[1]).to(soft.dtype)
        # In this order the forward value is the hard one to the bit.
        weights.append(hard + (soft - soft.detach()))
        taken = taken | hard.bool()
    return torch.stack(weights, dim=1)


def read_all(vectors: Tensor, rows: Tensor, gaps: Tensor | None) -> Reading:
    """Read every passage of each row.

    Args:
        vectors: ``[N, l, H]`` of the passages.
        rows: ``[B, D]`` int64, which of the ``N`` each row has; -1 where it has fewer.
        gaps: ``[N]``, how far the vectors of each lie from its tokens, if that is learned.
    """
    there = rows >= 0
    if gaps is not None:
        gaps = gaps[rows.clamp(min=0)].masked_fill(~there, 0.0).sum(1) / there.sum(1)
    return Reading(vectors[rows[there]].flatten(0, 1), gaps=gaps)


def read_softly(vectors: Tensor, rows: Tensor, scores: Tensor, count: int, temperature: float) -> Reading:
    """Read the best passages of each row, in a way that gradients reach the scores; see ``straight_through``."""
    weights = straight_through(scores, count, temperature).to(vectors.dtype)
    read = torch.einsum("bkd,bdlh->bklh", weights, vectors[rows.clamp(min=0)])
    return Reading(read.flatten(0, 2))


def read_best(vectors: Tensor, rows: Tensor, scores: Tensor, count: int) -> Reading:
    """Read the best passages of each row, all where it has fewer than ``count``, and say how all of them rank."""
    there, order = rows >= 0, chosen(scores, rows.shape[1])
    best = order[:, :count]
    read = vectors[rows.gather(1, best)[there.gather(1, best)]]
    ranked = scores.detach().gather(1, order)
    each = zip(order.tolist(), ranked.tolist(), there.sum(1).tolist(), strict=True)
    cut = [(places[:known], values[:known]) for places, values, known in each]
    return Reading(read.flatten(0, 1), [places for places, _ in cut], [values for _, values in cut])


def read_found(index: VectorIndex, questions: Tensor, count: int) -> Reading:
    """Read the best passages of an index for each question.

    Args:
        index: of at least ``count`` passages.
        questions: ``[B, l, H]``.
        count: how many are read.
    """
    found = index.search(questions.flatten(1), max(count, RANKED))
    vectors = index.vectors(found.numbers[:, :count])
    return Reading(vectors.flatten(0, 2), found.numbers.tolist(), found.scores.tolist())


def rolled(batch: Batch) -> tuple[Batch, list[int]] | None:
    """Return a batch in which rows have the passages of others, and which rows do; None where none can.

    A row takes those of the next one that has none in common with it and as many that are read.
    """
    passages, slots = batch.passages, batch.slots
    if passages is None or slots is None or passages.index:
        return None
    own = [set(row) - {-1} for row in passages.rows.tolist()]
    counts = slots.sum(1).tolist()
    count = len(counts)
    taken = []
    for row in range(count):
        after = ((row + step) % count for step in range(1, count))
        taken.append(next((to for to in after if counts[to] == counts[row] and not own[to] & own[row]), row))
    moved = [row for row, other in enumerate(taken) if other != row]
    if not moved:
        return None
    changed = replace(passages, rows=passages.rows[taken], positives=passages.positives[taken])
    return replace(batch, passages=changed), moved


def read_passages(meta: dict[str, Any]) -> dict[str, Any]:
    """Return what predictions.csv says of a row: of its passages, those that were read, and how like they were."""
    kept = {key: value for key, value in meta.items() if key not in ("ranking", "scores", "reads", "found")}
    if "ranking" in meta:
        facts = meta.get("found") or [meta["passages"][at] for at in meta["ranking"]]
        read = [fact | {"score": round(score, 4)} for fact, score in zip(facts, meta["scores"], strict=True)]
        kept["passages"] = read[: meta["reads"]]
    return kept


def with_ranking(meta: dict[str, Any], ranking: list[int], scores: list[float], passages: Passages) -> dict[str, Any]:
    """Return what is known of a row, with the passages that were found for it in their order."""
    told = {"ranking": ranking, "scores": scores, "reads": passages.reads}
    if not passages.index:
        return meta | told
    entries = [opened(passages.index).entry(number) for number in ranking]
    # What counts as right is named, and a document may have several passages.
    right = set(meta.get("positives", []))
    names = [entry.document if entry.document in right else entry.id for entry in entries]
    facts = [
        {"number": number, "id": entry.id, "document": entry.document, "start": entry.start, "end": entry.end}
        for number, entry in zip(ranking, entries, strict=True)
    ]
    return meta | told | {"ranking": names, "found": facts}


def opened(folder: str) -> VectorIndex:
    """Return an index, opened once as long as it is the same."""
    about = Path(folder) / ABOUT
    return _opened(folder, about.stat().st_mtime_ns if about.exists() else 0)


@lru_cache(maxsize=4)
def _opened(folder: str, written: int) -> VectorIndex:
    return VectorIndex(folder)


def of_rows(batch: Batch, answers: list[Generation], rows: list[int]) -> tuple[Batch, list[Generation]]:
    """Return what is measured of a batch and its answers, of these rows alone."""
    kept: dict[str, Any] = {
        name: [getattr(batch, name)[row] for row in rows] for name in ("ids", "texts", "references", "meta")
    }
    return replace(batch, **kept), [answers[row] for row in rows]


def no_passages() -> ConfigError:
    """Return what is said where a batch has no passages."""
    return ConfigError("data.class_path: ClaraLM reads passages: use lit_llm.data.DocumentsData")
