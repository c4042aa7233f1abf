"""Rows that are not of one length, read together: each goes on at its own place in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lit_llm.generation.prompts import call, read_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lit_llm.batch import Prompt

KERNELS = ("sdpa", "eager")
"""Implementations of attention that take a mask of any form."""


class RaggedRows:
    """The cache of a batch whose rows lengthen by numbers of their own.

    Args:
        model: a Hugging Face causal LM in eval mode that ``why_not_ragged`` has nothing against.
        prompt: ``B`` left-padded rows on the model's device.
        shared: read once what all prompts begin with.
    """

    def __init__(self, model: Any, prompt: Prompt, shared: bool = True) -> None:
        from lit_llm.generation.cache import OffsetCache

        self.model = model
        self.cache = OffsetCache(model.config)
        read = read_prompts(model, self.cache, prompt, shared)
        self.first = read.logits
        """``[B, 1, V]``: the logits behind the prompts."""
        self._shared, self._prompt_width = read.shared, read.mask.shape[1]
        self._padding = (read.mask == 0).sum(1, keepdim=True)

    def read(self, known: Sequence[int], tokens: Sequence[Sequence[int]]) -> Tensor:
        """Return the logits ``[R, t, V]`` behind each of up to ``t`` tokens of every row.

        Args:
            known: how many generated tokens of each row count as read; what was read beyond them is forgotten.
            tokens: one or more of each row that follow; behind the last of a shorter row, logits mean nothing.
        """
        device = self._padding.device
        width = max(map(len, tokens))
        ids = torch.tensor([[*row, *[row[0]] * (width - len(row))] for row in tokens], device=device)
        start = self._prompt_width + torch.tensor(known, device=device)
        columns = start[:, None] + torch.arange(width, device=device)
        everything = torch.arange(self._prompt_width + max(known) + width, device=device)
        real = (everything < self._shared) | (everything >= self._shared + self._padding[:, :, None])
        visible = real & (everything <= columns[:, :, None])
        self.cache.write_at(columns)
        mask, positions = self._as_mask(visible[:, None]), columns - self._padding
        return call(self.model, self.cache, mask, positions, width, input_ids=ids)

    def keep(self, index: Tensor) -> None:
        """Keep these rows, in this order."""
        self._padding = self._padding[index]
        if len(index):
            self.cache.batch_select_indices(index)

    def _as_mask(self, visible: Tensor) -> Tensor:
        """Return a mask as the model's attention takes it: kernels as it is, the plain one to be added."""
        if self.model.config.get_text_config()._attn_implementation != "eager":
            return visible
        lowest = torch.finfo(self.model.dtype).min
        return torch.zeros_like(visible, dtype=self.model.dtype).masked_fill(~visible, lowest)


def why_not_ragged(model: Any) -> str | None:
    """Say why rows of a model cannot lengthen by numbers of their own; None where they can."""
    from lit_llm.generation.cache import why_no_offsets

    attention = model.config.get_text_config()._attn_implementation
    if reason := why_no_offsets(model.config):
        return f"{model.config.model_type} {reason}"
    if attention not in KERNELS:
        return f"{model.config.model_type} is opened with attn_implementation {attention}, which takes no such mask"
    return None
