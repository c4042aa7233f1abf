"""Rows that hold several texts, which models with a state cannot keep apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STATEFUL = ("linear_attention", "conv", "hybrid", "hybrid_sliding", "mamba")
"""Types of layers, as a configuration lists them, that carry a state from token to token."""


def refuse_packing(model: PreTrainedModel) -> None:
    """Refuse a model with layers that would not notice where a text ends and the next begins.

    Args:
        model: a Hugging Face causal LM.

    Raises:
        ConfigError: if a text would be read with the state that another has left.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) & set(STATEFUL)
    if kinds:
        raise ConfigError(
            f"data.init_args.packing: layers of {config.model_type} ({', '.join(sorted(kinds))}) carry their state "
            "from one text of a row into the next: leave it out; data.init_args.max_batch_tokens puts rows of like "
            "length together"
        )
