"""Rows that hold several texts, which models with a state cannot keep apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_llm.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

STATEFUL = ("linear_attention", "conv", "hybrid", "hybrid_sliding", "mamba")
"""Types of layers, as a configuration lists them, that carry a state from token to token."""


def refuse_packed(model: PreTrainedModel, position_ids: Tensor) -> None:
    """Refuse rows whose positions start again where the model has layers that would not notice.

    Args:
        model: a Hugging Face causal LM.
        position_ids: ``[B, T]``.

    Raises:
        DataError: if a text would be read with the state that another has left.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) & set(STATEFUL)
    if kinds and bool((position_ids.diff(dim=1) != 1).any()):
        raise DataError(
            f"data: a row holds several texts (its position_ids start again), and layers of {config.model_type} "
            f"({', '.join(sorted(kinds))}) carry their state from one text into the next: give each text a row of its "
            "own; data.init_args.max_batch_tokens puts rows of like length together"
        )
