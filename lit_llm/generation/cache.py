"""A key-value cache that writes into room it already has, instead of copying itself at every token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Positions that are allocated ahead."""


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer, ``[B, H, T, D]``, as views into larger buffers.

    Concatenation, the way of ``DynamicLayer``, copies everything at every token: on a CPU that is most of the time
    of a decoding step once the batch is large.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._buffers: list[Tensor] = []
        self._rows = self._length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append ``[B, H, t, D]`` and return all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._rows = key_states.shape[0]
        start, self._length = self._length, self._length + key_states.shape[2]
        if not self._buffers or self._length > self._buffers[0].shape[2]:
            self._buffers = [self._grow(key_states, self.keys), self._grow(value_states, self.values)]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[: self._rows, :, start : self._length] = new
        return self._view()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, in this order; only rows that change place are copied."""
        places = torch.arange(len(indices), device=indices.device)
        moved = places[indices != places]
        for buffer in self._buffers:
            buffer[moved, :, : self._length] = buffer[indices[moved], :, : self._length]
        self._rows = len(indices)
        self._view()

    def _grow(self, new: Tensor, old: Tensor | None) -> Tensor:
        rows, heads, _, width = new.shape
        buffer = new.new_empty(rows, heads, self._length + ROOM, width)
        if old is not None and old.numel():
            buffer[:, :, : old.shape[2]] = old
        return buffer

    def _view(self) -> tuple[Tensor, Tensor]:
        self.keys, self.values = (buffer[: self._rows, :, : self._length] for buffer in self._buffers)
        return self.keys, self.values


def growing_cache(config: PretrainedConfig) -> DynamicCache:
    """Return an empty cache for a model; layers with a sliding window keep transformers' own kind."""
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache
