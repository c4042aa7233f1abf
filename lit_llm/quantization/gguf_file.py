"""GGUF, the file format of llama.cpp: a model and its tokenizer in one file, with plain or quantized weights."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from lit_llm.errors import ConfigError, UserError
from lit_llm.generation.stopping import own_templates

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GgufType = Literal["F32", "F16", "BF16", "Q8_0", "Q4_0"]
GGUF_TYPES: tuple[str, ...] = get_args(GgufType)

ARCHITECTURES = {"qwen2": "QWEN2", "qwen3": "QWEN3"}
"""Names of the models that can be written, by transformers and by gguf."""

PIECES = ("It", "'LL", " cost", " ", "1", "2", "3", " ", " now", "\n\n", " ok", ",", " ¿", "sí", "?")
"""A text, cut into pieces as llama.cpp's rule ``qwen2`` does before it looks for tokens."""


SCALED = ("linear", "yarn")
"""Ways to stretch rotary positions that llama.cpp knows for these models; the others it would leave out in silence."""


def write_gguf(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    path: Path,
    kind: GgufType,
    ends: Sequence[int] = (),
) -> None:
    """Write a causal LM and its tokenizer; its matrices become, in place, the numbers that the file stands for.

    Args:
        model: plain, of the Qwen2 or Qwen3 architecture.
        tokenizer: its byte-level BPE tokenizer.
        path: the file.
        kind: how matrices are stored: plain floats, or blocks of 32 weights with a scale in 8 (``Q8_0``) or 4 bits
            (``Q4_0``). Vectors stay in float32.
        ends: tokens that end an answer; by default the tokenizer's own end token.

    Raises:
        ConfigError: if gguf is missing, or the model or its tokenizer is of another kind.
    """
    try:
        import gguf
    except ImportError as error:
        raise ConfigError("--gguf: it needs the package gguf: pip install -e '.[quantization]'") from error
    config: Any = model.config
    if config.model_type not in ARCHITECTURES:
        raise ConfigError(f"--gguf: {config.model_type} is not supported; it is one of {', '.join(ARCHITECTURES)}")
    rope = _rope(config)
    architecture = gguf.MODEL_ARCH[ARCHITECTURES[config.model_type]]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture])
    _describe(writer, config, gguf.LlamaFileType["ALL_F32" if kind == "F32" else f"MOSTLY_{kind}"])
    _add_rope(writer, rope)
    _add_tokenizer(writer, tokenizer, config.vocab_size)
    _add_ends(writer, list(ends) or [tokenizer.eos_token_id])
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for key, weight in model.named_parameters():
        stored = gguf.GGMLQuantizationType[kind if weight.dim() > 1 else "F32"]
        values = gguf.quantize(weight.detach().float().numpy(), stored)
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ConfigError(f"--gguf: the format has no name for {key} of {config.model_type}; use --merged")
        writer.add_tensor(name, values, raw_dtype=stored)
        weight.data = weight.new_tensor(np.asarray(gguf.dequantize(values, stored)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llama_cpp_logits(path: Path, text: str, ids: Sequence[int]) -> torch.Tensor | None:
    """Return the logits ``[1, T, V]`` that llama.cpp computes for a row; None where its Python binding is missing.

    Args:
        path: the file.
        text: of the row.
        ids: its tokens.

    Raises:
        UserError: if llama.cpp reads the text as other tokens.
    """
    try:
        import llama_cpp
    except ImportError:
        return None
    import torch

    # Keys and values are rounded to 16 bits unless their type is named.
    exact: dict[str, Any] = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
    model = llama_cpp.Llama(str(path), n_ctx=len(ids), logits_all=True, n_gpu_layers=0, verbose=False, **exact)
    read = model.tokenize(text.encode(), add_bos=False, special=True)
    if read != list(ids):
        raise UserError(f"export: llama.cpp reads a text as {len(read)} other tokens: {path} was not written")
    model.eval(list(ids))
    return torch.from_numpy(model.scores[: len(ids)].copy())[None]


def _describe(writer: Any, config: Any, file_type: int) -> None:
    """Add the sizes of the model."""
    writer.add_file_type(file_type)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_vocab_size(config.vocab_size)


def head_dim_of(path: Path) -> int:
    """Return the numbers of a key of one head, as a file says it."""
    import gguf

    fields = gguf.GGUFReader(path).fields
    return int(fields[f"{fields['general.architecture'].contents()}.attention.key_length"].contents())


def rope_of(path: Path) -> dict[str, Any]:
    """Return what a file says of rotary positions, as ``rope_parameters`` of transformers.

    transformers itself reads ``rope_theta`` alone.
    """
    import gguf

    fields = gguf.GGUFReader(path).fields
    architecture = fields["general.architecture"].contents()
    names = {
        "rope_theta": "freq_base",
        "rope_type": "scaling.type",
        "factor": "scaling.factor",
        "original_max_position_embeddings": "scaling.original_context_length",
    }
    found = {key: fields.get(f"{architecture}.rope.{name}") for key, name in names.items()}
    return {"rope_type": "default"} | {key: field.contents() for key, field in found.items() if field is not None}


def _rope(config: Any) -> dict[str, Any]:
    """Return the rotary parameters of a model.

    Raises:
        ConfigError: if the file cannot say them.
    """
    rope: dict[str, Any] = {key: value for key, value in config.rope_parameters.items() if value is not None}
    kind = rope.setdefault("rope_type", "default")
    if kind == "default":
        return rope
    if kind not in SCALED:
        raise ConfigError(
            f"--gguf: the base stretches its positions by rope_type {kind!r}, and for its architecture the format says "
            f"{' and '.join(SCALED)} alone; use --merged"
        )
    if kind == "yarn":
        rope.setdefault("original_max_position_embeddings", config.max_position_embeddings)
        _check_yarn(rope)
    return rope


def _check_yarn(rope: dict[str, Any]) -> None:
    """Refuse what a reader would leave out in silence: every llama.cpp knows the usual values alone."""
    usual: dict[str, float] = {"beta_fast": 32, "beta_slow": 1, "truncate": True}
    usual["attention_factor"] = 0.1 * math.log(rope["factor"]) + 1
    known = {"rope_type", "rope_theta", "factor", "original_max_position_embeddings"}
    for name in rope.keys() - known:
        if name not in usual or abs(rope[name] - usual[name]) > 1e-6:
            raise ConfigError(
                f"--gguf: the base stretches its positions by yarn with {name} {rope[name]}, which not every llama.cpp "
                "reads; use --merged"
            )


def _add_rope(writer: Any, rope: dict[str, Any]) -> None:
    from gguf import RopeScalingType

    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] != "default":
        writer.add_rope_scaling_type(RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
    if "original_max_position_embeddings" in rope:
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])


def _add_ends(writer: Any, ends: list[int | None]) -> None:
    """Add the tokens that end an answer; llama.cpp has three names for them, and stops at each."""
    names = writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id
    for add, token in zip(names, ends, strict=False):
        if token is not None:
            add(token)


def _add_tokenizer(writer: Any, tokenizer: Any, size: int) -> None:
    """Add tokens, merges and the chat template; ids beyond the tokenizer's get a name that no text has."""
    from gguf import TokenType

    cut = tokenizer.backend_tokenizer.pre_tokenizer
    text = "".join(PIECES)
    found = tuple(text[begin:end] for _, (begin, end) in cut.pre_tokenize_str(text)) if cut else (text,)
    if found != PIECES:
        raise ConfigError(f"--gguf: the tokenizer cuts texts into {found} and not as Qwen2's {PIECES}; use --merged")
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens, types = [f"[PAD{at}]" for at in range(size)], [TokenType.UNUSED] * size
    for token, at in parts["model"]["vocab"].items():
        tokens[at], types[at] = token, TokenType.NORMAL
    for token in parts["added_tokens"]:
        kind = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
        tokens[token["id"]], types[token["id"]] = token["content"], kind
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = parts["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    # The template writes it, by the name that the file gives it.
    writer.add_add_bos_token(False)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    if named := own_templates(tokenizer):
        writer.add_chat_template([{"name": name, "template": text} for name, text in named.items()])
