"""Bases of real sizes with random weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "checkpoints/qwen3-tiny"

QWEN3: dict[str, Any] = {"head_dim": 128, "num_key_value_heads": 8, "tie_word_embeddings": True, "vocab_size": 151_936}
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen3-0.6B": (
        "Qwen3Config",
        QWEN3 | {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    ),
    "Qwen3-4B": (
        "Qwen3Config",
        QWEN3 | {"hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32},
    ),
    "Qwen3.5, 8 layers of 9B": ("Qwen3_5TextConfig", {"num_hidden_layers": 8}),
}
"""Configuration class and fields; what is not named is transformers' default."""

NAMES = tuple(SIZES)

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 1024,
}
LINEAR = {f"linear_{name}": 8 if "dim" in name else 2 for name in ("key_head_dim", "value_head_dim", "num_key_heads")}


def base(folder: Path, name: str, tiny: bool) -> Path:
    """Return the folder of a base, which is written once, with the tokenizer of the tiny one.

    Args:
        folder: where bases are written.
        name: one of ``NAMES``.
        tiny: whether its shapes are small.
    """
    import transformers

    path = folder / name.replace(" ", "_").replace(",", "")
    if path.exists():
        return path
    kind, fields = SIZES[name]
    own = SMALL | (LINEAR | {"linear_num_value_heads": 32} if "3_5" in kind else {}) if tiny else fields
    ends = {"eos_token_id": 1000, "pad_token_id": 998, "bos_token_id": None}
    config = getattr(transformers, kind)(**{"max_position_embeddings": 4096} | own | ends)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(path)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / file, path / file)
    return path
