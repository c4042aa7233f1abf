"""States of linear-attention layers: rows that may leave, change places and go back, as keys and values may."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import (
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionAndSlidingWindowAttentionLayer,
    LinearAttentionLayer,
)

States = dict[str, dict[int, Tensor | None]]

KINDS = ("conv_states", "recurrent_states")
"""What a layer keeps of all tokens before: the last inputs of its convolution, and a matrix per head."""


class RowStates(LinearAttentionLayer):
    """Conv states ``[B, C, K]`` and recurrent states ``[B, H, D, E]`` of one layer.

    Transformers can reorder them for beams but not take rows out; where a layer has keys as well, it would take the
    rows of those alone.
    """

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, in this order; one may be named more than once."""
        self.reorder_cache(indices)  # type: ignore[arg-type]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Let each row be followed by copies of itself, so that there are ``repeats`` of it."""
        kept = [state for kind in KINDS for state in getattr(self, kind).values() if state is not None]
        if kept:
            rows = torch.arange(len(kept[0]), device=kept[0].device)
            self.batch_select_indices(rows.repeat_interleave(repeats))


class StateLayer(RowStates):
    """States of a layer that has nothing else, and can go back to where they were.

    A recurrent state cannot be undone, so from ``activate_past_recording`` on, that of before each call is kept.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._past: list[tuple[int, States]] = []

    def update_conv_state(  # type: ignore[override]
        self, conv_states: Tensor, state_idx: int = 0, **kwargs: Any
    ) -> Tensor:
        """Append ``[B, C, t]`` and return the inputs that the convolution needs."""
        if self.record_past and state_idx == 0:
            self._past.append((conv_states.shape[-1], self._copied()))
        # Transformers would keep all inputs of the convolution, and could go back with them alone.
        recording, self.record_past = self.record_past, False
        try:
            full: Tensor = super().update_conv_state(conv_states, state_idx=state_idx, **kwargs)
        finally:
            self.record_past = recording
        return full

    @property
    def is_croppable(self) -> bool:
        """Whether it can go back."""
        return self.record_past

    def crop(self, tokens_to_remove: int) -> None:
        """Go back by ``-tokens_to_remove`` tokens, the whole of one call or of several.

        Raises:
            ValueError: if these calls were not recorded, or the tokens are a part of one.
        """
        left = abs(tokens_to_remove)
        while left:
            if not self._past or self._past[-1][0] > left or tokens_to_remove > 0:
                raise ValueError(
                    f"states of linear attention cannot go back by {tokens_to_remove} tokens: call "
                    "activate_past_recording() first, and go back by whole calls with a negative number"
                )
            length, states = self._past.pop()
            left -= length
            self._restore(states)

    def append_rows(self, other: StateLayer) -> None:
        """Add the rows of another layer behind these; what came before can no longer be gone back to."""
        self._past = []
        for kind in KINDS:
            kept, more = getattr(self, kind), getattr(other, kind)
            kept |= {at: torch.cat([state, more[at]]) for at, state in kept.items() if state is not None}

    def reorder_cache(self, beam_idx: Tensor) -> None:  # type: ignore[override]
        """Keep these rows, in this order, also of what could be gone back to."""
        super().reorder_cache(beam_idx)  # type: ignore[arg-type]
        for _, states in self._past:
            for kept in states.values():
                kept |= {at: state.index_select(0, beam_idx) for at, state in kept.items() if state is not None}

    def _restore(self, states: States) -> None:
        if all(state is None for kept in states.values() for state in kept.values()):
            self.reset()
            return
        for kind in KINDS:
            setattr(self, kind, states[kind])

    def _copied(self) -> States:
        return {
            kind: {at: None if state is None else state.clone() for at, state in getattr(self, kind).items()}
            for kind in KINDS
        }


class StateAndKeysLayer(RowStates, LinearAttentionAndFullAttentionLayer):  # type: ignore[misc, override]
    """States beside keys and values of one layer."""


class StateAndWindowLayer(RowStates, LinearAttentionAndSlidingWindowAttentionLayer):  # type: ignore[misc, override]
    """States beside keys and values of a sliding window."""


def with_rows(layer: Any) -> Any:
    """Return an empty layer of the same kind whose states may lose rows; others as they are."""
    if type(layer) is LinearAttentionLayer:
        return StateLayer(number_of_states=layer.number_of_states)
    if type(layer) is LinearAttentionAndFullAttentionLayer:
        return StateAndKeysLayer(number_of_states=layer.number_of_states)
    if type(layer) is LinearAttentionAndSlidingWindowAttentionLayer:
        return StateAndWindowLayer(layer.sliding_window, number_of_states=layer.number_of_states)
    return layer
