"""Weights in fewer bits: quantized bases, quantization-aware training, and files for llama.cpp."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from typing import Any

import torch

from lit_llm.adapters import LoRA
from lit_llm.adapters.coverage import coverage
from lit_llm.conformance.adapting import LIMIT, train
from lit_llm.conformance.bench import Bench, apart, logits
from lit_llm.conformance.findings import WrongError
from lit_llm.errors import ConfigError
from lit_llm.llama_cpp import compared, opened, write_gguf
from lit_llm.quantization import NF4, QAT, Int8, Quantizer

QUANTIZERS: dict[str, type[Quantizer]] = {"NF4": NF4, "int8": Int8}
BITS, GROUP = 4, 32


def quantized(bench: Bench, name: str) -> str:
    """Train an adapter on a base whose weights are stored in fewer bits, and merge it."""
    try:
        import bitsandbytes  # noqa: F401 (asked for by name below)
    except ImportError as error:
        raise ConfigError("it needs the package bitsandbytes: pip install -e '.[quantization]'") from error
    module = bench.module(adapter=LoRA(r=4), quantizer=QUANTIZERS[name]())
    found = coverage(module.network)  # type: ignore[arg-type]
    layers = [share for share in found if "embedding" not in share.kind and share.kind != "output head"]
    stored = sum(share.stored for share in layers) / sum(share.weights for share in layers)
    train(module, bench)
    module.restore_weights()
    wanted = logits(module.network, bench.probe())
    difference = apart(logits(module.merge_adapter().eval(), bench.probe()), wanted)
    if not difference <= LIMIT:
        raise WrongError(f"merged, it answers otherwise: logits differ by {difference:.1e} of their size")
    left = [share.kind for share in layers if share.kind == "experts" and not share.stored]
    return f"stores {stored:.0%} of the layers' weights{', the experts not' if left else ''}; learns and merges"


def qat(bench: Bench) -> str:
    """Train with rounded weights, and compare with a model whose weights are the integers that would be stored."""
    rounding, plan, group = _rounding(bench)
    module = bench.module(adapter=LoRA(r=4), qat=rounding)
    train(module, bench)
    wanted = logits(module.network, bench.probe())
    merged = module.merge_adapter().eval()
    with torch.no_grad():
        for name, bits in plan.items():
            layer: Any = merged.get_submodule(name)
            layer.weight.copy_(rounding.format.integers(layer.weight, bits).weight())
    difference = apart(logits(merged, bench.probe()), wanted)
    if not difference <= LIMIT:
        raise WrongError(f"what is stored is not what was trained: logits differ by {difference:.1e} of their size")
    rounded = sum(weight.numel() for name in plan for weight in [merged.get_submodule(name).weight])
    share = rounded / sum(weight.numel() for weight in merged.parameters())
    return f"rounds {len(plan)} layers, {share:.0%} of all weights, in {group}; what is trained is what is stored"


def _rounding(bench: Bench) -> tuple[QAT, dict[str, int], str]:
    """Return what rounds groups of 32 weights where they divide all rows, else whole rows, and its layers."""
    model = bench.plain()
    try:
        rounding = QAT(bits=BITS, group_size=GROUP)
        return rounding, rounding.plan(model), f"groups of {GROUP}"
    except ConfigError as error:
        if "group_size" not in str(error):
            raise
        rounding = QAT(bits=BITS, group_size=None)
        return rounding, rounding.plan(model), "whole rows"


def gguf(bench: Bench) -> str:
    """Write a file for llama.cpp, read it back, and let llama.cpp itself go on from it where it is installed."""
    model, path = bench.plain(), bench.place / "model.gguf"
    wanted, prompt = logits(model, bench.probe()), bench.probe()[0].tolist()
    with redirect_stderr(io.StringIO()):  # transformers shows its progress
        write_gguf(model, bench.tokenizer, path, "F32")
        difference = apart(logits(opened(path, model.config), bench.probe()), wanted)
    if not difference <= LIMIT:
        raise WrongError(f"read back, it answers otherwise: logits differ by {difference:.1e} of their size")
    found = compared(path, model, bench.tokenizer, prompt)
    if found is None:
        return "written and read back (xllamacpp is not installed, so llama.cpp was not asked)"
    if found.equal < found.tokens:
        raise WrongError(f"llama.cpp writes {found.tokens - found.equal} of {found.tokens} tokens otherwise")
    return f"written and read back; llama.cpp writes the same {found.tokens} tokens"
