"""Tokens in, loss and gradients out."""

from __future__ import annotations

import unicodedata
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_llm.adapters import LoRA
from lit_llm.adapters.targets import is_expert, linear_layers
from lit_llm.conformance.bench import ROWS, Bench, logits
from lit_llm.conformance.findings import WrongError
from lit_llm.errors import UserError
from lit_llm.models import CausalLM

LOSS = 1e-4
"""Largest relative difference of losses in float32."""

CUTS = ([[0, 1, 2, 3]], [[0, 1], [2, 3]], [[0], [1], [2], [3]])
"""An optimizer step as one micro-batch, two and four."""

PADDING = 7


def tokens(bench: Bench) -> str:
    """See that texts come back, and that each token has a row in the embedding."""
    tokenizer = bench.tokenizer
    if not tokenizer.is_fast:
        raise UserError("it is not a fast tokenizer; label masking needs its offsets")
    text = ROWS[1][0] + ROWS[3][0]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if tokenizer.decode(ids) != unicodedata.normalize("NFC", text):
        raise WrongError(f"does not give {text!r} back: {tokenizer.decode(ids)!r}")
    embedding: Any = bench.model.get_input_embeddings()
    rows = embedding.weight.shape[0]
    return f"{type(tokenizer).__name__}, {len(tokenizer):,} tokens for {rows:,} rows of the embedding"


def loss(bench: Bench) -> str:
    """Compare the loss that is trained with that of the model's own logits."""
    module = bench.opened()
    farthest = 0.0
    for place in range(len(ROWS)):
        batch = bench.batch([place])
        with torch.inference_mode():
            summed, count = module.summed_loss(batch)
            theirs = bench.model(input_ids=batch.input_ids).logits.float()
        own = F.cross_entropy(theirs[0, :-1], batch.labels[0, 1:], reduction="sum")
        if not torch.isfinite(own):
            raise WrongError(f"the model's own loss is {float(own)} in float32")
        farthest = max(farthest, abs(float(summed - own)) / max(float(own), count * LOSS))
    if farthest > LOSS:
        raise WrongError(f"the loss that is trained is {farthest:.1e} of its size off the model's own")
    return f"the model's own ({module.after_head})"


def layers(bench: Bench) -> str:
    """See that the model calls its linear layers: what reads their weights itself passes by whatever is put on them."""
    found = {name: layer for name, layer in linear_layers(bench.model).items() if not is_expert(name)}
    called: set[str] = set()
    hooks = [
        layer.register_forward_pre_hook(lambda _, __, name=name: called.add(name)) for name, layer in found.items()
    ]
    try:
        logits(bench.model, bench.probe())
    finally:
        for hook in hooks:
            hook.remove()
    around = sorted({name.rpartition(".")[2] for name in found if name not in called})
    if around:
        raise WrongError(
            f"the model reads the weights of {', '.join(around)} itself, so that adapters, quantizers and QAT would do "
            "nothing there, or go wrong"
        )
    return f"{len(found)} linear layers, all of them called"


def gradients(bench: Bench) -> str:
    """Compare an optimizer step's gradients over ways to cut it and widths of padding."""
    module = bench.module(adapter=LoRA(r=2))
    _move(module)
    exact = _takes_float64(module, bench)
    if not exact:
        module.float()
    limit, kind = (1e-6, "float64") if exact else (1e-4, "float32 (the model takes no float64)")
    wanted = _gradient(module, bench, CUTS[-1], 0)
    farthest = max(
        float((_gradient(module, bench, cut, padding) - wanted).norm() / wanted.norm())
        for cut in CUTS
        for padding in (0, PADDING)
    )
    if not farthest <= limit:
        raise WrongError(f"gradients of one step differ by {farthest:.1e} with its cut or padding ({kind})")
    return f"independent of batch and padding, in {kind}"


def _move(module: CausalLM) -> None:
    """Let an adapter that starts at nothing change something."""
    torch.manual_seed(0)
    for weight in module.parameters():
        if weight.requires_grad:
            weight.data.normal_(std=0.02)


def _takes_float64(module: CausalLM, bench: Bench) -> bool:
    module.double()
    try:
        module.summed_loss(bench.batch([0]))
    except (RuntimeError, ValueError, TypeError):
        return False
    return True


def _gradient(module: CausalLM, bench: Bench, cut: list[list[int]], padding: int) -> Tensor:
    module.zero_grad()
    for places in cut:
        module.summed_loss(bench.batch(places, padding))[0].backward()
    return torch.cat([w.grad.flatten().double() for w in module.parameters() if w.grad is not None])
