"""The shapes of bases that people name most, for machines that cannot fetch their configuration."""

from __future__ import annotations

from typing import Any, NamedTuple

from lit_llm.errors import ConfigError
from lit_llm.models.backbone import Loading, open_config


class Shape(NamedTuple):
    """Numbers of a dense Qwen's ``config.json``.

    Attributes:
        hidden: width of the residual stream.
        inner: width of the feed-forward layers.
        layers: number of layers.
        heads: of queries.
        groups: heads of keys and values.
        tied: the head is the embedding.
    """

    hidden: int
    inner: int
    layers: int
    heads: int
    groups: int
    tied: bool


QWEN3 = {
    "0.6B": Shape(1024, 3072, 28, 16, 8, True),
    "1.7B": Shape(2048, 6144, 28, 16, 8, True),
    "4B": Shape(2560, 9728, 36, 32, 8, True),
    "8B": Shape(4096, 12288, 36, 32, 8, False),
    "14B": Shape(5120, 17408, 40, 40, 8, False),
    "32B": Shape(5120, 25600, 64, 64, 8, False),
}
QWEN2_5 = {
    "0.5B": Shape(896, 4864, 24, 14, 2, True),
    "1.5B": Shape(1536, 8960, 28, 12, 2, True),
    "3B": Shape(2048, 11008, 36, 16, 2, True),
    "7B": Shape(3584, 18944, 28, 28, 4, False),
    "14B": Shape(5120, 13824, 48, 40, 8, False),
    "32B": Shape(5120, 27648, 64, 40, 8, False),
}

WIDE = ("7B", "14B", "32B")
"""Sizes of Qwen2.5 whose embedding has 152,064 rows, not 151,936."""


def configuration(backbone: str, loading: Loading) -> Any:
    """Return the configuration of a base, with the changes that ``loading`` makes.

    Raises:
        ConfigError: if it is neither known nor to be found.
    """
    known = None if loading.config_overrides else _known(backbone)
    return known or open_config(backbone, loading)


def names() -> list[str]:
    """Return the bases that are known, each once."""
    return [*(f"Qwen/Qwen3-{size}" for size in QWEN3), *(f"Qwen/Qwen2.5-{size}" for size in QWEN2_5)]


def _known(backbone: str) -> Any:
    from transformers import Qwen2Config, Qwen3Config

    owner, _, name = backbone.partition("/")
    if owner != "Qwen":
        return None
    for kind, prefix, sizes, ends in (
        (Qwen3Config, "Qwen3-", QWEN3, ("-Base",)),
        (Qwen2Config, "Qwen2.5-", QWEN2_5, ("-Instruct",)),
    ):
        size = name.removeprefix(prefix)
        for end in ends:
            size = size.removesuffix(end)
        if name.startswith(prefix) and size in sizes:
            return _config(kind, sizes[size], wide=kind is Qwen2Config and size in WIDE)
    return None


def _config(kind: Any, shape: Shape, *, wide: bool) -> Any:
    fields = {"head_dim": 128} if kind.model_type == "qwen3" else {}
    return kind(
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.groups,
        tie_word_embeddings=shape.tied,
        vocab_size=152_064 if wide else 151_936,
        **fields,
    )


def refuse_experts(config: Any) -> None:
    """Refuse a base in which the text decides what is computed, for there is none here.

    Raises:
        ConfigError: if it has experts.
    """
    if any(getattr(config, name, 0) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
        raise ConfigError(
            f"--plan: {config.model_type} has experts, and which of them compute depends on the text: "
            "train a few steps with --trainer.fast_dev_run 5 instead"
        )
