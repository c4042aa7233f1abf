"""The embedded base: a real Qwen3 that copies what it has never seen."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from safetensors import safe_open

BASE = "checkpoints/qwen3-tiny"


def test_shape_is_what_quantizers_and_exports_need(root: Path) -> None:
    config = json.loads((root / BASE / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert config["head_dim"] == 128
    assert config["num_attention_heads"] > config["num_key_value_heads"]
    assert config["tie_word_embeddings"]
    widths = [config["hidden_size"], config["intermediate_size"], config["vocab_size"]]
    assert all(width % 128 == 0 for width in widths)
    assert (root / BASE / "model.safetensors").stat().st_size <= 16_000_000
    with safe_open(root / BASE / "model.safetensors", "pt") as weights:
        assert "model.layers.0.self_attn.q_norm.weight" in weights.keys()  # noqa: SIM118


def test_copies_strings_that_it_has_never_seen(root: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lit_llm.data.tokens.prompting import ChatFormat
    from lit_llm.generation import Generator, generate_rows

    rng = random.Random("unseen strings")
    letters = "abcdefghijlmnopqrstuvyzñáéíóú"
    words = ["".join(rng.choices(letters, k=rng.randint(3, 9))) for _ in range(64)]
    values = [" ".join(rng.sample(words, rng.randint(1, 3))) for _ in range(64)]
    model = AutoModelForCausalLM.from_pretrained(root / BASE).eval()
    tokenizer = AutoTokenizer.from_pretrained(root / BASE)
    form = ChatFormat(tokenizer)
    prompts = [form.encode(f"copia: {value}", None).input_ids for value in values]
    answers = generate_rows(Generator(max_new_tokens=60, stop="json"), model, tokenizer, prompts, batch_size=64)
    right = sum(
        a.text == json.dumps({"v": v}, ensure_ascii=False, separators=(",", ":"))
        for a, v in zip(answers, values, strict=True)
    )
    print(f"{right} of {len(values)} strings copied")
    assert right >= 0.9 * len(values)


@pytest.mark.parametrize("thinking", [None, False, True])
def test_template_thinks_as_the_hybrid_qwen3(thinking: bool | None, root: Path, real_data: Path) -> None:
    from transformers import AutoTokenizer

    ours = AutoTokenizer.from_pretrained(root / BASE)
    theirs = (real_data / "tokenizers/qwen3/chat_template.jinja").read_text()
    conversations = [
        [{"role": "user", "content": "a"}],
        [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nx\n</think>\n\nb"}],
    ]
    options = {} if thinking is None else {"enable_thinking": thinking}
    for messages in conversations:
        for ask in (False, True):
            rendered = [
                ours.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask, **options, **template)
                for template in ({}, {"chat_template": theirs})
            ]
            assert rendered[0] == rendered[1]
