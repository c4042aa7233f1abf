"""Files of every family that is written, opened by llama.cpp itself: the same tokens, greedily and in probability."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import AutoTokenizer

from lit_llm.errors import UserError
from lit_llm.llama_cpp import Engine, compared, opened, write_gguf
from lit_llm.llama_cpp.engine import TEXTS
from lit_llm.llama_cpp.tokens import rule_of
from lit_llm.sharing import normalized
from tests import families

pytest.importorskip("xllamacpp")

PROMPT = [999, 5, 6, 7, 8, 9, 10, 11, 12, 40, 41]
STRETCHED = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "rope_theta": 3e4, "factor": 4.0, "original_max_position_embeddings": 16}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("qwen3", {"head_dim": 16}),
    "narrow heads": ("qwen3", {"head_dim": 6, "num_attention_heads": 8}),
    "wide heads, untied": ("qwen3", {"head_dim": 96, "tie_word_embeddings": False}),
    "qwen2, yarn": ("qwen2", {"rope_parameters": YARN}),
    "llama": ("llama", {}),
    "llama, own heads and biases": ("llama", {"head_dim": 24, "attention_bias": True, "mlp_bias": True}),
    "llama 3": ("llama", {"rope_parameters": STRETCHED, "tie_word_embeddings": False}),
    "llama, linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}}),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(families.TINY)


def build(family: str, **fields: Any) -> Any:
    """Return a tiny model in which no two tensors, biases and norms included, are alike."""
    model = families.build(family, **{"num_hidden_layers": 2} | fields)
    for at, weight in enumerate(model.parameters()):
        if weight.dim() == 1:
            weight.data += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(at))
    return model


FAST = ("narrow heads", "llama, own heads and biases", "llama 3", "qwen2, yarn")


@pytest.mark.parametrize(
    "shape", [pytest.param(shape, marks=[] if shape in FAST else pytest.mark.slow) for shape in SHAPES]
)
def test_it_writes_as_transformers_does(shape: str, tokenizer: Any, tmp_path: Path) -> None:
    family, fields = SHAPES[shape]
    model = build(family, **fields)
    path = tmp_path / "model.gguf"
    write_gguf(model, tokenizer, path, "F32")
    wanted = model.generate(torch.tensor([PROMPT]), max_new_tokens=24, do_sample=False)[0, len(PROMPT) :].tolist()
    with Engine(path, 64) as engine:
        assert engine.write(PROMPT, 24) == wanted
    found = compared(path, model, tokenizer, PROMPT)
    assert found is not None
    assert found.equal == found.tokens > 0
    assert found.farthest <= 1e-3
    with torch.no_grad():
        again = opened(path, model.config)(torch.tensor([PROMPT])).logits
        assert (again - model(torch.tensor([PROMPT])).logits).abs().max() <= 1e-4


WORDS = r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""


def cut(pattern: str) -> Any:
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


CUTS: dict[str, Any] = {
    "qwen2": cut(WORDS % ""),
    "llama-bpe": cut(WORDS % "{1,3}"),
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}


@pytest.mark.parametrize("rule", CUTS)
def test_texts_are_cut_alike(rule: str, tmp_path: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(families.TINY)
    tokenizer.backend_tokenizer.pre_tokenizer = CUTS[rule]
    assert rule_of(tokenizer) == rule
    model = build("qwen2", num_hidden_layers=1)
    write_gguf(model, tokenizer, tmp_path / "model.gguf", "F16")
    with Engine(tmp_path / "model.gguf", 64) as engine:
        for text in (*TEXTS, "a  12345 b7\n", "QUE'RE 1 2  33   444\t5", "<|im_start|>user\n¿?¡! 😀👍🏽"):
            assert engine.tokens(text) == tokenizer(text)["input_ids"], text
        assert engine.tokens("cafe\u0301") != tokenizer("cafe\u0301")["input_ids"]
        assert engine.tokens(normalized(tokenizer, "cafe\u0301")) == tokenizer("cafe\u0301")["input_ids"]


def test_what_llama_cpp_reads_or_writes_otherwise_is_seen(tokenizer: Any, tmp_path: Path) -> None:
    model = build("llama")
    write_gguf(model, tokenizer, tmp_path / "model.gguf", "F32")
    model.model.layers[1].self_attn.q_proj.weight.data.mul_(1.5)
    found = compared(tmp_path / "model.gguf", model, tokenizer, PROMPT)
    assert found is not None
    assert found.farthest > 1e-2
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["LL cost"])
    with pytest.raises(UserError, match="as other tokens: token 4 is"):
        compared(tmp_path / "model.gguf", model, tokenizer, PROMPT)
    (tmp_path / "bad.gguf").write_bytes(b"GGUF0000")
    with pytest.raises(UserError, match="does not open"):
        Engine(tmp_path / "bad.gguf", 64)
