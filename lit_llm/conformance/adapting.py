"""Adapters: what they reach, and whether what they learn survives saving, reopening and merging."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lit_llm.adapters import AdaLoRA, Adapter, DoRA, Full, LoRA, VeRA, causal_lm
from lit_llm.adapters.coverage import coverage
from lit_llm.conformance.bench import Bench, apart, logits
from lit_llm.conformance.findings import WrongError
from lit_llm.models import CausalLM

ADAPTERS: dict[str, Callable[[], Adapter]] = {
    "LoRA": lambda: LoRA(r=4),
    "DoRA": lambda: DoRA(r=4),
    "VeRA": lambda: VeRA(r=16),
    "AdaLoRA": lambda: AdaLoRA(r=2, initial_r=4, interval=1),
    "Full": Full,
}
STEPS = 3
LIMIT = 1e-3
"""Largest difference of logits, relative to their largest."""


def reached(bench: Bench, name: str) -> str:
    """Put an adapter on the base as it was opened, and take it off again."""
    adapter = ADAPTERS[name]()
    network: Any = adapter.wrap(bench.model)
    try:
        return shares(network, adapter)
    finally:
        if network is not bench.model:
            bench.model = network.base_model.unload()
        bench.model.requires_grad_(True)


def learned(bench: Bench, name: str) -> str:
    """Train an adapter some steps; save, reopen and merge it."""
    adapter = ADAPTERS[name]()
    module = bench.module(adapter=adapter)
    before, ids = logits(module.network, bench.probe()), bench.probe()
    train(module, bench)
    wanted = logits(module.network, ids)
    if not apart(wanted, before) > 0:
        raise WrongError(f"{STEPS} steps have changed nothing")
    folder = bench.place / name
    module.adapter.save(module.network, folder)  # type: ignore[arg-type]
    again = bench.module(adapter=ADAPTERS[name]())
    again.adapter.load(again.network, folder)  # type: ignore[arg-type]
    _compare(logits(again.network, ids), wanted, "reopened")
    if adapter.folder == "adapter":
        from peft import PeftModel

        _compare(logits(PeftModel.from_pretrained(bench.plain(), folder).eval(), ids), wanted, "reopened by PEFT,")
    merged = module.merge_adapter().eval()
    _compare(logits(merged, ids), wanted, "merged")
    whole = bench.place / f"{name}-merged"
    merged.save_pretrained(whole, safe_serialization=True)
    _compare(logits(_reopened(merged, whole), ids), wanted, "merged, saved and reopened")
    return f"learns, reopens and merges; {shares(again.network, adapter)}"


def train(module: CausalLM, bench: Bench) -> None:
    """Do some optimizer steps.

    Raises:
        WrongError: the loss or a gradient is not finite.
    """
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-3)
    batch = bench.batch([0, 1, 2, 3])
    module.train()
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        summed, count = module.summed_loss(batch)
        penalty = module.adapter.penalty(module.network)  # type: ignore[arg-type]
        (summed / count + (0 if penalty is None else penalty)).backward()
        if not all(bool(torch.isfinite(w.grad).all()) for w in weights if w.grad is not None):
            raise WrongError(f"the loss is {float(summed / count):g} and its gradient not finite")
        optimizer.step()
        module.adapter.after_step(module.network, step, STEPS)  # type: ignore[arg-type]
    module.eval()


def shares(network: Any, adapter: Adapter) -> str:
    """Return in words which share of the weights of each kind of layer is reached."""
    found = [share for share in coverage(network) if share.kind not in ("norms", "routers")]
    words = [f"{share.kind} {share.adapted / share.weights:.0%}" for share in found]
    left = any(share.kind == "experts" and not share.adapted for share in found)
    reason = adapter.experts_left() if left and hasattr(adapter, "experts_left") else ""
    return "reaches " + ", ".join(words) + (f" ({reason})" if reason else "")


def _reopened(merged: Any, folder: Any) -> Any:
    from transformers import AutoModelForCausalLM

    attention = causal_lm(merged).config._attn_implementation
    settings = {"use_safetensors": True, "attn_implementation": attention, "dtype": torch.float32}
    return AutoModelForCausalLM.from_pretrained(folder, **settings).eval()


def _compare(found: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
    difference = apart(found, wanted)
    if not difference <= LIMIT:
        raise WrongError(f"{what} it answers otherwise: logits differ by {difference:.1e} of their size")
