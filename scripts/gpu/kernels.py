"""Kernels of other packages for linear attention beside transformers' own code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch

from lit_llm.models import kernels
from scripts.gpu import sizes, speed

MODULE = "transformers.models.qwen3_5.modeling_qwen3_5"


@contextmanager
def own_code() -> Iterator[None]:
    """Compute with transformers' own code, whatever is installed."""
    namespace = vars(sys.modules[MODULE])
    chosen = {name: function for name, function in namespace.items() if replaceable(function)}
    namespace.update({name: function.__wrapped__ for name, function in chosen.items()})
    try:
        yield
    finally:
        namespace.update(chosen)


def replaceable(function: Any) -> bool:
    """Whether a function stands for one of another package, here or where lit_llm chooses by the device."""
    where = getattr(function, "__globals__", {}).get("__name__")
    return where in (kernels.CHOOSER, kernels.__name__) and hasattr(function, "__wrapped__")


def beside_own_code(folder: Path, tiny: bool) -> Mapping[str, Any]:
    """Compare loss and gradients of one batch with the kernels that are installed and without them."""
    from transformers import AutoModelForCausalLM

    if not torch.cuda.is_available():
        return {"skipped": "the kernels compute on a GPU alone"}
    base = sizes.base(folder, sizes.NAMES[2], tiny)
    batch = speed.loaded(base, folder, tiny, 4)[0].to(speed.device())
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).to(speed.device())
    found: dict[str, Any] = {"installed": [name for name in ("fla", "causal_conv1d") if name in sys.modules]}
    gradients = []
    for name, way in (("kernels", None), ("own_code", own_code)):
        seen = timed(model, batch, way)
        gradients.append(seen.pop("gradients"))
        found |= {f"{name}_{key}": value for key, value in seen.items()}
    ours, theirs = gradients
    return found | {"gradients_differ_by": round(float((ours - theirs).norm() / theirs.norm()), 5)}


def timed(model: Any, batch: Any, way: Callable[[], Any] | None) -> dict[str, Any]:
    """Return the loss of a batch, its gradients by the norms' weights and the seconds of a step."""
    with way() if way else nullcontext():
        for _ in range(2):
            model.zero_grad()
            speed.synchronize()
            start = time.perf_counter()
            loss = model(batch.input_ids, attention_mask=batch.attention_mask, labels=batch.labels).loss
            loss.backward()
            speed.synchronize()
            seconds = time.perf_counter() - start
    learned = [weight.grad.flatten().float() for name, weight in model.named_parameters() if "layernorm" in name]
    return {"loss": round(float(loss), 5), "seconds": round(seconds, 4), "gradients": torch.cat(learned).cpu()}
