"""Rows that are not of one length, read together: each goes on at its own place in the cache."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import torch

from lit_llm.generation.prompts import call, read_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lit_llm.batch import Prompt

KERNELS = ("sdpa", "eager")
"""Implementations of attention that take a mask of any form."""

ROTATIONS = {"default", "linear", "llama3", "yarn"}
"""Kinds of rotary positions that depend on a token's position alone."""


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
        self._padded = bool(self._padding.any())

    def read(self, known: Sequence[int], tokens: Sequence[Sequence[int]]) -> Tensor:
        """Return the logits ``[R, t, V]`` behind each of up to ``t`` tokens of every row.

        Args:
            known: how many generated tokens of each row count as read; what was read beyond them is forgotten.
            tokens: one or more of each row that follow; behind the last of a shorter row, logits mean nothing.
        """
        device = self._padding.device
        lengths = list(map(len, tokens))
        width = max(lengths)
        if width == 1 and len(set(known)) == 1:
            return self._read_side_by_side(known[0], tokens)
        ids = torch.tensor([[*row, *[row[0]] * (width - len(row))] for row in tokens], device=device)
        start = self._prompt_width + torch.tensor(known, device=device)
        columns = start[:, None] + torch.arange(width, device=device)
        end = self._prompt_width + max(known) + width
        visible = self._real(end)[:, None] & (torch.arange(end, device=device) <= columns[:, :, None])
        self.cache.write_at(columns, end)
        # What fills a shorter row up stands where its last token does: there is a last position in some models.
        last = start[:, None] + torch.tensor(lengths, device=device)[:, None] - 1
        positions = columns.minimum(last) - self._padding
        return call(self.model, self.cache, self._as_mask(visible[:, None]), positions, width, input_ids=ids)

    def _read_side_by_side(self, known: int, tokens: Sequence[Sequence[int]]) -> Tensor:
        """Read one token of each of some rows that are of one length, as rows without guesses are read."""
        end = self._prompt_width + known
        self.cache.append_at(end)
        # Without padding there is nothing to hide, and kernels without a mask are faster.
        mask = self._real(end + 1).long() if self._padded else None
        ids = torch.tensor(tokens, device=self._padding.device)
        return call(self.model, self.cache, mask, end - self._padding, 1, input_ids=ids)

    def _real(self, width: int) -> Tensor:
        """Return ``[R, width]`` bool: which columns of the cache are no padding of a row."""
        columns = torch.arange(width, device=self._padding.device)
        return (columns < self._shared) | (columns >= self._shared + self._padding)

    def keep(self, index: Tensor) -> None:
        """Keep these rows, in this order."""
        self._padding = self._padding[index]
        self._padded = bool(self._padding.any())
        if len(index):
            self.cache.batch_select_indices(index)

    def _as_mask(self, visible: Tensor) -> Tensor:
        """Return a mask as the model's attention takes it: kernels as it is, the plain one to be added."""
        if self.model.config.get_text_config()._attn_implementation != "eager":
            return visible
        lowest = torch.finfo(self.model.dtype).min
        return torch.zeros_like(visible, dtype=self.model.dtype).masked_fill(~visible, lowest)


def why_not_ragged(model: Any) -> str | None:
    """Say why padding may not stand amid a row, or a row not be read from a place of its own; None where it may."""
    from lit_llm.generation.cache import why_no_offsets

    config = model.config.get_text_config()
    if reason := why_no_offsets(model.config):
        return f"{config.model_type} {reason}"
    if config._attn_implementation not in KERNELS:
        return f"{config.model_type} is opened with attn_implementation {config._attn_implementation}: use sdpa"
    if getattr(config, "alibi", False) or "position_ids" not in inspect.signature(model.forward).parameters:
        return f"{config.model_type} counts columns, not positions"
    if other := sorted(_rotations(getattr(config, "rope_parameters", None)) - ROTATIONS):
        return f"{config.model_type} turns by how long the batch is (rope_type {other[0]})"
    return None


def _rotations(parameters: Any) -> set[str]:
    """Return the kinds of rotary positions that a configuration names, of all kinds of layers."""
    if not isinstance(parameters, dict):
        return set()
    inner = [value for value in parameters.values() if isinstance(value, dict)]
    own = {str(parameters["rope_type"])} if "rope_type" in parameters else set()
    return own.union(*map(_rotations, inner))
