"""``python -m lit_llm quantize``: a run with its weights in a few bits, as a folder that transformers opens."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.commands.export import PROBE, in_float32, logits, relative, reloaded_logits, written_whole
from lit_llm.errors import ConfigError, UserError
from lit_llm.quantization import NF4, Int8, IntFormat, Quantizer, compressor
from lit_llm.quantization.integers import refuse_experts
from lit_llm.report.files import refuse_existing
from lit_llm.sharing import complete_folder

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from lit_llm.data.base import LMData
    from lit_llm.models.base import LitLM

METHODS = ("qat", "rtn", "hqq", "nf4", "int8", *compressor.METHODS)
TUNABLE = ("rtn", "hqq", "gptq", "awq", "autoround")
"""Methods whose bits and groups can be chosen."""

SKIPPING = ("nf4", "int8")
"""Methods of one width, which can leave layers out."""

PACKED = ("qat", "rtn", "hqq")
"""Methods whose result is packed integers."""

CALIBRATION = 128
"""Training rows that llm-compressor sees."""

TOLERANCE = 1e-5
"""Largest difference of logits, relative to their largest, between what was computed and what was written."""


def main(argv: Sequence[str] | None = None) -> None:
    """Merge a run, store its weights in a few bits, and write them if the logits agree after a reload.

    Args:
        argv: the options; by default those of the process.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm quantize", description=__doc__)
    parser.add_argument("--run", required=True, help="run folder, such as checkpoints/extraction_tiny")
    parser.add_argument("--output", required=True, type=Path, help="folder to write; must not exist")
    parser.add_argument("--checkpoint", default="best", choices=["best", "last"], help="which weights of the run")
    parser.add_argument(
        "--method",
        choices=METHODS,
        metavar="METHOD",
        help=f"{', '.join(METHODS)}; by default qat for a run with model.qat, else rtn",
    )
    parser.add_argument("--bits", type=int, help=f"of a weight, for {', '.join(TUNABLE)}: 2, 3, 4 or 8 (4)")
    parser.add_argument("--group_size", type=int, help="weights that share a scale, for the same (32); 0: a row")
    parser.add_argument(
        "--layers",
        help="bits by layer for the same, such as '{\"*.down_proj\": 8}'; null leaves layers out, for nf4 and int8 too",
    )
    options = vars(parser.parse_args(argv))
    settings = {key: options.pop(key) for key in ("bits", "group_size", "layers")}
    refuse_existing(options["output"], "--output")
    print(quantize(**options, settings={key: value for key, value in settings.items() if value is not None}))


def quantize(run: str, output: Path, checkpoint: str, method: str | None, settings: dict[str, Any]) -> str:
    """Write the quantized weights and the tokenizer of a run.

    Args:
        run: the run's folder.
        output: folder to write.
        checkpoint: ``best`` or ``last``.
        method: one of ``METHODS``, or None.
        settings: fields of ``IntFormat`` that are not as usual; ``group_size`` 0 means a whole row, ``layers`` is JSON.

    Returns:
        What was written, in words.

    Raises:
        ConfigError: if settings do not fit the method or the model.
        UserError: if the written folder does not give the logits that were computed; nothing is written then.
    """
    import torch

    from lit_llm.report import open_run

    opened = open_run(run, checkpoint)
    model = opened.model
    method = method or ("qat" if model.qat else "rtn")
    form = _format(model, method, settings)
    if method in PACKED:
        refuse_experts(model.language_model, "--method", f"leave {method} out")
    ids = torch.tensor([opened.data.format.encode(PROBE, None).input_ids])
    in_float32(model)
    trained = logits(model.network, ids)
    merged = model.merge_adapter().eval()
    plain_bytes = sum(weight.numel() * weight.element_size() for weight in merged.parameters())
    before = logits(merged, ids)
    with written_whole(output) as folder:
        quantizer = _quantizer(method, form, merged) if method in SKIPPING else None
        if method in compressor.METHODS:
            rows = _calibration(opened.data)
            wanted = compressor.compress(merged, method, form, rows, ids[0].tolist(), folder)
        elif quantizer:
            wanted = _save_bitsandbytes(merged, quantizer, folder, ids)
        else:
            _save_integers(merged, form, method, folder, model.ranges)
            wanted = trained if method == "qat" else logits(merged, ids)
        complete_folder(folder, model, opened.data, "quantized", output, opened.folder)
        difference = relative(reloaded_logits(folder, ids, quantizer), wanted)
        if difference > TOLERANCE:
            raise UserError(
                f"quantize: the logits of the written folder differ by {difference:.1e} of their size (limit "
                f"{TOLERANCE:.0e}): {output} was not written"
            )
        stored_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return (
        f"wrote {output} ({method}): {stored_bytes:,} bytes, {stored_bytes / plain_bytes:.2f} of the merged weights' "
        f"in float32; its logits are within {difference:.1e} of those computed before, {relative(wanted, before):.1e} "
        "from the unquantized ones (of their size)"
    )


def _format(model: LitLM, method: str, settings: dict[str, Any]) -> IntFormat:
    known = {"layers"} if method in SKIPPING else set(settings) if method in TUNABLE else set()
    for name in settings.keys() - known:
        raise ConfigError(f"--{name}: {method} has no such setting; it is one of {', '.join(TUNABLE)}")
    if method == "qat":
        if model.qat is None:
            raise ConfigError("--method: qat needs a run with model.qat; use rtn")
        return model.qat.format
    if model.qat:
        raise ConfigError(f"--method: {method} is not what the run was trained for; leave the option out")
    if method in ("w8a8", "smoothquant"):
        return IntFormat(bits=8, group_size=None)
    if "layers" in settings:
        try:
            settings = {**settings, "layers": json.loads(settings["layers"])}
        except json.JSONDecodeError as error:
            raise ConfigError(f"--layers: {settings['layers']!r} is no JSON: {error}") from error
        if not isinstance(settings["layers"], dict):
            raise ConfigError(f"--layers: {settings['layers']!r} is no JSON object of patterns and bits")
        if method in SKIPPING and any(bits is not None for bits in settings["layers"].values()):
            raise ConfigError(f"--layers: {method} has one width; null leaves layers out, or use rtn or hqq")
    if method in SKIPPING:
        return IntFormat(bits=4 if method == "nf4" else 8, group_size=None, **settings)
    if settings.get("group_size") == 0:
        settings = {**settings, "group_size": None}
    return IntFormat(**settings)


def _quantizer(method: str, form: IntFormat, merged: PreTrainedModel) -> Quantizer:
    """Return what stores all linear layers but those that ``form`` leaves out, and the head."""
    plan = form.plan(merged)
    skip = [name for name, layer in merged.named_modules() if hasattr(layer, "in_features") and name not in plan]
    return NF4(skip=skip) if method == "nf4" else Int8(skip=skip)


def _calibration(data: LMData) -> list[list[int]]:
    """Return the token ids of training rows, evenly spaced over the file.

    Raises:
        ConfigError: if the rows are more than text, or of several sources.
    """
    if not data.tasks <= {"extraction", "translation"} or not data.files.get("train"):
        raise ConfigError(f"--method: {type(data).__name__} gives no rows of text to calibrate with; use rtn or hqq")
    data.setup("fit")
    rows = data.splits["train"].rows
    count = min(len(rows), CALIBRATION)
    return [list(rows[at * len(rows) // count].encoded.input_ids) for at in range(count)]


def _save_integers(merged: PreTrainedModel, form: IntFormat, method: str, folder: Path, ranges: Any) -> None:
    """Round weights in place, to the ranges that a run has kept, and write them."""
    from lit_llm.quantization.packed import save_packed
    from lit_llm.quantization.qat import range_key

    plan = form.plan(merged)
    stored = {}
    for name, bits in plan.items():
        layer: Any = merged.get_submodule(name)
        own = ranges[range_key(name)] if ranges else None
        stored[name] = form.integers(layer.weight, bits, "hqq" if method == "hqq" else "rtn", own)
        layer.weight.data = stored[name].weight().to(layer.weight.dtype)
    save_packed(merged, stored, form, folder)


def _save_bitsandbytes(merged: PreTrainedModel, quantizer: Quantizer, folder: Path, ids: torch.Tensor) -> torch.Tensor:
    """Write weights as bitsandbytes stores them; return the logits of what is in memory."""
    from transformers import AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as plain:
        merged.save_pretrained(plain, safe_serialization=True)
        settings: dict[str, Any] = {"quantization_config": quantizer.loading_config(merged.dtype)}
        settings |= {"dtype": merged.dtype, "device_map": {"": "cpu"}}
        stored = AutoModelForCausalLM.from_pretrained(plain, use_safetensors=True, **settings).eval()
    quantizer.after_loading(stored)
    stored.save_pretrained(folder, safe_serialization=True)
    return logits(stored, ids)
