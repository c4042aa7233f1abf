"""Texts become vectors: the hidden states of memory vectors that stand behind them."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lit_llm.adapters import causal_lm
from lit_llm.adapters.together import active
from lit_llm.batch import Passages

WIDTH, BLOCK = 64, 8
"""Texts that do not change are compressed in blocks of so many rows, whose width is a multiple of this."""

KEPT_BYTES = 2 << 30
"""Most memory for the vectors of passages that do not change."""

_SIZES: WeakKeyDictionary[nn.Embedding, float] = WeakKeyDictionary()


def compress(network: nn.Module, memory: Tensor, ids: Tensor, mask: Tensor, adapter: str) -> tuple[Tensor, Tensor]:
    """Turn texts into vectors.

    Args:
        network: a language model with adapters.
        memory: ``[l, H]``, what stands behind each text.
        ids: ``[N, T]`` int64, padded on the right.
        mask: ``[N, T]`` int64, 0 on padding.
        adapter: which one reads the texts.

    Returns:
        Vectors ``[N, l, H]``, and ``[N]`` squared distances, the mean over ``H``, between the mean hidden states of
        text and vectors.
    """
    model, count = causal_lm(network), len(memory)
    lengths = mask.sum(1, keepdim=True)
    places = torch.arange(ids.shape[1] + count, device=ids.device)
    # Padding stands behind the memory, where causal attention never looks.
    slots = (places >= lengths) & (places < lengths + count)
    words = model.get_input_embeddings()(torch.cat([ids, ids.new_zeros(len(ids), count)], dim=1))
    source = memory.to(words.dtype).expand(len(ids), *memory.shape)
    embeds = words.masked_scatter(slots[..., None], source)
    with active(network, adapter):
        states = model.base_model(inputs_embeds=embeds, attention_mask=None, use_cache=False).last_hidden_state
    vectors = states[slots].view(len(ids), count, -1)
    text = (places < lengths)[..., None]
    wide = states.to(torch.promote_types(states.dtype, torch.float32))
    mean = (wide * text).sum(1) / lengths.clamp(min=1)
    return vectors, (mean - wide[slots].view(vectors.shape).mean(1)).pow(2).mean(-1)


def filled(words: nn.Embedding, ids: Tensor, slots: Tensor, vectors: Tensor, level: bool) -> Tensor:
    """Return the embeddings ``[B, T, H]`` of tokens, with vectors in their slots.

    Args:
        words: the embeddings of the backbone.
        ids: ``[B, T]`` int64.
        slots: ``[B, T]`` bool, as many as there are vectors.
        vectors: ``[…, H]``, in the order of the slots.
        level: whether vectors are made as large as embeddings are: with the root of their mean square. Hidden states
            of a last layer are many times as large, and what the layers below add to them hardly shows then.
    """
    if level:
        wide = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
        size = _size(words)
        # Vectors of zeros stay what they are.
        vectors = wide * size * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-12)
    embeds: Tensor = words(ids)
    return embeds.masked_scatter(slots[..., None], vectors.to(embeds.dtype))


def _size(words: nn.Embedding) -> float:
    """Return the root of the mean square of embeddings, which are frozen here, so that it is computed once."""
    if words not in _SIZES:
        _SIZES[words] = float(words.weight.detach().float().pow(2).mean().sqrt())
    return _SIZES[words]


def compress_frozen(network: nn.Module, memory: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Turn texts into vectors ``[N, l, H]``, without gradients, the same for a text whatever stands beside it.

    Rows of like length are computed in blocks of one shape, because sums are rounded otherwise in another.
    """
    found: dict[int, Tensor] = {}
    groups: dict[int, list[int]] = {}
    for row, length in enumerate(mask.sum(1).tolist()):
        groups.setdefault(-(-length // WIDTH) * WIDTH, []).append(row)
    for width, rows in groups.items():
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            block, seen = ids.new_zeros(BLOCK, width), mask.new_zeros(BLOCK, width)
            wide = min(width, ids.shape[1])
            block[: len(some), :wide], seen[: len(some), :wide] = ids[some, :wide], mask[some, :wide]
            with torch.no_grad():
                found |= dict(zip(some, compress(network, memory, block, seen, "compressor")[0], strict=False))
    return torch.stack([found[row] for row in range(len(ids))])


class KeptVectors:
    """Vectors of passages that do not change, each computed once."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def clear(self) -> None:
        """Forget all, as other weights would give others."""
        self._held.clear()

    def of(self, passages: Passages, compute: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return the vectors ``[N, l, H]`` of passages; ``compute`` makes those that are new, of ids and mask."""
        new = [at for at, key in enumerate(passages.keys) if key not in self._held]
        found: dict[str, Tensor] = {}
        if new:
            computed = compute(passages.input_ids[new], passages.attention_mask[new])
            found = dict(zip([passages.keys[at] for at in new], computed, strict=True))
        device = passages.input_ids.device
        every = [found[key] if key in found else self._held[key].to(device) for key in passages.keys]
        for key, vectors in found.items():
            if (len(self._held) + 1) * vectors.numel() * vectors.element_size() <= KEPT_BYTES:
                # A copy, because a view would hold the whole block.
                self._held[key] = vectors.to("cpu", copy=True)
        return torch.stack(every)
