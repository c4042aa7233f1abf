"""Make the folder that pre-training the tiny base starts from: tokenizer, chat template, config and random weights.

python scripts/tiny_base/make_tiny_base.py --corpus tiny_corpus.jsonl --output tiny_start --seed 7
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedConfig

VOCABULARY = 1024
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Qwen2's split expression: a word with the character before it, single digits, punctuation, white space."""
TRAINING_SPLIT = r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+|\s"
"""Finer than ``SPLIT``: no merge then joins a word with what stands before it, so a word has the same tokens after a
space, a quote or a bracket, and copying it into JSON repeats tokens exactly."""
_SPECIAL = """<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|>
<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>"""
SPECIAL = _SPECIAL.split()
_ADDED = """<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>
<tool_response> </tool_response> <think> </think>"""
ADDED = _ADDED.split()
"""Qwen3 adds these as ordinary, not special tokens: decoding keeps them."""

CHAT_TEMPLATE = """\
{%- set last = namespace(user=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}{% set last.user = loop.index0 %}{% endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set text = message.content if message.content is string else '' %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.role == 'assistant' %}
        {%- set thought = message.reasoning_content if message.reasoning_content is string else '' %}
        {%- if '</think>' in text %}
            {%- set thought = thought or text.split('</think>')[0].split('<think>')[-1] %}
            {%- set text = text.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > last.user and (loop.last or thought) %}
            {{- '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' }}
            {%- set text = text.lstrip('\\n') %}
        {%- endif %}
    {%- endif %}
    {{- text + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}"""
"""ChatML with the hybrid Qwen3 models' rules for thinking; tools are not rendered."""


def texts(corpus: Path, count: int) -> Iterator[str]:
    """Yield what the tokenizer learns from: rows as they are trained on, with the role names of the template."""
    with corpus.open(encoding="utf-8") as file:
        for line in itertools.islice(file, count):
            row = json.loads(line)
            answer = json.dumps(row["json"], ensure_ascii=False, separators=(",", ":"))
            yield f"system\nuser\n{row['text']}\nassistant\n\n\n{answer}\n"


def make_tokenizer(corpus: Path, count: int) -> Tokenizer:
    """Return a byte-level BPE tokenizer of ``VOCABULARY`` tokens with Qwen's special tokens at the end."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(TRAINING_SPLIT), "isolated"), bytes_only]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(SPECIAL) - len(ADDED),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(corpus, count), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"), bytes_only])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(add_prefix_space=False, use_regex=False, trim_offsets=False)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t in ADDED])
    return tokenizer


FAMILIES: dict[str, tuple[str, dict[str, int]]] = {
    "qwen3": ("Qwen3Config", {}),
    "qwen3_5": (
        "Qwen3_5TextConfig",
        {
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
        },
    ),
}
"""The families that can be made, about equal in size: the configuration's class and what it alone is told."""


def make_config(family: str = "qwen3") -> PreTrainedConfig:
    """Return the shape: every width is a multiple of 128, as group quantization and GGUF ask for."""
    import transformers

    name, further = FAMILIES[family]
    config: PreTrainedConfig = getattr(transformers, name)(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=128,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        tie_word_embeddings=True,
        eos_token_id=VOCABULARY - len(ADDED) - len(SPECIAL) + SPECIAL.index("<|im_end|>"),
        pad_token_id=VOCABULARY - len(ADDED) - len(SPECIAL),
        bos_token_id=None,
        **further,
    )
    return config


def write(corpus: Path, output: Path, seed: int, count: int, family: str) -> None:
    """Write the folder; it opens with transformers alone."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Tokenizer

    tokenizer = Qwen2Tokenizer(
        tokenizer_object=make_tokenizer(corpus, count),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        bos_token=None,
        extra_special_tokens=SPECIAL[1:],
        model_max_length=4096,
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.save_pretrained(output)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(make_config(family), dtype=torch.float32)
    model.save_pretrained(output)
    print(f"{output}: {sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")


def main() -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="JSONL file of make_tiny_corpus.py")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=7, help="seed of the random weights")
    parser.add_argument("--rows", type=int, default=30_000, help="rows that the tokenizer learns from")
    parser.add_argument("--family", choices=sorted(FAMILIES), default="qwen3", help="architecture of the model")
    arguments = parser.parse_args()
    write(arguments.corpus, arguments.output, arguments.seed, arguments.rows, arguments.family)


if __name__ == "__main__":
    main()
