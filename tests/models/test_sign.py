"""The sign language model: padding changes nothing, and clips stand where their slots are."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3Config

from lit_llm.batch import IGNORE, Batch, Features, Prompt
from lit_llm.errors import ConfigError
from lit_llm.generation import Generator
from lit_llm.models import SignLM
from lit_llm.models.adaptor import TemporalAdaptor

SIZE = 5


@pytest.fixture
def model(root) -> SignLM:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=1024,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        eos_token_id=1000,
    )
    model = SignLM()
    model.network = AutoModelForCausalLM.from_config(config).eval()
    model.adaptor = TemporalAdaptor(SIZE, 32, hidden=16, scale=1.0).eval()
    model._tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    return model


def features(*lengths: int, extra: int = 0) -> Features:
    generator = torch.Generator().manual_seed(1)
    frames = [torch.randn(length, SIZE, generator=generator) for length in lengths]
    width = max(lengths) + extra
    values = torch.stack([torch.nn.functional.pad(clip, (0, 0, 0, width - len(clip)), value=7.0) for clip in frames])
    return Features(values, torch.arange(width) < torch.tensor(lengths)[:, None], downsample=4)


def batch(*lengths: int) -> Batch:
    """Rows of ``[1, 2, <clip>, 3]`` and the answer ``[4, 5]``."""
    slots = [math.ceil(length / 4) for length in lengths]
    width = max(slots) + 5
    ids = torch.zeros(len(lengths), width, dtype=torch.long)
    mask, labels, marks = torch.zeros_like(ids), torch.full_like(ids, IGNORE), torch.zeros_like(ids).bool()
    prompt_width = width - 2
    prompt = Prompt(torch.zeros(len(lengths), prompt_width).long(), torch.zeros(len(lengths), prompt_width).long())
    prompt.slots = torch.zeros(len(lengths), prompt_width).bool()
    for row, count in enumerate(slots):
        tokens = torch.tensor([1, 2, *[9] * count, 3, 4, 5])
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        labels[row, len(tokens) - 2 : len(tokens)] = tokens[-2:]
        marks[row, 2 : 2 + count] = True
        prompt.input_ids[row, prompt_width - count - 3 :] = tokens[:-2]
        prompt.attention_mask[row, prompt_width - count - 3 :] = 1
        prompt.slots[row, prompt_width - count - 1 : prompt_width - 1] = True
    names = [f"row{row}" for row in range(len(lengths))]
    return Batch(names, "valid", "sign", mask, labels, ids, features=features(*lengths), slots=marks, prompt=prompt,
                 texts=names, references=["x"] * len(names), meta=[{} for _ in names])  # fmt: skip


def alone(model: SignLM, clip: Tensor, tokens: list[int]) -> Tensor:
    """Embeddings of ``[1, 2, <clip>, *tokens]``, put together one row at a time."""
    words = model.network.get_input_embeddings()
    vectors, _ = model.adaptor(clip[None], torch.ones(1, len(clip)).bool())
    return torch.cat([words(torch.tensor([1, 2])), vectors[0], words(torch.tensor(tokens))])


@pytest.mark.parametrize("strides", [(2, 2), (1,), (2,), (3, 2), (2, 2, 2)])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 17])
def test_padding_never_changes_what_the_adaptor_gives(strides: tuple[int, ...], length: int) -> None:
    torch.manual_seed(0)
    adaptor = TemporalAdaptor(SIZE, 12, hidden=8, strides=strides, scale=1.0)
    short, long = features(length), features(length, extra=13)
    expected, mask = adaptor(short.values, short.mask)
    found, found_mask = adaptor(long.values, long.mask)
    assert mask.all()
    assert expected.shape[1] == math.ceil(length / math.prod(strides)) == int(found_mask.sum())
    torch.testing.assert_close(found[found_mask], expected[mask], rtol=0, atol=1e-6)


def test_vectors_begin_at_the_scale_of_words() -> None:
    adaptor = TemporalAdaptor(SIZE, 12, hidden=8, scale=0.02)
    vectors, _ = adaptor(*(getattr(features(8, 8), name) for name in ("values", "mask")))
    torch.testing.assert_close(vectors.pow(2).mean(-1).sqrt(), torch.full((2, 2), 0.02))


def test_a_padded_batch_of_clips_has_the_hidden_states_of_its_rows_alone(model: SignLM) -> None:
    lengths = (11, 3, 1, 8)
    rows = batch(*lengths)
    with torch.no_grad():
        found = model.hidden(rows)
        for row, length in enumerate(lengths):
            embeds = alone(model, rows.features.values[row, :length], [3, 4, 5])
            expected = model.network.base_model(inputs_embeds=embeds[None]).last_hidden_state[0]
            torch.testing.assert_close(found[row, : len(embeds)], expected, rtol=0, atol=1e-5)


def test_prompts_hold_clips_and_batches_answer_as_rows_alone(model: SignLM) -> None:
    lengths = (11, 3, 1, 8, 30, 5)
    rows, generator = batch(*lengths), Generator(max_new_tokens=12)
    together = model.answers(rows, generator)
    for row, length in enumerate(lengths):
        embeds = alone(model, rows.features.values[row, :length], [3])[None].detach()
        prompt = Prompt(attention_mask=torch.ones(1, embeds.shape[1]).long(), inputs_embeds=embeds)
        (expected,) = generator.generate(model.network, model.tokenizer, prompt, [{}])
        assert (together[row].text, together[row].new_tokens) == (expected.text, expected.new_tokens)
    assert len({answer.text for answer in together}) > 1


def test_rolled_rows_answer_as_their_neighbours(model: SignLM) -> None:
    rows, generator = batch(11, 3, 8), Generator(max_new_tokens=12)
    plain, rolled = (model.answers(one, generator) for one in (rows, model._rolled(rows)))
    assert [answer.text for answer in rolled] == [plain[at].text for at in (2, 0, 1)]


def test_gradients_reach_the_adaptor_and_padding_teaches_nothing(model: SignLM) -> None:
    rows = batch(11, 3)
    summed, tokens = model.summed_loss(rows)
    summed.backward()
    assert tokens == 4
    first = {name: weight.grad.clone() for name, weight in model.adaptor.named_parameters()}
    assert all(grad.abs().sum() > 0 for name, grad in first.items())
    model.zero_grad()
    spoilt = rows.features.values.masked_fill(~rows.features.mask[..., None], 1e3)
    model.summed_loss(replace(rows, features=replace(rows.features, values=spoilt)))[0].backward()
    for name, weight in model.adaptor.named_parameters():
        torch.testing.assert_close(weight.grad, first[name], rtol=1e-5, atol=1e-6)


def test_strides_that_do_not_fit_the_data_are_refused(model: SignLM) -> None:
    model.adaptor = TemporalAdaptor(SIZE, 32, hidden=16, strides=(2,))
    model.strides = (2,)
    with pytest.raises(ConfigError, match=r"downsample is 4, but the adaptor's strides \[2\] shorten clips by 2"):
        model.hidden(batch(11, 3))


def test_the_adaptor_has_a_learning_rate_of_its_own(model: SignLM) -> None:
    model.optimizer_factory = lambda params: torch.optim.AdamW(params, lr=1e-4)
    model.adaptor_learning_rate = 5e-4
    assert model._scale("adaptor.project.weight") == pytest.approx(5)
    assert model._scale("network.model.layers.0.mlp.up_proj.weight") == 1
