"""Which vectors are most like others: all of them looked at, in blocks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK_BYTES = 64 << 20
"""Memory for the vectors that are looked at at a time, in float32."""


class Found(NamedTuple):
    """What a search has found.

    Attributes:
        numbers: ``[Q, count]`` int64, of the passages, the likest first.
        scores: ``[Q, count]`` float32, their cosines.
    """

    numbers: Tensor
    scores: Tensor


def nearest(vectors: Any, norms: Any, questions: Tensor, count: int) -> Found:
    """Return the vectors that are most like questions, by the cosine.

    Args:
        vectors: ``[N, D]`` float16 array, which may lie on a disk.
        norms: ``[N]`` float32, their lengths.
        questions: ``[Q, D]``, on the device that computes.
        count: how many of each are wanted.

    Returns:
        ``min(count, N)`` of each question.
    """
    asked = F.normalize(questions.float(), dim=1)
    rows = max(1, BLOCK_BYTES // (4 * vectors.shape[1]))
    best = Found(torch.zeros(len(asked), 0, dtype=torch.long), torch.zeros(len(asked), 0))
    for start in range(0, len(vectors), rows):
        scores = _cosines(asked, vectors[start : start + rows], norms[start : start + rows])
        values, places = scores.topk(min(count, scores.shape[1]), dim=1)
        best = _best(
            torch.cat([best.numbers, places.cpu() + start], 1), torch.cat([best.scores, values.cpu()], 1), count
        )
    return Found(best.numbers.to(asked.device), best.scores.to(asked.device))


def nearest_of(vectors: Any, norms: Any, questions: Tensor, candidates: Tensor, count: int) -> Found:
    """Return the best of some candidates of each question, as ``nearest`` would score them.

    Args:
        vectors: as for ``nearest``.
        norms: as for ``nearest``.
        questions: as for ``nearest``.
        candidates: ``[Q, C]`` int64, on the CPU; -1 where there are fewer.
        count: how many of each are wanted.
    """
    asked = F.normalize(questions.float(), dim=1)
    some = candidates.clamp(min=0)
    scores = torch.stack(
        [
            _cosines(one[None], vectors[numbers.numpy()], norms[numbers.numpy()])[0]
            for one, numbers in zip(asked, some, strict=True)
        ]
    )
    found = _best(candidates, scores.cpu().masked_fill(candidates < 0, -torch.inf), count)
    return Found(found.numbers.to(asked.device), found.scores.to(asked.device))


def _cosines(asked: Tensor, vectors: Any, norms: Any) -> Tensor:
    """Return ``[Q, N]``."""
    part = torch.from_numpy(np.array(vectors)).to(asked.device).float()
    lengths = torch.from_numpy(np.array(norms)).to(asked.device)
    # A trainer with mixed precision would round the product to 8 bits, of which all passages are alike.
    with torch.autocast(asked.device.type, enabled=False):
        return asked @ part.T / lengths.clamp(min=1e-12)


def _best(numbers: Tensor, scores: Tensor, count: int) -> Found:
    """Return the ``count`` best of each row; of equal ones the one of the lower number."""
    by_number = numbers.argsort(dim=1)
    numbers, scores = numbers.gather(1, by_number), scores.gather(1, by_number)
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
    return Found(numbers.gather(1, order), scores.gather(1, order))
