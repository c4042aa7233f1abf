"""What every metric of generated text has in common."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


@dataclass(frozen=True)
class FieldScore:
    """Counts of one field, or of many added up.

    Attributes:
        tp: values of the reference that the prediction holds.
        fp: values that only the prediction holds.
        fn: values that only the reference holds.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: FieldScore) -> FieldScore:
        return FieldScore(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def support(self) -> int:
        """How many values the reference holds."""
        return self.tp + self.fn

    @property
    def precision(self) -> float:
        """TP / (TP + FP); where nothing was predicted, 1 if nothing was expected either, else 0."""
        predicted = self.tp + self.fp
        return self.tp / predicted if predicted else float(self.fn == 0)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); where nothing was expected, 1 if nothing was predicted either, else 0."""
        return self.tp / self.support if self.support else float(self.fp == 0)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN), and 1 where both sides are empty."""
        both = 2 * self.tp + self.fp + self.fn
        return 2 * self.tp / both if both else 1.0


class TextMetric(Metric):
    """Compares raw generated texts with references; adds up over batches and processes.

    A new metric is one new file with a subclass: ``add_state`` in the constructor, ``update`` and ``compute``.

    Args:
        task: rows of this task are fed to the metric, others are not.

    Attributes:
        main: the value, larger is better, that says most; it decides which checkpoint is best.
    """

    main = ""
    is_differentiable = False
    full_state_update = False

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task

    @abstractmethod
    def update(self, predictions: list[str], references: list[Any], meta: list[dict[str, Any]]) -> None:
        """Take in some rows; the three lists run in parallel.

        Args:
            predictions: the generated text as it came, without special tokens.
            references: what ``Batch.references`` holds for this task.
            meta: what ``Batch.meta`` holds, with the row's ``id``, its ``source`` text, and whether the answer was
                ``finished`` or cut at the token limit.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return flat names and values over all rows of all processes; empty before the first row.

        Every process has to call it, because the counts are gathered here.
        """

    def per_field(self) -> dict[str, FieldScore]:
        """Return a score for each field, over all processes; empty where the task has no fields.

        Like ``compute``, every process has to call it.
        """
        return {}

    def signatures(self) -> dict[str, str]:
        """Return how values are made, by name, for those of which others need to know it; kept with a run."""
        return {}


class LineMetric(TextMetric):
    """A metric whose state is lines of JSON, kept as bytes: tensors are all that processes can gather."""

    lines: list[Tensor]

    def __init__(self, task: str) -> None:
        super().__init__(task)
        self.add_state("lines", [], dist_reduce_fx="cat")

    def note(self, values: Iterable[Any]) -> None:
        """Add a line for each JSON value."""
        text = "".join(json.dumps(value) + "\n" for value in values)
        self.lines.append(torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device))

    def noted(self) -> list[Any]:
        """Return all values; after gathering, those of all processes."""
        # One process has one tensor a batch, gathering makes one of them all; bytes are cut into lines only here.
        gathered = dim_zero_cat(self.lines).cpu().numpy().tobytes() if len(self.lines) else b""
        return [json.loads(line) for line in gathered.decode().splitlines()]

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """Gather the states; a process without rows joins in with no bytes, where torchmetrics would send floats."""
        if not self._is_synced and not self.lines:
            self.note([])
        super().sync(*args, **kwargs)
