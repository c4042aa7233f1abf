"""Models and tokenizers that no file is written of, and why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import models, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from lit_llm.errors import ConfigError
from lit_llm.llama_cpp import refusal, write_gguf
from lit_llm.llama_cpp.tokens import rule_of
from tests import families

WINDOW = {"use_sliding_window": True, "max_window_layers": 2, "sliding_window": 8}
PART = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "hybrid": (
        "Qwen3_5TextConfig",
        {},
        "type qwen3_5_text is not written, because some of its layers are no attention",
    ),
    "experts": ("Qwen3MoeConfig", {}, "type qwen3_moe is not written, because its experts"),
    "other experts": ("MixtralConfig", {}, "type mixtral is not written, because its experts"),
    "other": ("Gemma3TextConfig", {}, "type gemma3_text is not written, because this is done for llama, qwen2, qwen3"),
    "window": ("Qwen3Config", WINDOW, "see 8 tokens back"),
    "part": ("LlamaConfig", PART, "0.5 of each head"),
    "activation": ("Qwen2Config", {"hidden_act": "gelu"}, "its activation is gelu"),
    "biases": ("Qwen3Config", {"attention_bias": True}, "its attention has biases"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_written_is_said_with_its_reason(name: str) -> None:
    kind, fields, said = REFUSED[name]
    assert said in (refusal(getattr(transformers, kind)(**families.SHAPE | fields)) or "")


def test_rows_that_blocks_do_not_divide_are_refused(tmp_path: Path) -> None:
    model = families.build("qwen3", hidden_size=48, intermediate_size=40, head_dim=10)
    tokenizer: Any = AutoTokenizer.from_pretrained(families.TINY)
    said = "hidden_size 48 and intermediate_size 40 and num_attention_heads * head_dim 40"
    for kind in ("Q8_0", "Q4_0"):
        with pytest.raises(ConfigError, match=re.escape(said)):
            write_gguf(model, tokenizer, tmp_path / "out.gguf", kind)
    assert list(tmp_path.iterdir()) == []
    assert refusal(model.config, "F16") is None


def test_tokenizers_that_llama_cpp_does_not_have_are_refused() -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(families.TINY)
    backend = tokenizer.backend_tokenizer
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    with pytest.raises(ConfigError, match=re.escape("changes texts by NFC+Lowercase")):
        rule_of(tokenizer)
    backend.normalizer, backend.pre_tokenizer = normalizers.NFC(), pre_tokenizers.Whitespace()
    with pytest.raises(ConfigError, match=re.escape("cuts texts into \"It|'|LL|cost|123|")):
        rule_of(tokenizer)
    backend.model = models.Unigram([("a", 0.0)])
    with pytest.raises(ConfigError, match=re.escape("no byte-level BPE (Unigram)")):
        rule_of(tokenizer)
