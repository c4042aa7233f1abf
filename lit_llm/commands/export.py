"""``python -m lit_llm export``: the weights of a run as a plain Hugging Face folder."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lit_llm.errors import ConfigError, UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lit_llm.quantization import Quantizer

PROBE = "Comprobación 1,250.50: ¿sí o no?"
"""The row on which what was computed and what was written have to agree."""

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
    ids = torch.tensor([run.data.format.encode(PROBE, None).input_ids])
    # Layers in 8 bits round their inputs too, which is no part of what is written.
    model.restore_weights()
    model.stop_rounding()
    wanted = logits(model.network, ids)
    merged = model.merge_adapter()
    with written_whole(target) as folder:
        merged.save_pretrained(folder, safe_serialization=True)
        model.tokenizer.save_pretrained(folder)
        model.save_extras(folder)
        difference = float((reloaded_logits(folder, ids) - wanted).abs().max() / wanted.abs().max())
        if difference > TOLERANCE:
            raise UserError(
                f"export: merged logits differ from the adapted model's by {difference:.1e} of their size (limit "
                f"{TOLERANCE:.0e}): {target} was not written; predict with the adapter unmerged instead"
            )
    return f"logits of the reloaded folder differ by at most {difference:.1e} of their size"


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a folder beside ``target`` to write to, which takes its name at the end and is removed after an error."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    os.replace(partial, target)


def reloaded_logits(folder: Path, ids: torch.Tensor, quantizer: Quantizer | None = None) -> torch.Tensor:
    """Return what a folder answers to one row ``[1, T]``, opened by transformers; ``quantizer`` has stored it."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True).eval()
    if quantizer:
        quantizer.after_loading(model)
    return logits(model, ids)


def logits(network: nn.Module | None, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits ``[1, T, V]`` of a row, in float32."""
    import torch

    with torch.inference_mode():
        found: torch.Tensor = cast("nn.Module", network)(input_ids=ids).logits.float()
    return found
