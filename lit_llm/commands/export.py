"""``python -m lit_llm export``: the weights of a run as a plain Hugging Face folder, or as a file for llama.cpp."""

from __future__ import annotations

import argparse
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from lit_llm.errors import ConfigError, UserError
from lit_llm.quantization.gguf_file import GGUF_TYPES, GgufType, head_dim_of, llama_cpp_logits, rope_of, write_gguf
from lit_llm.report.files import refuse_existing
from lit_llm.sharing import answer_ends, as_trained, complete_folder, write_sidecar
from lit_llm.storage import as_created

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lit_llm.models.base import LitLM
    from lit_llm.quantization import Quantizer

PROBE = "Comprobación 1,250.50: ¿sí o no?"
"""The row on which what was computed and what was written have to agree."""

TOLERANCE = 1e-3
"""Largest difference of logits, relative to their largest, between the merged and the adapted model."""

ROUNDED_TOLERANCE = 0.1
"""The same between llama.cpp and transformers for weights of less than 32 bits, whose inputs llama.cpp rounds too."""


def main(argv: Sequence[str] | None = None) -> None:
    """Merge the adapter of a run into its base and write the result, if the logits agree after a reload.

    Args:
        argv: the options; by default those of the process.

    Raises:
        UserError: if merged and unmerged logits differ; nothing is written then.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm export", description=__doc__)
    parser.add_argument("--run", required=True, help="run folder, such as checkpoints/extraction_tiny")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--merged", type=Path, help="folder to write for transformers; must not exist")
    target.add_argument("--gguf", type=Path, help="file to write for llama.cpp; must not exist")
    parser.add_argument("--type", choices=GGUF_TYPES, help="how matrices are stored in GGUF (F32)")
    parser.add_argument("--checkpoint", default="best", choices=["best", "last"], help="which weights of the run")
    options = parser.parse_args(argv)
    name = "merged" if options.merged else "gguf"
    path: Path = getattr(options, name)
    refuse_existing(path, f"--{name}")
    if name == "gguf":
        refuse_existing(sidecar(path), "--gguf")
    if options.type and name == "merged":
        raise ConfigError(f"--type: {options.type} is a way to store weights in GGUF; it goes with --gguf")
    kind: GgufType | None = (options.type or "F32") if name == "gguf" else None
    print(f"wrote {path} ({export(options.run, path, options.checkpoint, kind)})")


def export(run_folder: str | Path, target: Path, checkpoint: str = "best", gguf: GgufType | None = None) -> str:
    """Write the merged model and tokenizer of a run.

    Args:
        run_folder: the run.
        target: folder to write, or file for ``gguf``.
        checkpoint: ``best`` or ``last``.
        gguf: how matrices are stored in a file for llama.cpp; by default a folder for transformers is written.

    Returns:
        How far the logits of what was written are from those that were computed, in words.
    """
    import torch

    from lit_llm.report import open_run

    run = open_run(run_folder, checkpoint)
    model = run.model
    ids = torch.tensor([run.data.format.encode(PROBE, None).input_ids])
    # Layers in 8 bits round their inputs too, which is no part of what is written.
    model.restore_weights()
    model.stop_rounding()
    if gguf:
        in_float32(model)
    adapted = logits(model.network, ids)
    merged = model.merge_adapter()
    _check("merged", relative(logits(merged, ids), adapted), target)
    asked = ""
    with written_whole(target) as part:
        if gguf:
            template = run.data.template()
            with as_trained(model.tokenizer, template):
                write_gguf(merged, model.tokenizer, part, gguf, answer_ends(merged, model.tokenizer, template))
            difference = relative(_logits_of_gguf(part, ids), logits(merged, ids))
            asked = _ask_llama_cpp(part, ids, str(model.tokenizer.decode(ids[0])), logits(merged, ids), gguf, target)
        else:
            merged.save_pretrained(part, safe_serialization=True)
            complete_folder(part, model, run.data, "model", target, run.folder)
            difference = relative(reloaded_logits(part, ids), adapted)
        _check("reloaded", difference, target)
    if gguf:
        write_sidecar(sidecar(target), model, run.data, target, run.folder)
    moved = f"; {gguf} has moved them by {relative(logits(merged, ids), adapted):.1e}{asked}" if gguf else ""
    plain = "; weights are not rounded as in training (quantize does that)" if model.qat else ""
    return f"logits of what was reloaded differ by at most {difference:.1e} of their size{moved}{plain}"


def sidecar(target: Path) -> Path:
    """Return the file beside a GGUF file that holds its model card."""
    return target.with_name(f"{target.name}.md")


def in_float32(model: LitLM) -> None:
    """Turn the weights of a model, stored or of 16 bits, into float32, from which those of fewer bits are rounded."""
    model.restore_weights()
    cast("nn.Module", model.network).float()


def _check(what: str, difference: float, target: Path, limit: float | None = None) -> None:
    limit = TOLERANCE if limit is None else limit
    if difference > limit:
        raise UserError(
            f"export: {what} logits differ from those computed before by {difference:.1e} of their size (limit "
            f"{limit:.0e}): {target} was not written; predict with the adapter unmerged instead"
        )


def _ask_llama_cpp(path: Path, ids: torch.Tensor, text: str, wanted: torch.Tensor, kind: GgufType, target: Path) -> str:
    """Compare llama.cpp's logits with ours where its binding is installed; return in words how far they are apart."""
    found = llama_cpp_logits(path, text, ids[0].tolist())
    if found is None:
        return ""
    difference = relative(found, wanted)
    _check("llama.cpp's", difference, target, TOLERANCE if kind == "F32" else ROUNDED_TOLERANCE)
    return f"; llama.cpp's are within {difference:.1e}"


def _logits_of_gguf(path: Path, ids: torch.Tensor) -> torch.Tensor:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    # Of rotary positions transformers reads one number, and of heads none.
    config.rope_parameters, config.head_dim = rope_of(path), head_dim_of(path)
    settings = {"gguf_file": path.name, "dtype": torch.float32, "config": config}
    return logits(AutoModelForCausalLM.from_pretrained(path.parent, **settings).eval(), ids)


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the largest difference, relative to the largest value; infinity where one is no number."""
    difference = float((found - wanted).abs().max() / wanted.abs().max())
    return math.inf if math.isnan(difference) else difference


@contextmanager
def written_whole(target: Path) -> Iterator[Path]:
    """Give a path beside ``target`` to write to, which takes its name at the end and is removed after an error."""
    partial = target.with_name(f"{target.name}.partial")
    _remove(partial)
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
    except BaseException:
        _remove(partial)
        raise
    as_created(partial)
    os.replace(partial, target)


def _remove(path: Path) -> None:
    if path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def reloaded_logits(folder: Path, ids: torch.Tensor, quantizer: Quantizer | None = None) -> torch.Tensor:
    """Return what a folder answers to one row ``[1, T]``, opened by transformers; ``quantizer`` has stored it."""
    from transformers import AutoModelForCausalLM

    # bitsandbytes would choose a GPU where there is one.
    place = {"device_map": {"": "cpu"}} if quantizer else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True, **place).eval()
    if quantizer:
        quantizer.after_loading(model)
    return logits(model, ids)


def logits(network: nn.Module | None, ids: torch.Tensor) -> torch.Tensor:
    """Return the logits ``[1, T, V]`` of a row, in float32."""
    import torch

    with torch.inference_mode():
        module = cast("nn.Module", network)
        # A quantizer has put it on a GPU where there is one.
        found: torch.Tensor = module(input_ids=ids.to(next(module.parameters()).device)).logits.float().cpu()
    return found
