"""Folders of packed integers, compressed-tensors' format ``pack-quantized``, which transformers and vLLM open."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lit_llm.errors import ConfigError, UserError
from lit_llm.quantization.integers import Integers, IntFormat

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def save_packed(model: PreTrainedModel, stored: Mapping[str, Integers], form: IntFormat, folder: Path) -> None:
    """Write a causal LM with some of its weights as integers, and its configuration.

    Args:
        model: plain; the weights in ``stored`` are taken from there.
        stored: integers by the name of their layer.
        form: how they are stored.
        folder: is made.

    Raises:
        UserError: if inputs are rounded, which this format does not say exactly.
    """
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    if form.activations != "none":
        raise UserError(
            "quantize: inputs in 8 bits are rounded otherwise by the libraries that read this format; use activations: "
            "none, or predict with the run itself"
        )
    tensors: dict[str, torch.Tensor] = {k: v.detach() for k, v in model.state_dict().items()}
    plan = form.plan(model)
    for name, integers in stored.items():
        weight = tensors.pop(f"{name}.weight")
        tensors[f"{name}.weight_packed"] = pack_to_int32(integers.values, plan[name])
        tensors[f"{name}.weight_scale"] = integers.scales.to(weight.dtype)
        tensors[f"{name}.weight_shape"] = weight.new_tensor(weight.shape).long()
    model.config.quantization_config = _description(model, plan, form)
    try:
        model.save_pretrained(folder, state_dict=tensors, safe_serialization=True)
    finally:
        del model.config.quantization_config


def unpacked(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model of plain weights from one that transformers has read from a folder of stored ones.

    Raises:
        ConfigError: if the folder says that inputs or the cache are rounded too, or is stored in another way.
    """
    import torch

    stored = model.config.quantization_config
    facts = stored if isinstance(stored, dict) else stored.to_dict()
    method = str(getattr(facts["quant_method"], "value", facts["quant_method"]))
    if method == "bitsandbytes":
        return cast("PreTrainedModel", model.dequantize())  # type: ignore[no-untyped-call]
    if method != "compressed-tensors":
        raise ConfigError(
            f"model.init_args.backbone: its weights are stored by {method}; name a folder of plain weights"
        )
    inner = facts.get("quantization_config") or facts
    groups = list((inner.get("config_groups") or {}).values())
    read = [group if isinstance(group, dict) else group.model_dump() for group in groups]
    if inner.get("kv_cache_scheme") or any(g.get("input_activations") or g.get("output_activations") for g in read):
        raise ConfigError(
            "model.init_args.backbone: this folder rounds inputs or its cache too, which plain weights would not do; "
            "open it with transformers, or name one that rounds weights alone"
        )
    # The first forward pass unpacks; what transformers does while loading takes one width for all layers.
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device))
    left = ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx")
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(left)}
    config = copy.deepcopy(model.config)
    del config.quantization_config
    attention = model.config._attn_implementation
    plain: PreTrainedModel = type(model).from_pretrained(
        None, config=config, state_dict=tensors, dtype=model.dtype, attn_implementation=attention
    )
    return plain


def _description(model: Any, plan: Mapping[str, int], form: IntFormat) -> dict[str, Any]:
    """Return what compressed-tensors reads from ``config.json``."""
    from torch import nn

    groups = {}
    for at, bits in enumerate(sorted(set(plan.values()))):
        weights: dict[str, Any] = {"num_bits": bits, "type": "int", "symmetric": True, "dynamic": False}
        weights |= {"strategy": "group", "group_size": form.group_size} if form.group_size else {"strategy": "channel"}
        targets = [name for name, width in plan.items() if width == bits]
        groups[f"group_{at}"] = {"targets": targets, "weights": weights, "format": "pack-quantized"}
    left = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name not in plan]
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": left,
    }
