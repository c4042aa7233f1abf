"""Models with linear-attention layers: a row's state depends on the row alone, whatever happens to its batch."""

import pytest
import torch
import transformers

from lit_llm.generation import Generator, generate_rows, left_pad
from lit_llm.generation.cache import growing_cache
from tests import families

LENGTHS = (1, 3, 4, 5, 64, 65)
"""On both sides of the width of a convolution (4) and of the pieces that long prompts are computed in (64)."""

OTHERS = {
    "lfm2": ("Lfm2Config", {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2}),
    "falcon_h1": (
        "FalconH1Config",
        {"num_hidden_layers": 2, "head_dim": 8, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8}
        | {"mamba_n_groups": 1, "mamba_d_state": 8},
    ),
}
"""Families with states of other kinds: convolutions alone, and states beside keys in one layer."""


@pytest.fixture(scope="module")
def models():
    torch.manual_seed(0)
    made = {
        name: families.build(name, num_hidden_layers=2, layer_types=["linear_attention", "full_attention"])
        for name in families.HYBRID
    }
    for name, (config, fields) in OTHERS.items():
        shape = families.SHAPE | {"vocab_size": 1024, "initializer_range": 0.2, "pad_token_id": 998} | fields
        made[name] = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**shape)).eval()
    for model in made.values():
        # The end comes soon, and not for all rows at once.
        model.get_input_embeddings().weight.data[1000] *= 3
    return made


@pytest.fixture(scope="module")
def words():
    return transformers.AutoTokenizer.from_pretrained(families.TINY)


def prompts(lengths=LENGTHS):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 990, (length,), generator=generator).tolist() for length in lengths]


GREEDY, DRAWN = {}, {"do_sample": True, "temperature": 0.4, "top_k": 5}
SETTINGS = [("qwen3_5", GREEDY), ("qwen3_5", DRAWN), ("qwen3_5", {"num_beams": 2}), ("qwen3_5", {"cache_bits": 8})]
SETTINGS += [("qwen3_next", DRAWN), ("falcon_h1", GREEDY)]
SLOW = [("qwen3_5_moe", GREEDY), ("qwen3_next", {"num_beams": 3}), ("lfm2", GREEDY), ("falcon_h1", {"num_beams": 2})]
SETTINGS += [pytest.param(*case, marks=pytest.mark.slow) for case in SLOW]


@pytest.mark.parametrize(("name", "options"), SETTINGS, ids=str)
def test_rows_leave_at_different_times_and_say_what_they_say_alone(models, words, name, options):
    generator = Generator(max_new_tokens=8, **options)
    alone = [generate_rows(generator, models[name], words, [prompt])[0] for prompt in prompts()]
    batched = generate_rows(generator, models[name], words, prompts(), sort=False)
    assert [(a.text, a.new_tokens) for a in batched] == [(a.text, a.new_tokens) for a in alone]
    assert [a.score for a in batched] == pytest.approx([a.score for a in alone], abs=1e-4)
    assert len({a.new_tokens for a in batched}) > 1


def alone(model, ids):
    """Return the logits behind one row, without a cache."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0, -1]


class Batch:
    """Rows that a model has read into a cache."""

    def __init__(self, model, rows, record=False):
        self.model, self.cache, self.mask = model, growing_cache(model.config), torch.empty(len(rows), 0).long()
        if record:
            self.cache.activate_past_recording()
        prompt = left_pad(rows, 998)
        self.read(prompt.input_ids, prompt.attention_mask)

    def read(self, ids, mask=None):
        """Read ``[B, t]`` more ids and return the logits behind them."""
        self.mask = torch.cat([self.mask, torch.ones_like(ids) if mask is None else mask], 1)
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        given = {"attention_mask": self.mask, "position_ids": positions, "past_key_values": self.cache}
        with torch.no_grad():
            return self.model(input_ids=ids, **given, use_cache=True).logits[:, -1]


def expect(found, model, rows):
    """Check logits ``[B, V]`` against those of each row alone."""
    for row, ids in zip(found, rows, strict=True):
        assert (row - alone(model, ids)).abs().max() < 1e-3


@pytest.mark.parametrize("move", ["reorder_cache", "batch_select_indices"])
@pytest.mark.parametrize("name", ["qwen3_5", "falcon_h1"])
def test_rows_change_places_and_are_repeated(models, name, move):
    rows = prompts((5, 66, 3))
    batch = Batch(models[name], rows)
    for places in ([2, 0, 2], [1, 2]):
        getattr(batch.cache, move)(torch.tensor(places))
        batch.mask, rows = batch.mask[places], [[*rows[place], 7 + place] for place in places]
        expect(batch.read(torch.tensor([row[-1:] for row in rows])), models[name], rows)
    batch.cache.batch_repeat_interleave(2)
    batch.mask, rows = batch.mask.repeat_interleave(2, 0), [[*row, 9 + k] for row in rows for k in range(2)]
    expect(batch.read(torch.tensor([row[-1:] for row in rows])), models[name], rows)


@pytest.mark.parametrize(("first", "second"), [((70, 4), (9, 2, 1)), ((3,), (67, 8))])
@pytest.mark.parametrize("name", ["qwen3_next", "lfm2"])
def test_rows_are_joined_by_others(models, name, first, second):
    rows = prompts(first + second)
    batch, others = Batch(models[name], rows[: len(first)]), Batch(models[name], rows[len(first) :])
    batch.cache.append_rows(others.cache)
    width = max(batch.mask.shape[1], others.mask.shape[1])
    masks = (torch.nn.functional.pad(mask, (width - mask.shape[1], 0)) for mask in (batch.mask, others.mask))
    batch.mask = torch.cat(list(masks))
    for step in range(2):
        rows = [[*row, 5 * place + step] for place, row in enumerate(rows)]
        found = batch.read(torch.tensor([row[-1:] for row in rows]))
    expect(found, models[name], rows)


@pytest.mark.parametrize("name", ["qwen3_5", "qwen3_next", "lfm2"])
def test_rows_go_back_to_before_what_was_read_last(models, name):
    model = models[name]
    rows = prompts((5, 66, 1))
    batch = Batch(model, rows, record=True)
    for wrong in ([[3], [4], [5]], [[3, 1], [4, 1], [5, 1]]):
        batch.read(torch.tensor(wrong))
    batch.cache.batch_select_indices(torch.tensor([2, 0]))
    batch.cache.crop(-3)
    batch.mask, rows = batch.mask[[2, 0], :-3], [[*rows[2], 7], [*rows[0], 8]]
    expect(batch.read(torch.tensor([[7], [8]])), model, rows)


def test_a_state_cannot_go_back_by_part_of_what_was_read_at_once_nor_unrecorded(models):
    batch = Batch(models["qwen3_5"], prompts((5, 4)), record=True)
    with pytest.raises(ValueError, match="whole calls"):
        batch.cache.crop(-2)
    batch = Batch(models["qwen3_5"], prompts((5, 4)))
    with pytest.raises(ValueError, match="activate_past_recording"):
        batch.cache.crop(-5)


def test_rows_cannot_join_a_sliding_window():
    window = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}
    caches = [Batch(families.build("qwen2", **window), prompts((3,))).cache for _ in range(2)]
    with pytest.raises(ValueError, match="SlidingWindow"):
        caches[0].append_rows(caches[1])
