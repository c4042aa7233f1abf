"""Tiny random models of each family, made from transformers' own configuration classes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

ROOT = Path(__file__).resolve().parent.parent
TINY = ROOT / "checkpoints/qwen3-tiny"

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
LINEAR: dict[str, Any] = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("Qwen2Config", {}),
    "qwen3": ("Qwen3Config", {"head_dim": 16}),
    "qwen3_moe": ("Qwen3MoeConfig", {"head_dim": 16} | EXPERTS),
    "qwen3_5": ("Qwen3_5TextConfig", {"head_dim": 16} | LINEAR),
    "qwen3_5_moe": (
        "Qwen3_5MoeTextConfig",
        {"head_dim": 16, "shared_expert_intermediate_size": 16} | LINEAR | EXPERTS,
    ),
    "qwen3_next": ("Qwen3NextConfig", {"head_dim": 16, "shared_expert_intermediate_size": 16} | LINEAR | EXPERTS),
    "llama": ("LlamaConfig", {}),
    "mistral": ("MistralConfig", {"sliding_window": 8}),
    "mixtral": ("MixtralConfig", {"num_local_experts": 4, "tie_word_embeddings": False}),
    "gemma2": ("Gemma2Config", {"head_dim": 16, "sliding_window": 8, "final_logit_softcapping": 5.0}),
    "gemma3": ("Gemma3TextConfig", {"head_dim": 16, "sliding_window": 8}),
    "phi3": ("Phi3Config", {"tie_word_embeddings": False}),
    "smollm3": ("SmolLM3Config", {}),
    "olmo3": ("Olmo3Config", {"sliding_window": 8, "tie_word_embeddings": False}),
    "granite": ("GraniteConfig", {"logits_scaling": 4.0, "residual_multiplier": 0.5}),
    "granitemoe": ("GraniteMoeConfig", {"logits_scaling": 4.0, "num_local_experts": 4, "num_experts_per_tok": 2}),
}
"""Configuration class and fields beside ``SHAPE`` by family; a field of ``SHAPE`` is replaced where it is named."""

REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "mamba": ("MambaConfig", {"state_size": 8}),
    "minicpm3": ("MiniCPM3Config", {"num_key_value_heads": 4}),
    "t5": ("T5Config", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}),
}
"""The same for families that do not pass: Mamba reads weights of its layers itself, so that nothing can be put on them;
MiniCPM3 changes hidden states before its head; T5 is no causal model."""

ATTENTION = {"gemma2": "eager", "mamba": "eager"}
"""What ``attn_implementation`` has to be where it is not ``sdpa``."""

HYBRID = ("qwen3_5", "qwen3_5_moe", "qwen3_next")
"""Families with linear-attention layers."""

MOE = ("qwen3_moe", "qwen3_5_moe", "qwen3_next", "mixtral", "granitemoe")
"""Families with experts, whose grouped products take no float64."""


def config(family: str, **fields: Any) -> PretrainedConfig:
    """Return the configuration of a family's tiny model, as wide as the tiny base's vocabulary.

    Args:
        family: key of ``FAMILIES``.
        fields: replace those of the family.
    """
    import transformers

    name, own = {**FAMILIES, **REFUSED}[family]
    ends = {"vocab_size": 1024, "eos_token_id": 1000, "pad_token_id": 998, "bos_token_id": None}
    made: PretrainedConfig = getattr(transformers, name)(**SHAPE | ends | own | fields)
    return made


def build(family: str, seed: int = 0, **fields: Any) -> PreTrainedModel:
    """Return a family's tiny model in eval mode, with random weights large enough that its texts differ.

    Args:
        family: key of ``FAMILIES``.
        seed: of the weights.
        fields: of the configuration, replacing the family's.
    """
    import torch
    from transformers import AutoModel, AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        settings = config(family, **{"initializer_range": 0.2} | fields)
        kind: Any = AutoModel if settings.is_encoder_decoder else AutoModelForCausalLM
        model: PreTrainedModel = kind.from_config(settings)
    return model.eval()


def folder(path: Path, family: str, seed: int = 0, **fields: Any) -> Path:
    """Write a family's tiny model into a folder with the tiny base's tokenizer and template, and return the folder."""
    build(family, seed, **fields).save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / name, path / name)
    return path
