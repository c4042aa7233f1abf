"""``python -m lit_llm export``: the weights of a run as a plain Hugging Face folder, or as a file for llama.cpp."""

from __future__ import annotations

import argparse
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lit_llm.errors import ConfigError, UserError
from lit_llm.llama_cpp import GGUF_TYPES, Comparison, GgufType, compared, opened, refusal, write_gguf
from lit_llm.paths import at_home
from lit_llm.quantization import BlockFormat
from lit_llm.report.files import refuse_existing
from lit_llm.sharing import answer_ends, as_trained, complete_folder, write_sidecar
from lit_llm.storage import as_created

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from lit_llm.models.base import LitLM
    from lit_llm.quantization import Quantizer
    from lit_llm.report.runs import Run

PROBE = "Comprobación 1,250.50: ¿sí o no?"
"""The row on which what was computed and what was written have to agree."""

TOLERANCE = 1e-3
"""Largest difference of logits, relative to their largest, between the merged and the adapted model."""

ROUNDED_TOLERANCE = 0.1
"""The same of log-probabilities in llama.cpp, for weights of less than 32 bits, whose inputs it rounds too."""


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
    parser.add_argument("--type", choices=GGUF_TYPES, help="how matrices are stored in GGUF (F32, or as in training)")
    parser.add_argument("--checkpoint", default="best", choices=["best", "last"], help="which weights of the run")
    options = parser.parse_args(argv)
    name = "merged" if options.merged else "gguf"
    path: Path = getattr(options, name)
    refuse_existing(path, f"--{name}")
    if name == "gguf":
        refuse_existing(sidecar(path), "--gguf")
    if options.type and name == "merged":
        raise ConfigError(f"--type: {options.type} is a way to store weights in GGUF; it goes with --gguf")
    print(f"wrote {path} ({export(options.run, path, options.checkpoint, name == 'gguf', options.type)})")


def export(
    run_folder: str | Path, target: Path, checkpoint: str = "best", gguf: bool = False, kind: GgufType | None = None
) -> str:
    """Write the merged model and tokenizer of a run.

    Args:
        run_folder: the run.
        target: folder to write, or file for ``gguf``.
        checkpoint: ``best`` or ``last``.
        gguf: write a file for llama.cpp in place of a folder for transformers.
        kind: how its matrices are stored; by default ``F32``, or the blocks that the run has rounded weights to.

    Returns:
        How far the logits of what was written are from those that were computed, in words.

    Raises:
        ConfigError: if llama.cpp has no form for the model.
        UserError: if what was written answers otherwise; nothing is left of it then.
    """
    from lit_llm.report import open_run

    if gguf:
        _refuse_at_once(run_folder, kind)
    run = open_run(run_folder, checkpoint)
    return _export_gguf(run, target, kind) if gguf else _export_merged(run, target)


def _export_merged(run: Run, target: Path) -> str:
    model, ids = run.model, _probe(run)
    adapted, merged = _merged(model, ids, target)
    with written_whole(target) as part:
        merged.save_pretrained(part, safe_serialization=True)
        complete_folder(part, model, run.data, "model", target, run.folder)
        difference = relative(reloaded_logits(part, ids), adapted)
        _check("reloaded", difference, target)
    return f"logits of what was reloaded differ by at most {difference:.1e} of their size{_unrounded(model)}"


def _export_gguf(run: Run, target: Path, kind: GgufType | None) -> str:
    model, ids = run.model, _probe(run)
    form = model.qat.format if model.qat else None
    blocks = cast("GgufType", form.kind) if isinstance(form, BlockFormat) else None
    if blocks and kind not in (None, "F32", blocks):
        raise ConfigError(f"--type: the run has learned with weights of {blocks}; {kind} would round them anew")
    in_float32(model)
    wanted = logits(model.network, ids) if blocks else None
    adapted, merged = _merged(model, ids, target)
    rounded = form.round_in_place(merged) if isinstance(form, BlockFormat) else None
    kind = kind or blocks or "F32"
    template = run.data.template()
    with written_whole(target) as part:
        with as_trained(model.tokenizer, template):
            ends = answer_ends(merged, model.tokenizer, template)
            write_gguf(merged, model.tokenizer, part, kind, ends, rounded if kind == blocks else None)
        stored = logits(merged, ids)
        if wanted is not None:
            _check("trained", relative(stored, wanted), target)
        difference = relative(logits(opened(part, merged.config), ids), stored)
        _check("reloaded", difference, target)
        asked = _ask_llama_cpp(compared(part, merged, model.tokenizer, ids[0].tolist()), kind, target)
    write_sidecar(sidecar(target), model, run.data, target, run.folder, kept=bool(blocks))
    said = f"logits of what was reloaded differ by at most {difference:.1e} of their size"
    if rounded:
        left = sum(weight.dim() > 1 and key not in rounded for key, weight in merged.named_parameters())
        trained = f"; its weights are those that were trained, to the bit: {len(rounded)} matrices on their blocks"
        return f"{said}{trained}, {left} as they are, in plain floats{asked}"
    return f"{said}; {kind} has moved them by {relative(stored, adapted):.1e}{asked}{_unrounded(model)}"


def _refuse_at_once(run_folder: str | Path, kind: GgufType | None) -> None:
    """Refuse a model that llama.cpp has no form for, before its weights are read.

    Raises:
        ConfigError: if it is one.
    """
    from lit_llm.models import Loading
    from lit_llm.models.backbone import open_config
    from lit_llm.report.runs import run_config

    settings: dict[str, Any] = run_config(run_folder)["model"]["init_args"]
    loading = Loading(**(settings.get("loading") or {}))
    if reason := refusal(open_config(at_home(settings["backbone"]), loading), kind or "F32"):
        raise ConfigError(f"--gguf: {reason}; use --merged")


def _probe(run: Run) -> torch.Tensor:
    import torch

    return torch.tensor([run.data.format.encode(PROBE, None).input_ids])


def _merged(model: LitLM, ids: torch.Tensor, target: Path) -> tuple[torch.Tensor, PreTrainedModel]:
    """Return the logits of the adapted model, unrounded, and the merged one, if it gives the same."""
    # Layers in 8 bits round their inputs too, which is no part of what is written.
    model.restore_weights()
    model.stop_rounding()
    adapted = logits(model.network, ids)
    merged = model.merge_adapter()
    _check("merged", relative(logits(merged, ids), adapted), target)
    return adapted, merged


def _unrounded(model: LitLM) -> str:
    return "; weights are not rounded as in training (quantize does that)" if model.qat else ""


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


def _ask_llama_cpp(found: Comparison | None, kind: GgufType, target: Path) -> str:
    """Return in words how far llama.cpp is from what was computed here, if it is near enough."""
    if found is None:
        return "; llama.cpp was not asked: pip install -e '.[llama]'"
    limit, exact = (TOLERANCE, found.equal == found.tokens) if kind == "F32" else (ROUNDED_TOLERANCE, True)
    _check("llama.cpp's", found.farthest / found.size, target, limit)
    if not exact or not found.tokens:
        raise UserError(
            f"export: llama.cpp writes {found.equal} of {found.tokens} tokens as they are written here: {target} was "
            "not written; use --merged"
        )
    return (
        f"; llama.cpp writes {found.equal} of {found.tokens} tokens alike, with log-probabilities within "
        f"{found.farthest:.1e}"
    )


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
