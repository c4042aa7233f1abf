"""What benchmarks of a training step share: a base of random weights in a shape asked for, and a bare trainer."""

from __future__ import annotations

import argparse
from typing import Any

from lightning.pytorch import Trainer


def add_shape(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``overrides``."""
    parser.add_argument("--backbone", help="folder of a base; by default a Qwen3 of random weights of this shape:")
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=5)


def overrides(options: argparse.Namespace) -> dict[str, int]:
    """Return the fields of a Qwen3's configuration for a shape."""
    return {
        "vocab_size": options.vocabulary,
        "hidden_size": options.width,
        "intermediate_size": 3 * options.width,
        "num_hidden_layers": options.layers,
        "num_attention_heads": options.width // 64,
        "num_key_value_heads": options.width // 128,
    }


def bare_trainer(folder: str, steps: int, precision: str, watch: Any) -> Trainer:
    """Return a trainer that takes so many steps on the CPU, writes nothing and calls ``watch``."""
    return Trainer(
        default_root_dir=folder,
        max_steps=steps,
        accelerator="cpu",
        precision=precision,  # type: ignore[arg-type]
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        gradient_clip_val=1.0,
        callbacks=[watch],
    )
