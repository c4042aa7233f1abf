"""Guessed tokens change how fast an answer comes, never the answer."""

import csv
import json
import random

import pytest
import torch

from lit_llm.__main__ import main
from lit_llm.errors import ConfigError
from lit_llm.generation import Draft, Generator, JsonSchemaConstraint, Lookup, left_pad
from lit_llm.generation.prompts import unpadded
from lit_llm.models import DraftModel
from tests import families
from tests.short_runs import fit

DRAWN = {"do_sample": True, "temperature": 1.5, "seed": 3}
REPEATS = {"repetition_penalty": 2, "no_repeat_ngram_size": 2}


CLOSED = {"additionalProperties": False}


class Told(Draft):
    """Guesses what it is told to: ``change`` turns the true continuation of a row into a guess."""

    def __init__(self, answers, change, tokens=4, positions=1 << 20):
        super().__init__(tokens, positions)
        self.answers, self.change = answers, change

    pays = True

    def start(self, prompt):
        true = [self.answers[tuple(ids)] for ids in unpadded(prompt)]

        def guess(rows, texts, counts):
            rest = [true[row][len(texts[row]) :][:count] for row, count in zip(rows, counts, strict=True)]
            return [self.change(tokens) for tokens in rest]

        return guess


def right(tokens):
    return tokens


def wrong(tokens):
    return [token ^ 1 for token in tokens]


def ragged(tokens):
    """Right at first, then wrong, and of any length."""
    at = random.Random(str(tokens)).randrange(5)
    return tokens[:at] + wrong(tokens[at : at + 2])


def decoded(generator, model, tokenizer, prompts, batch_size, meta=None):
    rows = []
    for start in range(0, len(prompts), batch_size):
        some = prompts[start : start + batch_size]
        facts = meta[start : start + batch_size] if meta else [{}] * len(some)
        with torch.no_grad():
            rows += generator._decode(model, tokenizer, left_pad(some, tokenizer.pad_token_id), facts)
    return rows


def assert_same(found, plain):
    assert [row.tokens for row in found] == [row.tokens for row in plain]
    assert [row.finished for row in found] == [row.finished for row in plain]
    assert [row.score for row in found] == pytest.approx([row.score for row in plain], abs=1e-4)


@pytest.fixture
def calls(request):
    """Counts how often a model is called."""

    def count(model):
        seen = []
        handle = model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(1), with_kwargs=True)
        request.addfinalizer(handle.remove)
        return seen

    return count


@pytest.mark.parametrize(("batch_size", "steps"), [(1, 7), (2, 1), (5, 19)])
@pytest.mark.parametrize("options", [{}, DRAWN, REPEATS], ids=["greedy", "drawn", "repeats"])
@pytest.mark.parametrize("change", [right, wrong, ragged, None])
def test_answers_are_those_without_a_draft(trained_model, tokenizer, prompts, batch_size, steps, options, change):
    settings = {"max_new_tokens": steps, "stop": "json", **options}
    plain = decoded(Generator(**settings), trained_model, tokenizer, prompts, 5)
    answers = {tuple(prompt): row.tokens for prompt, row in zip(prompts, plain, strict=True)}
    draft = Told(answers, change) if change else Lookup(positions=1000)
    generator = Generator(draft=draft, **settings)
    for _ in range(1 if change else 2):  # the second time the table knows the answers
        assert_same(decoded(generator, trained_model, tokenizer, prompts, batch_size), plain)


@pytest.mark.parametrize(("change", "ahead"), [(right, 5), (wrong, 1)])
def test_a_step_gives_a_token_and_every_guess_that_comes_true(trained_model, tokenizer, prompts, calls, change, ahead):
    settings = {"max_new_tokens": 31, "stop": "never"}
    plain = decoded(Generator(**settings), trained_model, tokenizer, prompts, 5)
    answers = {tuple(prompt): row.tokens for prompt, row in zip(prompts, plain, strict=True)}
    seen = calls(trained_model)
    decoded(Generator(draft=Told(answers, change), **settings), trained_model, tokenizer, prompts, 5)
    assert len(seen) == 1 + 30 / ahead


def test_a_table_learns_from_answers_and_a_prompt_is_copied(trained_model, tokenizer, prompts, calls):
    generator = Generator(max_new_tokens=40, stop="json", draft=Lookup())
    seen = calls(trained_model)
    first = decoded(generator, trained_model, tokenizer, prompts, 1)
    before = len(seen)
    assert_same(decoded(generator, trained_model, tokenizer, prompts, 1), first)
    assert len(seen) - before < before / 2
    guess = Lookup(tokens=3, answers=False).start(left_pad([[5, 6, 7, 8, 9]], 0))
    assert guess([0], [[1, 6, 7]], [3]) == [[8, 9]]
    assert guess([0], [[1, 2]], [3]) == [[]]
    table = Lookup(tokens=3, ngram=2, share=0.6)
    for answer in ([1, 2, 3], [1, 2, 3], [1, 2, 4]):
        table.learn(answer)
    assert table.start(left_pad([[9]], 0))([0], [[]], [9]) == [[1, 2, 3]]
    table.learn([1, 2, 4])
    assert table.start(left_pad([[9]], 0))([0], [[]], [9]) == [[1, 2]]


@pytest.mark.parametrize("options", [{}, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("stop", ["eos", "json"])
@pytest.mark.parametrize("known", [True, False])
def test_every_row_is_held_to_its_own_schema(random_model, tokenizer, prompts, calls, options, stop, known):
    pytest.importorskip("llguidance")
    words = [f"campo_{row}_con_nombre_largo" for row in range(len(prompts))]
    meta = [
        {"schema": {"type": "object", "properties": {word: {"enum": [word, row]}}, "required": [word]} | CLOSED}
        for row, word in enumerate(words)
    ]
    settings = {"max_new_tokens": 60, "stop": stop, "constraint": JsonSchemaConstraint(), **options}
    seen = calls(random_model)
    plain = decoded(Generator(**settings), random_model, tokenizer, prompts, 5, meta)
    undrafted = len(seen)
    answers = {tuple(prompt): row.tokens for prompt, row in zip(prompts, plain, strict=True)}
    draft: Draft = Told(answers, ragged) if known else Lookup()
    found = decoded(Generator(draft=draft, **settings), random_model, tokenizer, prompts, 2, meta)
    assert_same(found, plain)
    seen.clear()
    decoded(Generator(draft=Told(answers, wrong), **settings), random_model, tokenizer, prompts, 5, meta)
    # What the grammar forces is read ahead, whatever is guessed.
    assert len(seen) < 0.7 * undrafted
    texts = [tokenizer.decode(row.tokens, skip_special_tokens=True) for row in found]
    assert all(set(json.loads(text)) <= set(words) for text in texts)


@pytest.mark.parametrize(
    ("name", "attention"),
    [
        ("qwen2", "sdpa"),
        ("qwen3_moe", "sdpa"),
        ("llama", "eager"),
        ("granite", "sdpa"),
        ("smollm3", "eager"),
        ("phi3", "sdpa"),
    ],
)
def test_other_families_answer_alike(name, attention, tokenizer, prompts):
    model = families.build(name)
    model.set_attn_implementation(attention)
    plain = decoded(Generator(max_new_tokens=12), model, tokenizer, prompts, 5)
    answers = {tuple(prompt): row.tokens for prompt, row in zip(prompts, plain, strict=True)}
    found = decoded(Generator(max_new_tokens=12, draft=Told(answers, ragged)), model, tokenizer, prompts, 2)
    assert_same(found, plain)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("qwen3_5", "linear attention"), ("gemma3", "a sliding window"), ("mistral", "a sliding window")],
)
def test_bases_whose_rows_cannot_differ_in_length_are_refused(name, reason, tokenizer):
    model = families.build(name)
    with pytest.raises(ConfigError, match=rf"generator.init_args.draft: Lookup .*{model.config.model_type} .*{reason}"):
        Generator(draft=Lookup()).prepare(model, tokenizer)
    Generator().prepare(model, tokenizer)


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"cache_bits": 8}])
def test_ways_that_exclude_guesses_are_refused(options):
    (name,) = options
    with pytest.raises(ConfigError, match=rf"{name}: .*beside a draft"):
        Generator(draft=Lookup(), **options)


@pytest.mark.parametrize(
    "option", [{"tokens": 0}, {"ngram": 0}, {"share": 0.0}, {"share": 1.5}, {"positions": 0}], ids=str
)
def test_impossible_settings_are_named(option):
    (name,) = option
    with pytest.raises(ConfigError, match=rf"draft.init_args.{name}: {option[name]}"):
        Lookup(**option)


def test_guesses_become_shorter_the_more_rows_run_and_rare_where_they_fail(trained_model, tokenizer, prompts):
    widths = []
    handle = trained_model.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(kwargs["input_ids"].shape), with_kwargs=True
    )
    plain = decoded(Generator(max_new_tokens=31, stop="never"), trained_model, tokenizer, prompts, 5)
    answers = {tuple(prompt): row.tokens for prompt, row in zip(prompts, plain, strict=True)}
    for positions, most in ((5, 1), (14, 2), (25, 5), (99, 5)):
        widths.clear()
        draft = Told(answers, right, positions=positions)
        decoded(Generator(max_new_tokens=31, stop="never", draft=draft), trained_model, tokenizer, prompts, 5)
        assert max(width for rows, width in widths[1:]) == most
    handle.remove()
    draft = Lookup()
    draft.note(200, 29)
    assert not draft.pays
    draft.note(10, 10)
    assert draft.pays


def test_embeddings_are_continued_too(random_model, tokenizer, prompts):
    prompt = left_pad(prompts, tokenizer.pad_token_id)
    with torch.no_grad():
        prompt.inputs_embeds, prompt.input_ids = random_model.get_input_embeddings()(prompt.input_ids), None
    meta = [{}] * len(prompts)
    plain = Generator(max_new_tokens=12).generate(random_model, tokenizer, prompt, meta)
    generator = Generator(max_new_tokens=12, draft=Lookup())
    for _ in range(2):
        assert generator.generate(random_model, tokenizer, prompt, meta) == [
            pytest.approx(answer) if isinstance(answer, float) else answer for answer in plain
        ]


def saved(folder, name, tokenizer, seed):
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = families.build(name, seed, vocab_size=len(tokenizer) + 21, **ids)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize("options", [{}, DRAWN, {"constraint": True}], ids=["greedy", "drawn", "held"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_smaller_model_guesses(tmp_path, tokenizer, prompts, calls, options, batch_size):
    model = saved(tmp_path / "same", "qwen3", tokenizer, 0)
    saved(tmp_path / "other", "llama", tokenizer, 1)
    meta = [{"schema": {"enum": [f"una respuesta {row}", row]}} for row in range(len(prompts))]
    if options.get("constraint"):
        pytest.importorskip("llguidance")
        options = {"constraint": JsonSchemaConstraint()}
    settings = {"max_new_tokens": 21, "stop": "json", **options}
    seen = calls(model)
    plain = decoded(Generator(**settings), model, tokenizer, prompts, batch_size, meta)
    undrafted = len(seen)
    for name in ("same", "other"):
        draft = DraftModel(str(tmp_path / name), tokens=3, positions=1000)
        seen.clear()
        assert_same(decoded(Generator(draft=draft, **settings), model, tokenizer, prompts, batch_size, meta), plain)
        if name == "same" and not options:
            # The model itself is always right: four tokens a step, and one behind the prompt.
            assert len(seen) == undrafted // 21 * (1 + 5)


def test_a_model_that_cannot_guess_is_refused(tmp_path, random_model, tokenizer, prompts):
    from transformers import AutoTokenizer

    saved(tmp_path / "hybrid", "qwen3_5", tokenizer, 0)
    families.build("qwen3").save_pretrained(tmp_path / "foreign")
    AutoTokenizer.from_pretrained(families.TINY).save_pretrained(tmp_path / "foreign")
    for name, reason in {"hybrid": "qwen3_5_text has linear attention", "foreign": "another tokenizer"}.items():
        with pytest.raises(ConfigError, match=rf"draft.init_args.backbone: .*{name}.*{reason}.*name "):
            Generator(draft=DraftModel(str(tmp_path / name))).prepare(random_model, tokenizer)
    prompt = left_pad(prompts, tokenizer.pad_token_id)
    prompt.inputs_embeds, prompt.input_ids = random_model.get_input_embeddings()(prompt.input_ids), None
    with pytest.raises(ConfigError, match=r"DraftModel reads tokens.*Lookup"):
        DraftModel(str(tmp_path / "hybrid")).start(prompt)


def test_memory_that_nobody_has_written_changes_nothing(trained_model, tokenizer, prompts):
    settings = {"max_new_tokens": 24, "stop": "json"}
    plain = decoded(Generator(**settings), trained_model, tokenizer, prompts, 5)
    answers = {tuple(prompt): row.tokens for prompt, row in zip(prompts, plain, strict=True)}
    generator = Generator(draft=Told(answers, ragged), **settings)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fills new memory with NaN
    try:
        assert_same(decoded(generator, trained_model, tokenizer, prompts, 5), plain)
    finally:
        torch.use_deterministic_algorithms(False)


def test_predict_writes_the_same_answers(tmp_path, tokenizer):
    rows = [{"id": str(n), "text": f"{n} panes", "json": {"n": n}} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {name: str(tmp_path / "rows.jsonl") for name in ("train", "valid", "predict")}
    generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 20, "stop": "json"}}
    run = fit(tmp_path / "run", data, backbone=str(families.TINY), generator=generator)
    answers = []
    for options in ([], ["--model.generator.draft", "lit_llm.generation.Lookup", "--data.eval_batch_size", "2"]):
        assert main(["predict", "--config", str(run / "config.yaml"), *options]) == 0
        with (run / "predictions.csv").open(newline="") as file:
            answers.append([(row["id"], row["raw"], row["status"]) for row in csv.DictReader(file)])
        (run / "predictions.csv").unlink()
        (run / "predictions.csv.run.json").unlink()
    assert answers[0] == answers[1]
    assert len(answers[0]) == 5


def test_a_row_that_waits_for_others_stays_within_the_positions_there_are(tokenizer):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "vocab_size": len(tokenizer)}
    model = GPT2LMHeadModel(GPT2Config(n_positions=64, n_embd=32, n_layer=2, n_head=4, **ids)).eval()
    prompts = [list(range(5, 45)), list(range(5, 15))]
    settings = {"max_new_tokens": 24, "stop": "never"}
    plain = decoded(Generator(**settings), model, tokenizer, prompts, 2)
    answers = {tuple(prompt): row.tokens for prompt, row in zip(prompts, plain, strict=True)}
    long_wrong = {tuple(prompts[0]): answers[tuple(prompts[0])], tuple(prompts[1]): [7] * 24}
    found = decoded(Generator(draft=Told(long_wrong, right, tokens=8), **settings), model, tokenizer, prompts, 2)
    assert_same(found, plain)


def test_a_model_with_fewer_rows_reads_what_it_has_no_row_for(tmp_path, tokenizer, prompts):
    saved(tmp_path / "small", "qwen3", tokenizer, 1)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    wide = families.build("qwen3", 0, vocab_size=len(tokenizer) + 90, **ids)
    settings = {"max_new_tokens": 24, "do_sample": True, "temperature": 5.0}
    plain = decoded(Generator(**settings), wide, tokenizer, prompts, 5)
    assert max(token for row in plain for token in row.tokens) >= len(tokenizer) + 21
    found = decoded(Generator(draft=DraftModel(str(tmp_path / "small")), **settings), wide, tokenizer, prompts, 2)
    assert_same(found, plain)


LONG = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 48}


def mpt():
    from transformers import MptConfig, MptForCausalLM

    return MptForCausalLM(MptConfig(d_model=32, n_heads=4, n_layers=2, vocab_size=400, max_seq_len=256)).eval()


def long_rope():
    factors = {"short_factor": [1.0] * 4, "long_factor": [8.0] * 4}
    fields = {"rope_parameters": LONG | factors, "original_max_position_embeddings": 48}
    return families.build("phi3", vocab_size=400, pad_token_id=0, eos_token_id=2, **fields)


@pytest.mark.parametrize(("make", "reason"), [(mpt, "mpt counts columns"), (long_rope, "phi3 turns by .*longrope")])
def test_positions_that_depend_on_more_than_the_token_are_left_alone(make, reason, tokenizer):
    model = make()
    with pytest.raises(ConfigError, match=reason):
        Generator(draft=Lookup()).prepare(model, tokenizer)
    first = list(range(5, 50))
    prompts = [[*first, 60, 61], [*first, 70]]
    alone = decoded(Generator(max_new_tokens=9, share_prompt=False), model, tokenizer, prompts, 2)
    assert_same(decoded(Generator(max_new_tokens=9), model, tokenizer, prompts, 2), alone)


def test_a_smaller_model_goes_no_further_in_a_row_than_it_is_asked(tmp_path, tokenizer, prompts):
    model = saved(tmp_path / "same", "qwen3", tokenizer, 0)
    draft = DraftModel(str(tmp_path / "same"), tokens=6)
    draft.prepare(model, tokenizer)
    with torch.no_grad():
        guess = draft.start(left_pad(prompts[:2], tokenizer.pad_token_id))
        alone = [guess([0, 1], [[5], [6]], [6, 6])]
        guess = draft.start(left_pad(prompts[:2], tokenizer.pad_token_id))
        seen = []
        draft._model.register_forward_pre_hook(lambda m, a, kw: seen.append(kw["position_ids"]), with_kwargs=True)
        found = guess([0, 1], [[5], [6]], [2, 6])
    assert found == [alone[0][0][:2], alone[0][1]]
    last = torch.cat([places.amax(1, keepdim=True) for places in seen], 1).amax(1).tolist()
    assert last == [len(prompts[0]) + 1, len(prompts[1]) + 5]
