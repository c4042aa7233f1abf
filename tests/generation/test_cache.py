"""Keys and values in few bits: rounded as defined, token by token, in a fraction of the memory."""

import pytest
import torch
from transformers import DynamicCache

from lit_llm.generation import Generator, generate_rows, left_pad
from lit_llm.generation.cache import growing_cache, pack, unpack


@pytest.mark.parametrize("size", [128, 48])
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_numbers_come_back_within_half_a_step(bits, size):
    values = torch.randn(2, 3, 5, size) * torch.rand(2, 3, 5, 1).exp()
    packed, scale, offset = pack(values, bits)
    assert packed.dtype == torch.uint8
    assert packed.shape[-1] == size * bits // 8
    found = unpack(packed, scale, offset, bits)
    step = scale.float().repeat_interleave(size // scale.shape[-1], -1)
    # Scales and offsets are stored with eight bits of mantissa.
    assert ((found - values).abs() <= 0.5 * step + 0.01 * values.abs().amax(-1, keepdim=True)).all()
    again = unpack(*pack(found, bits), bits)
    assert (again - found).abs().max() <= step.max()


def test_a_constant_row_is_kept():
    values = torch.full((1, 1, 1, 32), 3.0)
    assert torch.equal(unpack(*pack(values, 2), 2), values)


def reference(model, prompt, steps, bits):
    """Greedy decoding of one row with transformers' cache, all but the newest position rounded after each step."""
    cache = DynamicCache(config=model.config)
    ids, tokens = torch.tensor([prompt]), []
    for _ in range(steps):
        with torch.no_grad():
            logits = model(input_ids=ids, past_key_values=cache, use_cache=True).logits[0, -1]
        start = cache.get_seq_length() - ids.shape[1]
        for layer in cache.layers:
            for states in (layer.keys, layer.values):
                states[:, :, start:] = unpack(*pack(states[:, :, start:], bits), bits)
        tokens.append(logits.argmax().item())
        ids = torch.tensor([tokens[-1:]])
    return tokens


@pytest.mark.parametrize("bits", [8, 4, 2])
def test_decoding_equals_a_slow_loop(random_model, tokenizer, prompts, bits):
    generator = Generator(max_new_tokens=80, cache_bits=bits)
    with torch.no_grad():
        prompt = left_pad(prompts, tokenizer.pad_token_id)
        rows = generator._decode(random_model, tokenizer, prompt, [{}] * len(prompts))
    pairs = zip(prompts, rows, strict=True)
    expected = [reference(random_model, start, len(row.tokens), bits) for start, row in pairs]
    assert [row.tokens for row in rows] == expected
    assert max(len(row.tokens) for row in rows) == 80


def test_eight_bits_change_no_learned_answer_and_two_bits_do(trained_model, tokenizer, prompts):
    plain, eight, two = (
        generate_rows(Generator(max_new_tokens=40, stop="json", cache_bits=bits), trained_model, tokenizer, prompts)
        for bits in (None, 8, 2)
    )
    assert [row.text for row in eight] == [row.text for row in plain]
    assert [row.score for row in eight] == pytest.approx([row.score for row in plain], abs=0.02)
    moved = [max(abs(a.score - b.score) for a, b in zip(rows, plain, strict=True)) for rows in (eight, two)]
    assert 0 < moved[0] < moved[1]


@pytest.mark.parametrize(("bits", "most"), [(8, 0.57), (4, 0.32), (2, 0.19)])
def test_memory_relative_to_bfloat16(random_model, bits, most):
    model = random_model.to(torch.bfloat16)
    sizes = []
    for kind in (None, bits):
        cache = growing_cache(model.config, kind)
        with torch.no_grad():
            model(input_ids=torch.arange(64)[None], past_key_values=cache, use_cache=True)
            model(input_ids=torch.arange(1)[None], past_key_values=cache, use_cache=True)
        sizes.append(sum(b.numel() * b.element_size() for layer in cache.layers for b in layer._buffers))
    assert sizes[1] / sizes[0] <= most
