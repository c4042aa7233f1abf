"""What the prompts of a batch have in common is read once, and nothing else changes."""

import pytest
import torch

from lit_llm.generation import Generator, Lookup, left_pad
from lit_llm.generation.prompts import LEAST
from tests import families

FAMILIES = ["qwen3", "llama", "granite", "qwen3_moe"]


def rows(lengths, shared=LEAST + 9):
    draw = torch.Generator().manual_seed(1)
    first = torch.randint(5, 380, (shared,), generator=draw).tolist()
    return [first + torch.randint(5, 380, (length,), generator=draw).tolist() for length in lengths]


def decoded(generator, model, tokenizer, prompts):
    prompt = left_pad(prompts, tokenizer.pad_token_id)
    with torch.no_grad():
        return generator._decode(model, tokenizer, prompt, [{}] * len(prompts))


@pytest.fixture
def read():
    """Counts the positions that a model computes."""

    def count(model):
        seen = []
        model.register_forward_pre_hook(lambda m, a, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True)
        return seen

    return count


WAYS = {"greedy": {}, "drawn": {"do_sample": True, "seed": 2}, "draft": {"draft": True}}
LENGTHS = [(1, 9, 4), (3, 3), (1, 1)]


@pytest.mark.parametrize(
    ("name", "attention", "way", "lengths"),
    [
        *(("qwen3", "sdpa", way, lengths) for way in WAYS for lengths in LENGTHS),
        *((name, "eager", "draft", LENGTHS[0]) for name in FAMILIES),
        *((name, "sdpa", "greedy", LENGTHS[0]) for name in FAMILIES[1:]),
    ],
    ids=str,
)
def test_answers_and_scores_are_those_of_whole_prompts(tokenizer, read, name, attention, way, lengths):
    model = families.build(name)
    model.set_attn_implementation(attention)
    options = {"draft": Lookup()} if way == "draft" else WAYS[way]
    prompts = rows(lengths)
    plain = decoded(Generator(max_new_tokens=9, share_prompt=False, **options), model, tokenizer, prompts)
    seen = read(model)
    found = decoded(Generator(max_new_tokens=9, **options), model, tokenizer, prompts)
    assert [row.tokens for row in found] == [row.tokens for row in plain]
    assert [row.score for row in found] == pytest.approx([row.score for row in plain], abs=1e-4)
    # Where a row is nothing but what all share, its last token is still read for itself.
    shared = LEAST + 9
    assert seen[:2] == [shared, len(lengths) * max(lengths)]


@pytest.mark.parametrize(
    ("name", "lengths", "shared", "options"),
    [
        ("qwen3", (4,), LEAST, {}),
        ("qwen3", (4, 2), LEAST - 1, {}),
        ("qwen3", (4, 2), LEAST, {"cache_bits": 8}),
        ("qwen3", (4, 2), LEAST, {"share_prompt": False}),
        ("qwen3_5", (4, 2), LEAST, {}),
        ("gemma3", (4, 2), LEAST, {}),
    ],
    ids=["one row", "little in common", "rounded", "off", "linear attention", "sliding window"],
)
def test_prompts_are_read_whole_where_it_would_not_pay_or_not_be_the_same(
    tokenizer, read, name, lengths, shared, options
):
    model = families.build(name)
    seen = read(model)
    decoded(Generator(max_new_tokens=2, **options), model, tokenizer, rows(lengths, shared))
    assert seen[0] == len(lengths) * (shared + max(lengths))


def test_equal_prompts_keep_their_last_token(tokenizer, read):
    model = families.build("qwen3")
    prompts = rows((0, 0))
    plain = decoded(Generator(max_new_tokens=9, share_prompt=False), model, tokenizer, prompts)
    seen = read(model)
    found = decoded(Generator(max_new_tokens=9), model, tokenizer, prompts)
    assert [row.tokens for row in found] == [row.tokens for row in plain]
    assert seen[:2] == [LEAST + 8, 2]
