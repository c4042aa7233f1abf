"""The few validation rows that people follow through training."""

from __future__ import annotations

import hashlib
import heapq
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lit_llm.batch import FILLER, Prediction

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


class KeptRows(Callback):
    """Keeps a few rows of a validation with their answers, the same at every validation.

    Args:
        count: rows to keep.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: list[tuple[int, str, Prediction]] = []

    @property
    def kept(self) -> list[Prediction]:
        """The rows of the validation that runs or ran last."""
        return [prediction for *_, prediction in sorted(self._kept, reverse=True)]

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the rows of the validation before."""
        self._kept = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the batch's rows that are to be shown."""
        for prediction in outputs if isinstance(outputs, list) else []:
            if prediction.id == FILLER:
                continue
            # Chosen by a hash of the id: the same rows whatever the batches, and not the longest, which come first.
            rank = int.from_bytes(hashlib.blake2b(prediction.id.encode(), digest_size=6).digest(), "big")
            heapq.heappush(self._kept, (-rank, prediction.id, prediction))
            if len(self._kept) > self.count:
                heapq.heappop(self._kept)
