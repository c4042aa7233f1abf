"""A key-value cache that writes into room it already has, instead of copying itself at every token."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 64
"""Positions that are allocated ahead."""

GROUP = 32
"""Channels of a token that share a scale where keys and values are rounded."""


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
        self._append([key_states, value_states])
        self._show()
        return cast(Tensor, self.keys), cast(Tensor, self.values)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, in this order; only rows that change place are copied, unless there are more than before."""
        if len(indices) > self._rows:
            self._replace([piece.index_select(0, indices) for piece in self._used(self._length)])
            return
        places = torch.arange(len(indices), device=indices.device)
        moved = places[indices != places]
        for buffer in self._buffers:
            buffer[moved, :, : self._length] = buffer[indices[moved], :, : self._length]
        self._rows = len(indices)
        self._show()

    def reorder_cache(self, beam_idx: Tensor) -> None:  # type: ignore[override]
        """Keep these rows, in this order; one may be named more than once."""
        self.batch_select_indices(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Let each row be followed by copies of itself, so that there are ``repeats`` of it."""
        if self._buffers:
            rows = torch.arange(self._rows, device=self._buffers[0].device)
            self.batch_select_indices(rows.repeat_interleave(repeats))

    def append_rows(self, other: GrowingLayer) -> None:
        """Add the rows of another layer behind these; the shorter of both is padded on the left."""
        length = max(self._length, other._length)
        pairs = zip(self._used(self._length), other._used(other._length), strict=True)
        self._length = length
        self._replace([torch.cat([F.pad(p, (0, 0, length - p.shape[2], 0)) for p in pair]) for pair in pairs])

    def crop(self, tokens_to_remove: int) -> None:
        """Forget the last ``-tokens_to_remove`` positions.

        Raises:
            ValueError: if the number is positive, or there are not so many.
        """
        if not -self._length <= tokens_to_remove <= 0:
            raise ValueError(f"cannot go back by {tokens_to_remove}: give 0 to -{self._length}")
        self._length += tokens_to_remove
        if self._buffers:
            self._show()

    def reset(self) -> None:
        """Forget all."""
        self._buffers, self._rows, self._length = [], 0, 0
        super().reset()  # type: ignore[no-untyped-call]

    def _replace(self, pieces: list[Tensor]) -> None:
        """Put other rows ``[B, H, T, *]``, as long as is noted, into the place of all that is there."""
        self._rows = len(pieces[0]) if pieces else 0
        self._buffers = [self._grown(piece) for piece in pieces]
        if pieces:
            self._show()

    def _append(self, pieces: list[Tensor]) -> None:
        """Write ``[B, H, t, *]`` behind what is there."""
        start, self._length = self._length, self._length + pieces[0].shape[2]
        if not self._buffers:
            self._rows = pieces[0].shape[0]
            self._buffers = [self._grown(piece[:, :, :0]) for piece in pieces]
        elif self._length > self._buffers[0].shape[2]:
            self._buffers = [self._grown(piece) for piece in self._used(start)]
        for buffer, new in zip(self._buffers, pieces, strict=True):
            buffer[: self._rows, :, start : self._length] = new

    def _grown(self, old: Tensor) -> Tensor:
        rows, heads, length, width = old.shape
        buffer = old.new_empty(rows, heads, self._length + ROOM, width)
        buffer[:, :, :length] = old
        return buffer

    def _used(self, length: int) -> list[Tensor]:
        return [buffer[: self._rows, :, :length] for buffer in self._buffers]

    def _show(self) -> None:
        self.keys, self.values = self._used(self._length)


class OffsetLayer(GrowingLayer):
    """Keys and values of one layer whose rows are not of one length: each is written where ``columns`` says.

    What was written beyond a row's end is written over by what follows it, so nothing has to be taken back.
    """

    columns: Tensor | None = None
    """``[B, t]``: where the next call writes; None appends, as a prompt is."""

    end = 0
    """One more than the last of them."""

    def rewind(self, length: int) -> None:
        """Go back to, or on to, a number of columns that have been written."""
        self._length = length
        self._show()

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write ``[B, H, t, D]`` at each row's columns and return all keys and values up to the last of them."""
        if self.columns is None:
            return super().update(key_states, value_states, *args, **kwargs)
        self._length = self.end
        if self._length > self._buffers[0].shape[2]:
            self._buffers = [self._grown(buffer[: self._rows]) for buffer in self._buffers]
        rows = torch.arange(self._rows, device=self.columns.device)[:, None]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[rows, :, self.columns] = new.transpose(1, 2)
        self._show()
        return cast(Tensor, self.keys), cast(Tensor, self.values)

    def _grown(self, old: Tensor) -> Tensor:
        # A row that lags behind attends with weight zero to what nobody has written, and that must be a number.
        buffer = super()._grown(old)
        buffer[:, :, old.shape[2] :] = 0
        return buffer


class RoundedLayer(GrowingLayer):
    """Keys and values of one layer in 8, 4 or 2 bits, each group of a token's channels with an offset and a scale.

    What is new is used as it is, and rounded from the next token on. Groups lie within one token, so that a row is
    rounded alike in any batch.

    Args:
        bits: of each number.
    """

    def __init__(self, bits: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bits = bits

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append ``[B, H, t, D]`` and return all keys and values so far, those from before rounded."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        new = [key_states, value_states]
        past = self._used(self._length)
        found = [torch.cat([self._read(past[at : at + 3]), new[at // 3]], 2) for at in (0, 3)] if past else new
        self._append([part for states in new for part in pack(states, self.bits)])
        return found[0], found[1]

    def get_seq_length(self) -> int:
        """Return how many positions are stored."""
        return self._length

    def _read(self, parts: list[Tensor]) -> Tensor:
        found: Tensor = unpack(parts[0], parts[1], parts[2], self.bits).to(self.dtype)
        return found

    def _show(self) -> None:
        """Keep nothing unpacked between two tokens."""


def pack(values: Tensor, bits: int) -> list[Tensor]:
    """Round numbers ``[..., D]`` in groups of up to 32: codes ``[..., D · bits / 8]`` in bytes, scales and offsets."""
    size = values.shape[-1]
    group = GROUP if size % GROUP == 0 else size
    groups = values.float().unflatten(-1, (-1, group))
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    # As they will be read again, so that the codes are the nearest ones to what is stored.
    scale = ((high - low) / (2**bits - 1)).clamp(min=1e-6).to(torch.bfloat16)
    offset = low.to(torch.bfloat16)
    codes = ((groups - offset.float()) / scale.float()).round().clamp(0, 2**bits - 1).to(torch.uint8)
    parts = codes.flatten(-2).unflatten(-1, (-1, 8 // bits))
    packed = sum(parts[..., at] << (at * bits) for at in range(8 // bits))
    return [torch.as_tensor(packed), scale.squeeze(-1), offset.squeeze(-1)]


def unpack(packed: Tensor, scale: Tensor, offset: Tensor, bits: int) -> Tensor:
    """Return the numbers ``[..., D]`` that ``pack`` has rounded, in float32."""
    codes = torch.stack([packed >> (at * bits) & (2**bits - 1) for at in range(8 // bits)], -1).flatten(-2)
    groups = codes.unflatten(-1, (scale.shape[-1], -1)).float()
    found: Tensor = groups * scale.float()[..., None] + offset.float()[..., None]
    return found.flatten(-2)


class RowCache(DynamicCache):
    """A cache whose rows may leave, change places and be joined by others, whatever its layers keep."""

    def append_rows(self, other: RowCache) -> None:
        """Add the rows of another cache of the same model behind these.

        Keys and values of the shorter one are padded on the left, as its attention mask has to be.

        Raises:
            ValueError: if a layer keeps a sliding window, in which rows of unlike length do not stand side by side.
        """
        layers: list[tuple[Any, Any]] = list(zip(self.layers, other.layers, strict=True))
        fixed = [type(mine).__name__ for mine, _ in layers if not hasattr(mine, "append_rows")]
        if fixed:
            raise ValueError(f"rows cannot be added to {fixed[0]}")
        for mine, more in layers:
            mine.append_rows(more)


def growing_cache(config: PretrainedConfig, bits: int | None = None) -> RowCache:
    """Return an empty cache for a model; layers with a sliding window keep transformers' own kind.

    Args:
        config: of the model.
        bits: 8, 4 or 2 to round keys and values; by default they stay as they are. States of linear attention do.
    """
    cache = RowCache(config=config)
    cache.layers = [_layer(layer, bits) for layer in cache.layers]
    return cache


class OffsetCache(RowCache):
    """A cache whose rows are written at columns of their own; see ``OffsetLayer``.

    Args:
        config: of a model that ``why_no_offsets`` has nothing against.
    """

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config=config)
        self.layers = [OffsetLayer() for _ in self.layers]

    def write_at(self, columns: Tensor, end: int) -> None:
        """Let the next call write at these columns ``[B, t]``, all below ``end``."""
        layers: list[Any] = self.layers
        for layer in layers:
            layer.columns, layer.end = columns, end

    def append_at(self, length: int) -> None:
        """Let the next call write behind this many columns in every row; what stands there is forgotten."""
        layers: list[Any] = self.layers
        for layer in layers:
            layer.columns = None
            layer.rewind(length)


def why_no_offsets(config: PretrainedConfig) -> str | None:
    """Say why the rows of a model's cache cannot be of unlike length; None where they can."""
    kinds = {type(layer) for layer in RowCache(config=config).layers} - {DynamicLayer}
    if not kinds:
        return None
    return "keeps a sliding window" if any("Sliding" in kind.__name__ for kind in kinds) else "has linear attention"


def _layer(layer: Any, bits: int | None) -> Any:
    from lit_llm.generation.states import with_rows

    if type(layer) is not DynamicLayer:
        return with_rows(layer)
    return RoundedLayer(bits) if bits else GrowingLayer()
