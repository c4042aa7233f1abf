"""Families of models that a GGUF file is written of, why others are not, and what the file says of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, get_args

from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

GgufType = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0"]
GGUF_TYPES: tuple[str, ...] = get_args(GgufType)

BLOCKS = {"Q8_0": 32, "Q4_0": 32}
"""Weights of a row that share a scale."""

ARCHITECTURES = {"llama": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3"}
"""Names of the models that can be written, by transformers and by gguf."""

SCALED = ("linear", "yarn")
"""Ways to stretch rotary positions that llama.cpp knows for all of these; the others it would leave out in silence."""

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")


def refusal(config: Any, kind: str = "F32") -> str | None:
    """Return why no file is written of a model; None where one is.

    Args:
        config: the model's configuration.
        kind: how its matrices would be stored.
    """
    if config.model_type not in ARCHITECTURES:
        return f"a model of type {config.model_type} is not written, because {_foreign(config.get_text_config())}"
    try:
        rope_settings(config)
    except ConfigError as error:
        return str(error)
    return _unsaid(config) or _uneven(config, kind)


def _foreign(config: Any) -> str:
    """Return what a family has that those which are written have not."""
    if set(getattr(config, "layer_types", None) or []) - {"full_attention", "sliding_attention"}:
        return "some of its layers are no attention layers, whose weights have other names and forms there"
    if any(getattr(config, name, None) for name in EXPERTS):
        return "its experts are stored in another form there"
    return f"this is done for {', '.join(ARCHITECTURES)} alone; each family has names and orders of its own"


def _unsaid(config: Any) -> str | None:
    """Return what llama.cpp would compute otherwise, because the file cannot say it."""
    if config.hidden_act != "silu":
        return f"its activation is {config.hidden_act}, and llama.cpp computes silu"
    if "sliding_attention" in (getattr(config, "layer_types", None) or []):
        return f"some of its layers see {config.sliding_window} tokens back, and llama.cpp lets them see all"
    if config.model_type == "qwen3" and config.attention_bias:
        return "its attention has biases, which llama.cpp does not read for qwen3"
    part = (config.rope_parameters or {}).get("partial_rotary_factor", 1)
    return None if part == 1 else f"{part} of each head is turned by positions, and llama.cpp turns all of it"


def _uneven(config: Any, kind: str) -> str | None:
    size = BLOCKS.get(kind, 1)
    widths = {
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_attention_heads * head_dim": config.num_attention_heads * head_dim(config),
    }
    uneven = [f"{name} {width}" for name, width in widths.items() if width % size]
    return f"{kind} has blocks of {size} weights, which do not divide {' and '.join(uneven)}" if uneven else None


def head_dim(config: Any) -> int:
    """Return the numbers of a key of one head."""
    named: int | None = getattr(config, "head_dim", None)
    return named or int(config.hidden_size // config.num_attention_heads)


def describe(writer: Any, config: Any, file_type: int) -> None:
    """Add the sizes of a model to a file."""
    writer.add_file_type(file_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_key_length(head_dim(config))
    writer.add_value_length(head_dim(config))
    writer.add_vocab_size(config.vocab_size)


def add_rope(writer: Any, config: Any) -> None:
    """Add what a file says of rotary positions."""
    import gguf

    rope = rope_settings(config)
    writer.add_rope_dimension_count(head_dim(config))
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "llama3":
        writer.add_tensor("rope_freqs.weight", _llama3_factors(config))
        return
    if rope["rope_type"] != "default":
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if "original_max_position_embeddings" in rope:
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def in_order(values: np.ndarray, key: str, config: Any) -> np.ndarray:
    """Return the rows of a parameter as a file has them.

    llama.cpp turns neighbouring numbers of a query or key together in the family ``llama``, transformers those that lie
    half a head apart.

    Args:
        values: ``[out, ...]``, in whatever form they are stored.
        key: name of the parameter.
        config: of the model.
    """
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    count = next((heads[part] for part in key.split(".") if part in heads), None)
    if config.model_type != "llama" or count is None:
        return values
    return values.reshape(count, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def rope_settings(config: Any) -> dict[str, Any]:
    """Return the rotary parameters of a model.

    Raises:
        ConfigError: if the file cannot say them.
    """
    rope: dict[str, Any] = {key: value for key, value in config.rope_parameters.items() if value is not None}
    kind = rope.setdefault("rope_type", "default")
    if kind == "default" or (kind == "llama3" and config.model_type == "llama"):
        return rope if kind == "default" else {"rope_type": kind, "rope_theta": rope["rope_theta"]}
    if kind not in SCALED:
        raise ConfigError(
            f"the base stretches its positions by rope_type {kind!r}, and for its architecture the format says "
            f"{' and '.join(SCALED)} alone"
        )
    if kind == "yarn":
        rope.setdefault("original_max_position_embeddings", config.max_position_embeddings)
        _check_yarn(rope)
    return rope


def _check_yarn(rope: dict[str, Any]) -> None:
    """Refuse what a reader would leave out in silence: every llama.cpp knows the usual values alone."""
    usual: dict[str, float] = {"beta_fast": 32, "beta_slow": 1, "truncate": True}
    usual["attention_factor"] = 0.1 * math.log(rope["factor"]) + 1
    known = {"rope_type", "rope_theta", "factor", "original_max_position_embeddings"}
    for name in rope.keys() - known:
        if name not in usual or abs(rope[name] - usual[name]) > 1e-6:
            raise ConfigError(
                f"the base stretches its positions by yarn with {name} {rope[name]}, which not every llama.cpp reads"
            )


def _llama3_factors(config: Any) -> np.ndarray:
    """Return by how much each frequency is slowed down, ``[head_dim / 2]``."""
    import torch
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    steps = torch.arange(0, head_dim(config), 2, dtype=torch.float32) / head_dim(config)
    usual = 1.0 / (config.rope_parameters["rope_theta"] ** steps)
    factors: np.ndarray = (usual / slowed).numpy()
    return factors
