"""Prompts of a batch: padded, taken apart, and read; what all of them begin with is read once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from lit_llm.batch import Prompt

LEAST = 32
"""Tokens that prompts must have in common for these to be read apart."""


@dataclass
class PromptRead:
    """What has come of reading prompts.

    Attributes:
        logits: ``[B, 1, V]``, behind the last token.
        mask: ``[B, W]`` int64, 0 on padding, of all that is in the cache.
        shared: columns at the beginning that were read once; padding stands behind them.
    """

    logits: Tensor
    mask: Tensor
    shared: int


def read_prompts(model: Any, cache: Any, prompt: Prompt, shared: bool) -> PromptRead:
    """Read prompts into an empty cache.

    Args:
        model: a Hugging Face causal LM in eval mode.
        cache: whose layers all keep keys and values, unrounded, if prompts are to be shared.
        prompt: ``B`` left-padded rows on the model's device.
        shared: read once what all rows begin with. It costs as much as one row and saves it in all others.
    """
    width = _in_common(prompt) if shared else 0
    if width:
        prompt = _split(model, cache, prompt, width)
    mask = prompt.attention_mask
    inputs = {"input_ids": prompt.input_ids, "inputs_embeds": prompt.inputs_embeds}
    given = {name: value[:, width:] for name, value in inputs.items() if value is not None}
    return PromptRead(call(model, cache, mask, positions(mask)[:, width:], 1, **given), mask, width)


def positions(mask: Tensor) -> Tensor:
    """Return ``[B, W]``, counted over real tokens, so that padding moves no row's positions."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def call(model: Any, cache: Any, mask: Tensor | None, places: Tensor, last: int, **inputs: Tensor) -> Tensor:
    """Return the logits ``[B, last, V]`` of the last positions in float32, and let the cache grow by the inputs."""
    output = model(
        **inputs,
        attention_mask=mask,
        position_ids=places,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=last,
    )
    logits: Tensor = output.logits[:, -last:].float()
    return logits


def unpadded(prompt: Prompt) -> list[list[int]]:
    """Return the ids of each row; none where they are embeddings."""
    if prompt.input_ids is None:
        return [[] for _ in prompt.attention_mask]
    return [ids[real.bool()].tolist() for ids, real in zip(prompt.input_ids, prompt.attention_mask, strict=True)]


def left_pad(prompts: list[list[int]], pad_id: int | None) -> Prompt:
    """Return ``[B, P]`` ids and mask of prompts, padded on the left to the longest."""
    from lit_llm.batch import Prompt

    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad_id or 0)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return Prompt(attention_mask=mask, input_ids=ids)


def take(prompt: Prompt, rows: range) -> Prompt:
    """Return rows of a prompt, without the columns that are padding in all of them."""
    from lit_llm.batch import Prompt

    mask = prompt.attention_mask[rows.start : rows.stop]
    used = mask.any(0).nonzero()
    first = int(used[0]) if len(used) else 0

    def cut(tensor: Tensor | None) -> Tensor | None:
        """Return the rows of one tensor."""
        return None if tensor is None else tensor[rows.start : rows.stop, first:]

    return Prompt(mask[:, first:], cut(prompt.input_ids), cut(prompt.inputs_embeds))


def _in_common(prompt: Prompt) -> int:
    """Return how many tokens all rows begin with, if it pays to read them apart; each keeps one of its own at least."""
    if prompt.input_ids is None or len(prompt.attention_mask) == 1:
        return 0
    rows = unpadded(prompt)
    unlike = (at for at, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1)
    width = next(unlike, min(map(len, rows)) - 1)
    return width if width >= LEAST else 0


def _split(model: Any, cache: Any, prompt: Prompt, width: int) -> Prompt:
    """Read the first tokens once for all rows, and return prompts whose padding stands behind these."""
    from lit_llm.batch import Prompt

    assert prompt.input_ids is not None
    rows = unpadded(prompt)
    longest = max(map(len, rows))
    ids = torch.stack([_padded(row, width, longest) for row in rows]).to(prompt.input_ids)
    mask = torch.stack([_padded([1] * len(row), width, longest) for row in rows]).to(prompt.attention_mask)
    first = torch.arange(width, device=ids.device)[None]
    call(model, cache, mask[:1, :width], first, 1, input_ids=ids[:1, :width])
    cache.batch_repeat_interleave(len(rows))
    return Prompt(mask, ids)


def _padded(row: list[int], width: int, longest: int) -> Tensor:
    """Return a row with zeros behind its first tokens."""
    return torch.tensor([*row[:width], *[0] * (longest - len(row)), *row[width:]])
