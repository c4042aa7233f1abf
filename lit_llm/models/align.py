"""The stage before translation: clips are brought near to the words of their sentences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lit_llm.adapters import LoRA
from lit_llm.batch import FILLER, IGNORE, Batch
from lit_llm.errors import UserError
from lit_llm.models.sign import SignLM

CANDIDATES = 64
"""Sentences among which a clip has to find its own, in validation."""

MOST_ROWS = 1 << 20
"""More than the rows of any batch."""

SAME = 1 - 1e-6
"""Least cosine of two sentences that are one."""

LOG_SCALE = 2.66
"""Logarithm that the similarities' factor starts from, as in CLIP (the inverse of a temperature of 0.07)."""


class SignAligner(SignLM):
    """Trains the adaptor alone, so that the mean of a clip's vectors points where its sentence's words do.

    The loss is the symmetric InfoNCE of a batch, over all processes: each clip must find its sentence among all, and
    each sentence its clip (van den Oord et al., 2018). The words' embeddings stay as they are. Sentences that
    occur twice in a batch are no wrong answers to each other. A validation logs ``val/retrieval``, the share of clips
    whose sentence is the nearest of 64, and ``val/loss``.

    ``SignLM`` starts from what is learned here with ``adaptor_from: <run folder>``.

    Args:
        **kwargs: as for ``SignLM``; the adapter is not used, and nothing is generated.
    """

    writes_text = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # An adapter would be frozen; one that asks for data or follows steps must not run at all.
        self.adapter = LoRA()
        self.log_scale = nn.Parameter(torch.tensor(LOG_SCALE))
        self._noted: list[tuple[Tensor, Tensor, Tensor]] = []

    @property
    def main_metric(self) -> str:
        """Retrieval decides which weights are best."""
        return "val/retrieval"

    def configure_model(self) -> None:
        """Open the backbone and make the adaptor; only the adaptor learns."""
        super().configure_model()
        for weight in self.network.parameters() if self.network is not None else ():
            weight.requires_grad = False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss of a batch's clips."""
        clips, sentences = self.embedded(batch)
        real = torch.tensor([row_id != FILLER for row_id in batch.ids], device=clips.device)
        everyone = [self._everyone(part, len(batch)) for part in (clips, sentences, real[:, None].float())]
        start = self.global_rank * (len(everyone[0]) // self.trainer.world_size)
        own = torch.arange(start, start + len(batch), device=clips.device)
        summed = self.contrast(clips, sentences, own, everyone[0], everyone[1], everyone[2][:, 0] > 0)
        return self.normalise_later(torch.where(real, summed, 0).sum(), int(real.sum()))

    def contrast(
        self, clips: Tensor, sentences: Tensor, own: Tensor, all_clips: Tensor, all_sentences: Tensor, real: Tensor
    ) -> Tensor:
        """Return each row's symmetric loss ``[B]``.

        Args:
            clips: ``[B, D]`` of length 1.
            sentences: ``[B, D]`` of length 1.
            own: ``[B]``, where each row stands among all.
            all_clips: ``[N, D]`` of all processes.
            all_sentences: ``[N, D]``.
            real: ``[N]`` bool, False for rows that only fill a batch.
        """
        with torch.autocast(clips.device.type, enabled=False):
            return self._contrast(clips, sentences, own, all_clips, all_sentences, real)

    def _contrast(
        self, clips: Tensor, sentences: Tensor, own: Tensor, all_clips: Tensor, all_sentences: Tensor, real: Tensor
    ) -> Tensor:
        factor = self.log_scale.exp().clamp(max=100)
        twins = sentences @ all_sentences.T > SAME
        wrong = (twins | ~real) & ~F.one_hot(own, len(all_clips)).bool()
        loss = torch.zeros(len(own), device=clips.device)
        for mine, others in ((clips, all_sentences), (sentences, all_clips)):
            logits = (factor * mine @ others.T).masked_fill(wrong, float("-inf"))
            loss = loss + F.cross_entropy(logits, own, reduction="none") / 2
        return loss

    def embedded(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the directions of a batch's clips and of their sentences, each ``[B, D]`` of length 1."""
        if batch.features is None or batch.input_ids is None:
            raise UserError("data: the batch holds no clips: use lit_llm.data.SignData with SignAligner")
        vectors, mask = self._vectors(batch.features)
        words = self._words(batch.input_ids).detach()
        # In float32: in half precision the same sentence would not be known again, nor near ones told apart.
        with torch.autocast(vectors.device.type, enabled=False):
            return _direction(vectors.float(), mask), _direction(words.float(), batch.labels != IGNORE)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> list[Any]:  # type: ignore[override]
        """Note where clips and sentences point."""
        clips, sentences = self.embedded(batch)
        # Batches are dealt out to processes in turns; 0 is left for rows that are not real.
        first = 1 + (batch_idx * self.trainer.world_size + self.global_rank) * MOST_ROWS
        places = torch.tensor([at * (row_id != FILLER) for at, row_id in enumerate(batch.ids, first)])
        self._noted.append((clips, sentences, places[:, None].to(clips.device)))
        return []

    def on_validation_epoch_start(self) -> None:
        """Forget the validation before."""
        self._noted = []

    def on_validation_epoch_end(self) -> None:
        """Log how many clips find their sentence among 64, over all processes, in the order of the split's batches."""
        if not self._noted:
            return
        parts = [torch.cat(noted) for noted in zip(*self._noted, strict=True)]
        self._noted = []
        clips, sentences, places = (self._everyone(part, len(part)) for part in parts)
        order = places[:, 0].argsort()[(places == 0).sum() :]
        found, loss = [], []
        for start in range(0, len(order), CANDIDATES):
            # A last group that is short looks among the rows before it too.
            first = min(start, max(0, len(order) - CANDIDATES))
            some = order[first : first + CANDIDATES]
            pairs = clips[some], sentences[some]
            own, real = torch.arange(len(some), device=clips.device), torch.ones_like(some).bool()
            nearest = pairs[1][(pairs[0] @ pairs[1].T).argmax(1)]
            found.append(((nearest * pairs[1]).sum(1) > SAME)[start - first :])
            loss.append(self.contrast(*pairs, own, *pairs, real)[start - first :])
        if len(order):
            self.log("val/retrieval", torch.cat(found).double().mean(), prog_bar=True)
            self.log("val/loss", torch.cat(loss).double().mean(), prog_bar=True)

    def save_adapter(self, folder: Path) -> None:
        """Write ``adaptor.safetensors``, all that was trained."""
        folder.mkdir(parents=True, exist_ok=True)
        self.save_extras(folder)

    def _everyone(self, rows: Tensor, count: int) -> Tensor:
        """Return the rows of all processes, each filled up to as many as the largest batch has."""
        if self.trainer.world_size == 1:
            return rows
        counts: Any = self.all_gather(torch.tensor(count, device=rows.device))
        filled = F.pad(rows, (0, 0, 0, int(counts.max()) - count))
        gathered: Any = self.all_gather(filled, sync_grads=rows.requires_grad)
        return gathered.flatten(0, 1)  # type: ignore[no-any-return]


def _direction(vectors: Tensor, mask: Tensor) -> Tensor:
    """Return the direction of the mean of ``[B, T, D]`` vectors under a mask; padding does not count."""
    weights = mask[..., None].to(vectors.dtype)
    mean = (vectors * weights).sum(1) / weights.sum(1).clamp(min=1)
    return F.normalize(mean, dim=-1)
