"""Decoding that does not go round in circles: what an answer has already said becomes less likely, or is forbidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lit_llm.generation.constraint import Mask


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
    from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor

    processors: list[Any] = [RepetitionPenaltyLogitsProcessor(float(penalty))] if penalty != 1 else []
    processors += [NoRepeatNGramLogitsProcessor(ngram_size)] if ngram_size else []

    def mask(rows: Sequence[int], tokens: Tensor, logits: Tensor) -> Tensor:
        """Change logits ``[R, V]`` by generated tokens ``[R, T]``."""
        for process in processors if tokens.shape[1] else []:
            logits = process(tokens, logits)
        return logits

    return mask if processors else None
