"""Where the factors of LoRA start: taken out of the frozen weight (PiSSA, OLoRA), or from the layers' inputs (EVA)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lit_llm.adapters.base import is_quantized
from lit_llm.batch import Batch
from lit_llm.errors import ConfigError


def factorise(name: str, layer: Any, kind: str, adapter: str) -> None:
    """Start ``A`` and ``B`` from the frozen weight and take ``s·B·A`` out of it, computed in float32."""
    base, r, scale = layer.get_base_layer(), layer.r[adapter], layer.scaling[adapter]
    if is_quantized(base):
        raise ConfigError(f"adapter.init: {kind!r} changes the frozen weights, but {name} is quantized; use 'default'")
    if r > min(base.weight.shape):
        raise ConfigError(f"adapter.r: {kind!r} allows at most {min(base.weight.shape)} at {name}, got {r}")
    weight = base.weight.float()
    if kind == "pissa":
        u, s, vh = torch.linalg.svd(weight, full_matrices=False)
        # Each side gets half of a singular value, so that both learn at like sizes.
        root = (s[:r] / scale).sqrt()
        b, a = u[:, :r] * root, root.unsqueeze(1) * vh[:r]
    else:
        q, upper = torch.linalg.qr(weight)
        b, a = q[:, :r], upper[:r]
    layer.lora_A[adapter].weight.data, layer.lora_B[adapter].weight.data = a.contiguous(), b.contiguous()
    base.weight.data = (weight - scale * b @ a).to(base.weight.dtype)
    layer.taken = (a.cpu().clone(), b.cpu().clone())


def take_out(layer: Any, a: Tensor, b: Tensor, adapter: str) -> None:
    """Make ``s·b·a`` what is missing from the frozen weight; another machine's SVD may have taken other factors."""
    old_a, old_b = layer.taken
    if torch.equal(old_a, a) and torch.equal(old_b, b):
        return
    base = layer.get_base_layer()
    change = (layer.scaling[adapter] * (old_b @ old_a - b @ a)).to(base.weight.device)
    base.weight.data = (base.weight.float() + change).to(base.weight.dtype)
    layer.taken = (a.clone(), b.clone())


def split(name: str, layer: Any, tensors: dict[str, Tensor], kind: str, adapter: str) -> None:
    """Part a doubled LoRA into what was learned, left in ``tensors``, and what was taken out of the base."""
    key_a, key_b, r = f"{name}.lora_A.weight", f"{name}.lora_B.weight", layer.r[adapter]
    found = len(tensors[key_a]) if key_a in tensors and key_b in tensors else 0
    if found != 2 * r:
        raise ConfigError(f"adapter.init: {kind!r} is saved with twice the rank, {2 * r}, but {name} has {found}")
    take_out(layer, tensors[key_a][r:].clone(), -tensors[key_b][:, r:], adapter)
    tensors[key_a], tensors[key_b] = tensors[key_a][:r], tensors[key_b][:, :r]


class Passes(list[dict[str, Tensor]]):
    """Batches that EVA goes over until its directions settle, which they never do if there are too few to find."""

    left = 30

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        self.left -= 1
        if self.left < 0:
            raise ConfigError("adapter.init: EVA's directions do not settle: use a lower r, or more eva_batches")
        return super().__iter__()


def real_tokens(inputs: dict[str, Tensor], _: Any) -> Tensor:
    """Return ``[N, 2]`` positions of the tokens that are not padding."""
    return inputs["attention_mask"].nonzero()


def model_inputs(batch: Batch) -> dict[str, Tensor]:
    """Return what a Hugging Face model takes of a batch."""
    given = {"input_ids": batch.input_ids, "inputs_embeds": batch.inputs_embeds, "position_ids": batch.position_ids}
    kept = {key: value for key, value in given.items() if value is not None}
    return {"attention_mask": batch.attention_mask, **kept}
