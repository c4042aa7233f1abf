import copy
import json
from itertools import pairwise

import pytest
import torch

from lit_llm.errors import ConfigError, UserError
from lit_llm.generation import Generator, JsonSchemaConstraint, generate_rows, left_pad

GREEDY = {"max_new_tokens": 40, "stop": "json"}


def texts(answers):
    return [answer.text for answer in answers]


def decoded(generator, model, tokenizer, prompts):
    """Token ids as the decoders give them, which a text does not always tell."""
    with torch.no_grad():
        prompt = left_pad(prompts, tokenizer.pad_token_id)
        return generator._decode(model, tokenizer, prompt, [{}] * len(prompts))


def reference(model, tokenizer, prompt, steps):
    """Plain greedy decoding of one row by transformers, without this package."""
    ids = torch.tensor([prompt])
    out = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=steps,
        do_sample=False,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.pad_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    return out[0, ids.shape[1] :].tolist()


def test_learned_answers_come_back_and_stop_where_the_json_closes(trained_model, tokenizer, prompts, rows):
    answers = generate_rows(Generator(**GREEDY), trained_model, tokenizer, prompts)
    assert [json.loads(answer.text) for answer in answers] == [value for _, value in rows]
    assert all(answer.finished and answer.score > -0.2 for answer in answers)
    assert len({answer.new_tokens for answer in answers}) > 2


def test_without_the_json_rule_the_same_model_runs_on(trained_model, tokenizer, prompts):
    answers = generate_rows(Generator(max_new_tokens=60), trained_model, tokenizer, prompts)
    assert all(answer.new_tokens == 60 and not answer.finished for answer in answers)


DRAWN = {"do_sample": True, "temperature": 1.5}
REPEATS = {"repetition_penalty": 2, "no_repeat_ngram_size": 2}


@pytest.mark.parametrize(("batch_size", "sort"), [(2, True), (3, False), (5, True)])
@pytest.mark.parametrize("options", [{}, DRAWN, {"num_beams": 2}, REPEATS, {"cache_bits": 4}])
def test_answers_do_not_depend_on_the_batch(trained_model, tokenizer, prompts, batch_size, sort, options):
    generator = Generator(max_new_tokens=24, stop="json", **options)
    alone = [generate_rows(generator, trained_model, tokenizer, [prompt])[0] for prompt in prompts]
    batched = generate_rows(generator, trained_model, tokenizer, prompts, batch_size=batch_size, sort=sort)
    assert texts(batched) == texts(alone)
    assert [a.new_tokens for a in batched] == [a.new_tokens for a in alone]
    assert [a.score for a in batched] == pytest.approx([a.score for a in alone], abs=1e-4)


@pytest.mark.parametrize("steps", [1, 7, 80])
def test_greedy_equals_transformers(random_model, tokenizer, prompts, steps):
    # 80 steps pass the room that the cache allocates ahead.
    expected = [reference(random_model, tokenizer, prompt, steps) for prompt in prompts]
    answers = generate_rows(Generator(max_new_tokens=steps), random_model, tokenizer, prompts)
    assert texts(answers) == [tokenizer.decode(tokens, skip_special_tokens=True) for tokens in expected]
    assert [a.new_tokens for a in answers] == [len(tokens) for tokens in expected]


def penalised(model, prompt, steps, penalty, ngram):
    """Greedy decoding of one row without a cache, with both rules about repetition written out."""
    tokens = []
    for _ in range(steps):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([prompt + tokens])).logits[0, -1].clone()
        for token in set(tokens):
            logits[token] = logits[token] / penalty if logits[token] > 0 else logits[token] * penalty
        for at in range(len(tokens) - ngram + 1):
            if ngram and tokens[at : at + ngram - 1] == tokens[len(tokens) - ngram + 1 :]:
                logits[tokens[at + ngram - 1]] = float("-inf")
        tokens.append(logits.argmax().item())
    return tokens


@pytest.mark.parametrize(("penalty", "ngram"), [(1.3, 0), (1.0, 3), (1.0, 1), (1.1, 2)])
def test_repetition_is_judged_by_the_answer_alone(random_model, tokenizer, prompts, penalty, ngram):
    generator = Generator(max_new_tokens=20, repetition_penalty=penalty, no_repeat_ngram_size=ngram)
    found = [row.tokens for row in decoded(generator, random_model, tokenizer, prompts)]
    expected = [penalised(random_model, prompt, 20, penalty, ngram) for prompt in prompts]
    plain = [row.tokens for row in decoded(Generator(max_new_tokens=20), random_model, tokenizer, prompts)]
    assert found == expected
    assert found != plain


@pytest.mark.parametrize("options", [{"num_beams": 2}, {"do_sample": True, "temperature": 1e-4}])
def test_no_answer_of_any_search_repeats_a_forbidden_sequence(random_model, tokenizer, prompts, options):
    def repeats(size):
        generator = Generator(max_new_tokens=20, no_repeat_ngram_size=size, **options)
        pairs = [list(pairwise(row.tokens)) for row in decoded(generator, random_model, tokenizer, prompts)]
        return sum(len(row) - len(set(row)) for row in pairs)

    assert repeats(2) == 0 < repeats(0)


def test_a_constraint_excludes_forbidden_sequences():
    pytest.importorskip("llguidance")
    with pytest.raises(ConfigError, match=r"no_repeat_ngram_size: 3 .*constraint"):
        Generator(constraint=JsonSchemaConstraint(), no_repeat_ngram_size=3)


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"do_sample": True}, REPEATS])
def test_score_is_the_mean_log_probability_of_what_was_generated(random_model, tokenizer, prompts, options):
    random_model.lm_head.weight.data.mul_(8)
    for answer, prompt in zip(
        decoded(Generator(max_new_tokens=9, **options), random_model, tokenizer, prompts), prompts, strict=True
    ):
        with torch.no_grad():
            logits = random_model(input_ids=torch.tensor([prompt + answer.tokens])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1)[range(len(answer.tokens)), answer.tokens].mean().item()
        assert answer.score == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("options", [{}, {"do_sample": True}, {"num_beams": 2}])
def test_embeddings_give_what_ids_give(random_model, tokenizer, prompts, options):
    generator = Generator(max_new_tokens=12, **{**options, "temperature": 0.7})
    by_ids = left_pad(prompts, tokenizer.pad_token_id)
    by_embeddings = copy.copy(by_ids)
    with torch.no_grad():
        by_embeddings.inputs_embeds = random_model.get_input_embeddings()(by_ids.input_ids)
    by_embeddings.input_ids = None
    meta = [{}] * len(prompts)
    first = generator.generate(random_model, tokenizer, by_ids, meta)
    second = generator.generate(random_model, tokenizer, by_embeddings, meta)
    if not generator.do_sample:  # streams are seeded by the prompt's content, which differs in form
        assert texts(first) == texts(second)
    assert [a.new_tokens for a in second] == [12] * len(prompts)


def test_sampling_follows_the_seed_and_leaves_the_global_stream_alone(random_model, tokenizer, prompts):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs = [
        texts(generate_rows(Generator(max_new_tokens=8, do_sample=True, seed=seed), random_model, tokenizer, prompts))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_each_sampling_filter_narrows_to_greedy(random_model, tokenizer, prompts, options):
    greedy = generate_rows(Generator(max_new_tokens=8), random_model, tokenizer, prompts)
    narrow = generate_rows(Generator(max_new_tokens=8, do_sample=True, **options), random_model, tokenizer, prompts)
    wide = generate_rows(Generator(max_new_tokens=8, do_sample=True), random_model, tokenizer, prompts)
    assert texts(narrow) == texts(greedy) != texts(wide)


def test_sampling_follows_the_distribution(random_model, tokenizer, prompts):
    with torch.no_grad():
        shares = random_model(input_ids=torch.tensor([prompts[0]])).logits[0, -1].mul(8).softmax(-1)
    likely = shares.argmax().item()
    draws = 400
    hits = 0
    for seed in range(draws):
        answer = Generator(max_new_tokens=1, do_sample=True, temperature=1 / 8, seed=seed)
        hits += texts(generate_rows(answer, random_model, tokenizer, prompts[:1]))[0] == tokenizer.decode([likely])
    assert hits / draws == pytest.approx(shares[likely].item(), abs=0.1)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(random_model, tokenizer, prompts, training):
    random_model.train(training)
    random_model.model.layers[0].eval()
    random_model.gradient_checkpointing_enable()
    settings = random_model.generation_config
    modes = [module.training for module in random_model.modules()]
    for beams in (1, 2):
        generate_rows(Generator(max_new_tokens=3, num_beams=beams), random_model, tokenizer, prompts)
    assert [module.training for module in random_model.modules()] == modes
    assert random_model.is_gradient_checkpointing
    assert random_model.generation_config is settings
    random_model.train()
    random_model(input_ids=torch.tensor(prompts[:1]), labels=torch.tensor(prompts[:1])).loss.backward()


def test_a_checkpoint_s_own_sampling_settings_are_not_taken_over(random_model, tokenizer, prompts):
    plain = [generate_rows(Generator(max_new_tokens=6, num_beams=n), random_model, tokenizer, prompts) for n in (1, 2)]
    random_model.generation_config.repetition_penalty = 50.0
    random_model.generation_config.max_new_tokens = 2
    again = [generate_rows(Generator(max_new_tokens=6, num_beams=n), random_model, tokenizer, prompts) for n in (1, 2)]
    assert [texts(answers) for answers in plain] == [texts(answers) for answers in again]


def test_a_peft_model_generates_with_its_adapter(random_model, tokenizer, prompts):
    from peft import LoraConfig, get_peft_model

    plain = texts(generate_rows(Generator(max_new_tokens=8), random_model, tokenizer, prompts))
    torch.manual_seed(3)
    wrapped = get_peft_model(random_model, LoraConfig(target_modules=["q_proj", "o_proj"], init_lora_weights=False))
    adapted = texts(generate_rows(Generator(max_new_tokens=8), wrapped, tokenizer, prompts))
    merged = texts(generate_rows(Generator(max_new_tokens=8), wrapped.merge_and_unload(), tokenizer, prompts))
    assert plain != adapted == merged


def limit_rows(model, most, error):
    def refuse(module, args, kwargs):
        ids = kwargs.get("input_ids")
        if ids is not None and len(ids) > most:
            raise error

    return model.register_forward_pre_hook(refuse, with_kwargs=True)


CPU_MEMORY = RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 8 TB")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), CPU_MEMORY])
def test_too_large_batches_are_halved_and_the_size_remembered(random_model, tokenizer, prompts, error):
    free = generate_rows(Generator(max_new_tokens=6), random_model, tokenizer, prompts)
    generator = Generator(max_new_tokens=6)
    hook = limit_rows(random_model, 2, error)
    sizes = []
    random_model.register_forward_pre_hook(lambda m, a, k: sizes.append(len(k["input_ids"])), with_kwargs=True)
    halved = generate_rows(generator, random_model, tokenizer, prompts, batch_size=5)
    assert texts(halved) == texts(free)
    assert generator.memory.rows == 2
    sizes.clear()
    generate_rows(generator, random_model, tokenizer, prompts, batch_size=5)
    assert max(sizes) == 2
    hook.remove()


def test_a_real_allocation_failure_on_the_cpu_is_recognised(random_model, tokenizer, prompts):
    random_model.register_forward_pre_hook(lambda m, a: torch.empty(1 << 60, dtype=torch.uint8) and None)
    with pytest.raises(UserError, match=r"max_new_tokens.*lower max_new_tokens"):
        generate_rows(Generator(max_new_tokens=6), random_model, tokenizer, prompts)


def test_other_errors_pass_through(random_model, tokenizer, prompts):
    limit_rows(random_model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        generate_rows(Generator(max_new_tokens=6), random_model, tokenizer, prompts)


def test_progress_counts_rows(random_model, tokenizer, prompts):
    seen = []
    generate_rows(Generator(max_new_tokens=2), random_model, tokenizer, prompts, batch_size=2, progress=seen.append)
    assert seen == [2, 4, 5]
    assert generate_rows(Generator(), random_model, tokenizer, []) == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_new_tokens", 0),
        ("per_source", 0),
        ("num_beams", 0),
        ("temperature", 0.0),
        ("top_p", 0.0),
        ("top_p", 1.5),
        ("top_k", -1),
        ("repetition_penalty", 0.0),
        ("no_repeat_ngram_size", -1),
        ("cache_bits", 3),
        ("stop", "}"),
    ],
)
def test_impossible_settings_are_named(option, value):
    with pytest.raises(ConfigError, match=rf"generator.init_args.{option}: .*{value}"):
        Generator(**{option: value})


def test_beams_and_sampling_exclude_each_other():
    with pytest.raises(ConfigError, match="do_sample"):
        Generator(num_beams=2, do_sample=True)


@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"do_sample": True}])
def test_a_limit_by_source_cuts_each_row_at_its_own(random_model, tokenizer, prompts, options):
    meta = [{"source": "manzana " * (3 * row)} for row in range(len(prompts))]
    whole = decoded(Generator(max_new_tokens=60, **options), random_model, tokenizer, prompts)
    short = generate_rows(
        Generator(max_new_tokens=60, per_source=1.5, **options), random_model, tokenizer, prompts, meta, batch_size=3
    )
    limits = [min(60, int(1.5 * len(tokenizer(facts["source"])["input_ids"])) + 32) for facts in meta]
    assert limits[0] == 32 < limits[1] < limits[-1]
    for answer, full, limit in zip(short, whole, limits, strict=True):
        assert answer.new_tokens == min(limit, len(full.tokens))
        assert answer.finished == (full.finished and len(full.tokens) <= limit)
        if not options.get("num_beams"):
            assert answer.text == tokenizer.decode(full.tokens[:limit], skip_special_tokens=True)


def test_a_limit_by_source_needs_sources(random_model, tokenizer, prompts):
    with pytest.raises(ConfigError, match="rows name no source text"):
        generate_rows(Generator(per_source=3), random_model, tokenizer, prompts)
