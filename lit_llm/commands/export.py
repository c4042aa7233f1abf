"""``python -m lit_llm export``: the weights of a run as a plain Hugging Face folder."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_llm.errors import ConfigError, UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

TOLERANCE = 1e-3
"""Largest difference of logits, relative to their largest, between the merged and the adapted model."""


def main(argv: Sequence[str] | None = None) -> None:
    """Merge the adapter of a run into its base and write the result, if the logits agree after a reload.

    Args:
        argv: the options; by default those of the process.

    Raises:
        UserError: if merged and unmerged logits differ; nothing is written then.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm export", description=__doc__)
    parser.add_argument("--run", required=True, help="run folder, such as checkpoints/extraction_tiny")
    parser.add_argument("--merged", required=True, type=Path, help="folder to write; must not exist")
    parser.add_argument("--checkpoint", default="best", choices=["best", "last"], help="which weights of the run")
    options = parser.parse_args(argv)
    if options.merged.exists():
        raise ConfigError(f"--merged: {options.merged} exists already; name a new folder or remove it")
    print(f"wrote {options.merged} ({export(options.run, options.merged, options.checkpoint)})")


def export(run_folder: str | Path, target: Path, checkpoint: str = "best") -> str:
    """Write the merged model and tokenizer of a run.

    Args:
        run_folder: the run.
        target: folder to write.
        checkpoint: ``best`` or ``last``.

    Returns:
        How far the logits of the written folder are from those of the adapted model, in words.
    """
    import torch

    from lit_llm.report import open_run

    run = open_run(run_folder, checkpoint)
    model = run.model
    if model.network is None:
        raise UserError(f"--run: {run_folder} has no network")
    ids = torch.tensor([run.data.format.encode("Comprobación 1,250.50: ¿sí o no?", None).input_ids])
    # Layers in 8 bits round their inputs too, which is no part of what is written.
    model.restore_weights()
    wanted = _logits(model.network, ids)
    merged = model.merge_adapter()
    # Written beside the target and renamed once it is known to be right.
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    merged.save_pretrained(partial, safe_serialization=True)
    model.tokenizer.save_pretrained(partial)
    model.save_extras(partial)
    difference = _relative(_reloaded_logits(partial, ids), wanted)
    if difference > TOLERANCE:
        shutil.rmtree(partial)
        raise UserError(
            f"export: merged logits differ from the adapted model's by {difference:.1e} of their size (limit "
            f"{TOLERANCE:.0e}): {target} was not written; predict with the adapter unmerged instead"
        )
    os.replace(partial, target)
    return f"logits of the reloaded folder differ by at most {difference:.1e} of their size"


def _reloaded_logits(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    from transformers import AutoModelForCausalLM

    return _logits(AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True).eval(), ids)


def _logits(network: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    import torch

    with torch.inference_mode():
        logits: torch.Tensor = network(input_ids=ids).logits.float()
    return logits


def _relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max())
