"""Writes GGUF, the file format of llama.cpp: a model and its tokenizer in one file, with plain or quantized weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_llm.errors import ConfigError, UserError
from lit_llm.llama_cpp.families import ARCHITECTURES, GgufType, add_rope, describe, in_order, refusal
from lit_llm.llama_cpp.tokens import add_ends, add_tokenizer

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def write_gguf(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    kind: GgufType,
    ends: Sequence[int] = (),
    rounded: Mapping[str, str] | None = None,
) -> None:
    """Write a causal LM and its tokenizer; its matrices become, in place, the numbers that the file stands for.

    Args:
        model: plain, of the Llama, Qwen2 or Qwen3 architecture.
        tokenizer: its byte-level BPE tokenizer.
        path: the file.
        kind: how matrices are stored: plain floats, or blocks of 32 weights with a scale in 8 (``Q8_0``) or 4 bits
            (``Q4_0``). Vectors stay in float32.
        ends: tokens that end an answer; by default the tokenizer's own end token.
        rounded: types of the parameters whose numbers lie on the blocks of such a type already, by name; then all other
            matrices are stored in plain floats that hold their numbers.

    Raises:
        ConfigError: if gguf is missing, or the model or its tokenizer is of another kind.
        UserError: if the file would change a number of ``rounded``.
    """
    try:
        import gguf
    except ImportError as error:
        raise ConfigError("--gguf: it needs the package gguf: pip install -e '.[quantization]'") from error
    config: Any = model.config
    if reason := refusal(config, kind):
        raise ConfigError(f"--gguf: {reason}; use --merged")
    architecture = gguf.MODEL_ARCH[ARCHITECTURES[config.model_type]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    describe(writer, config, gguf.LlamaFileType["ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"])
    add_rope(writer, config)
    add_tokenizer(writer, tokenizer, config.vocab_size)
    add_ends(writer, list(ends) or [tokenizer.eos_token_id])
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for key, weight in model.named_parameters():
        stored = gguf.GGMLQuantizationType[_type_of(key, weight, kind, rounded)]
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ConfigError(f"--gguf: the format has no name for {key} of {config.model_type}; use --merged")
        values = gguf.quantize(weight.detach().float().numpy(), stored)
        writer.add_tensor(name, in_order(values, key, config), raw_dtype=stored)
        kept = weight.new_tensor(np.asarray(gguf.dequantize(values, stored)))
        if rounded and not kept.equal(weight.data):
            raise UserError(f"export: {key} does not lie on the blocks of {stored.name}: {path} was not written")
        weight.data = kept
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _type_of(key: str, weight: Tensor, kind: str, rounded: Mapping[str, str] | None) -> str:
    if weight.dim() < 2:
        return "F32"
    if rounded is None:
        return kind
    import torch

    exact = "BF16" if torch.equal(weight.detach().bfloat16().float(), weight.detach().float()) else "F32"
    return rounded.get(key, exact)
