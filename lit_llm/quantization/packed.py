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
    import torch
    from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32

    if form.activations != "none":
        raise UserError(
            "quantize: inputs in 8 bits are rounded otherwise by the libraries that read this format; use activations: "
            "none, or predict with the run itself"
        )
    tensors = _shortened(model.state_dict())
    plan = form.plan(model)
    for name, integers in stored.items():
        weight = tensors.pop(f"{name}.weight")
        tensors[f"{name}.weight_packed"] = pack_to_int32(integers.values, plan[name])
        tensors[f"{name}.weight_scale"] = integers.scales
        tensors[f"{name}.weight_shape"] = torch.tensor(weight.shape)
    model.config.quantization_config = _description(model, plan, form)
    try:
        model.save_pretrained(folder, state_dict=tensors, safe_serialization=True)
    finally:
        del model.config.quantization_config


def _shortened(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors, in bfloat16 where that has all of their numbers, as of a base in 16 bits that has not learned.

    Those that share their memory share it in the result.
    """
    import torch

    short = {tensor.data_ptr(): tensor.detach().bfloat16() for tensor in tensors.values()}
    found = {name: (tensor.detach(), short[tensor.data_ptr()]) for name, tensor in tensors.items()}
    return {
        name: half if whole.dtype == torch.float32 and half.float().equal(whole) else whole
        for name, (whole, half) in found.items()
    }


def unpacked(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model of plain weights from one that transformers has read from a folder of stored ones.

    Where the folder says that inputs are rounded too, its layers do so, and ``refuse_to_learn`` knows.

    Raises:
        ConfigError: if the folder says that outputs or the cache are rounded too, or is stored in another way.
    """
    import torch

    stored = model.config.quantization_config
    facts, method = _facts(stored), _method(stored)
    if method == "bitsandbytes":
        return cast("PreTrainedModel", model.dequantize())  # type: ignore[no-untyped-call]
    if method != "compressed-tensors":
        raise ConfigError(
            f"model.init_args.backbone: its weights are stored by {method}; name a folder of plain weights"
        )
    inner = facts.get("quantization_config") or facts
    groups = list((inner.get("config_groups") or {}).values())
    read = [group if isinstance(group, dict) else group.model_dump() for group in groups]
    if inner.get("kv_cache_scheme") or any(g.get("output_activations") for g in read):
        raise ConfigError(
            "model.init_args.backbone: this folder rounds outputs or its cache too, which is not done here; open it "
            "with transformers, or name one that rounds weights and inputs alone"
        )
    # The first forward pass unpacks; what transformers does while loading takes one width for all layers.
    with torch.no_grad():
        model(input_ids=torch.zeros(1, 1, dtype=torch.long, device=model.device))
    if any(g.get("input_activations") for g in read):
        return model
    left = ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx")
    tensors = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith(left)}
    config = copy.deepcopy(model.config)
    del config.quantization_config
    attention = model.config._attn_implementation
    plain: PreTrainedModel = type(model).from_pretrained(
        None, config=config, state_dict=tensors, dtype=model.dtype, attn_implementation=attention
    )
    return plain


def _facts(stored: Any) -> dict[str, Any]:
    found: dict[str, Any] = stored if isinstance(stored, dict) else stored.to_dict()
    return found


def _method(stored: Any) -> str:
    """Return who has stored weights, given a ``quantization_config``."""
    method = _facts(stored)["quant_method"]
    return str(getattr(method, "value", method))


def refuse_stored_otherwise(backbone: str, config: Any, wanted: Any) -> None:
    """Refuse to let a quantizer store what is stored in another way already; transformers would keep that way.

    Args:
        backbone: where the weights are.
        config: the model's configuration.
        wanted: what the quantizer asks transformers for.

    Raises:
        ConfigError: if the weights are stored otherwise.
    """
    stored = getattr(config, "quantization_config", None)
    if stored is None:
        return
    facts, asked = _facts(stored), wanted.to_dict()
    if any(facts.get(key) != asked.get(key) for key in ("quant_method", "load_in_4bit")):
        raise ConfigError(
            f"model.init_args.quantizer: the weights of {backbone} are stored by {facts['quant_method']} already, in "
            "another way; leave the quantizer out, or name a folder of plain weights"
        )


def refuse_to_learn(model: PreTrainedModel) -> None:
    """Refuse to train through a model of ``unpacked`` whose layers round their inputs.

    Raises:
        ConfigError: if it is one.
    """
    stored = getattr(model.config, "quantization_config", None)
    if stored is not None and _method(stored) == "compressed-tensors":
        raise ConfigError(
            f"model.init_args.backbone: {model.name_or_path} rounds the inputs of its layers, which lets no gradient "
            "pass: it answers and cannot learn; train the model that it was made from"
        )


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
