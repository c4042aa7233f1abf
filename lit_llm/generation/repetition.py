"""Decoding that does not go round in circles: what an answer has already said becomes less likely, or is forbidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lit_llm.generation.constraint import Mask, Texts


def repetition_mask(penalty: float, ngram_size: int) -> Mask | None:
    """Return what lowers the logits of repeated tokens, or None where nothing is to be done.

    Only generated tokens count. Transformers' own settings count the prompt as well, which keeps a model from copying
    names and numbers out of its source.

    Args:
        penalty: divides positive and multiplies negative logits of tokens that were generated before (Keskar et al.
            2019); 1.0 changes nothing.
        ngram_size: forbids the token that would repeat a sequence of this many tokens (Paulus et al. 2018); 0 allows
            all.
    """

    def mask(rows: Sequence[int], texts: Texts, logits: Tensor) -> Tensor:
        """Change logits ``[R, V]`` by the tokens that each row has generated."""
        logits = logits.clone()
        for scores, text in zip(logits, texts, strict=True):
            if penalty != 1 and text:
                said = torch.tensor(sorted(set(text)), device=logits.device)
                scores[said] = torch.where(scores[said] > 0, scores[said] / penalty, scores[said] * penalty)
            if again := _repeating(text, ngram_size):
                scores[again] = float("-inf")
        return logits

    return mask if penalty != 1 or ngram_size else None


def _repeating(text: Sequence[int], size: int) -> list[int]:
    """Return the tokens that would make the last ``size`` tokens of a text a sequence that it already holds."""
    if not size or len(text) < size:
        return []
    last = list(text[len(text) - size + 1 :])
    return [text[at + size - 1] for at in range(len(text) - size + 1) if list(text[at : at + size - 1]) == last]
