import copy
import json
from types import SimpleNamespace

import pytest
import torch
from transformers import AddedToken

from lit_llm.generation import Stop, json_end, stop_ids
from lit_llm.generation.decoding import Decoded
from lit_llm.generation.engine import _generation
from lit_llm.generation.stopping import JsonState

VALUES = [
    {},
    [],
    {"a": {"b": [1, {"c": []}]}},
    [[1], [2, [3]]],
    {"s": 'quote " brace } bracket ] backslash \\'},
    {'clave "}': "\\"},
    {"á": "ñ{[", "emoji": "🍐}"},
    ["\\\\", '\\"', "]"],
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("before", ["", "Respuesta: ", 'una "cita" '])
@pytest.mark.parametrize("after", ["", "}", " y más {}"])
def test_json_end_is_where_the_value_closes(value, before, after):
    text = json.dumps(value, ensure_ascii=False)
    assert json_end(before + text + after) == len(before + text)


@pytest.mark.parametrize("text", ["", "12", '"a"', "{", '{"a":"}', '{"a":"\\"}', "[[]", "no } hay ]"])
def test_json_end_of_an_open_text_is_none(text):
    assert json_end(text) is None


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_state_does_not_depend_on_how_the_text_is_cut(value, size):
    text = json.dumps(value, ensure_ascii=False)
    state = JsonState()
    for start in range(0, len(text), size):
        assert not state.closed
        state = state.feed(text[start : start + size])
    assert state.closed


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ('<think>quizá {"a":0} o no</think>{"a":1}', " y más"),
        ('<think>{"a":{"b":0}}</think> <think>[]</think>\n{"d":"}"}', "}"),
        ('<think>uno <think>dos</think> {"a":0} </think>[[1]]', "{}"),
        ('< think {"a":"<think>"}', "]"),
        ("<<think>[]</think>[<think>]", "[]"),
        ('<thinking>{"a":1}', ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_nothing_stops_within_a_thought(text, rest, size):
    assert json_end(text + rest) == len(text)
    state = JsonState()
    for start in range(0, len(text), size):
        assert not state.closed
        state = state.feed(text[start : start + size])
    assert state.closed


@pytest.mark.parametrize("text", ['<think>{"a":0}', "<think>{}</think>", "<think><think>{}</think>{}"])
def test_a_thought_alone_is_no_value(text):
    assert json_end(text) is None


@pytest.mark.parametrize("special", [True, False])
def test_a_template_may_open_the_thought(tokenizer, special):
    own = copy.deepcopy(tokenizer)
    own.add_tokens([AddedToken(mark, special=special) for mark in ("<think>", "</think>")], special_tokens=special)
    answer = 'quizá {"p":0}</think>{"p":1}'
    tokens = _ids(own, answer)
    for prompt, end in (("<think>\n", answer), ("<think>\n\n</think>\n\n", 'quizá {"p":0}'), ("", 'quizá {"p":0}')):
        stop = Stop(own, "json", prompt=_ids(own, "nada" + prompt))
        assert stop.length(tokens) == len(_ids(own, end)), prompt
    assert _generation(own, Decoded(tokens, 0.0, True)).text == answer


def _ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


@pytest.mark.parametrize("value", VALUES)
def test_a_row_stops_at_the_token_that_closes_its_value(tokenizer, value):
    tokens = _ids(tokenizer, json.dumps(value, ensure_ascii=False))
    stop = Stop(tokenizer, "json")
    done = [stop(torch.tensor([tokens[: step + 1]])).item() for step in range(len(tokens))]
    assert done == [False] * (len(tokens) - 1) + [True]
    assert stop.length(tokens + tokens) == len(tokens)


def test_every_row_has_its_own_state(tokenizer):
    stop = Stop(tokenizer, "json", prompt_length=2)
    prompt = _ids(tokenizer, "{}")
    texts = ['{"a":1}', '{"a":"}', "[[1] 2]", '["]"] x']
    rows = [_ids(tokenizer, text) for text in texts]
    length = min(map(len, rows))
    for step in range(1, length + 1):
        done = stop(torch.tensor([(prompt * 2)[:2] + row[:step] for row in rows]))
        expected = [json_end(tokenizer.decode(row[:step])) is not None for row in rows]
        assert done.tolist() == expected


def test_states_survive_reordering_repeating_and_dropping_rows(tokenizer):
    texts = ['{"a":"x}"}', '{"b":[1,2]}', '["c","d\\""]']
    rows = [_ids(tokenizer, text) for text in texts]
    stop = Stop(tokenizer, "json")
    generator = torch.Generator().manual_seed(0)
    for step in range(1, max(map(len, rows)) + 1):
        picks = torch.randint(len(rows), (4,), generator=generator).tolist()
        picked = [rows[pick][:step] for pick in picks if len(rows[pick]) >= step]
        if not picked:
            continue
        expected = [json_end(tokenizer.decode(row)) is not None for row in picked]
        assert stop(torch.tensor(picked)).tolist() == expected


def test_end_tokens_stop_under_both_rules_and_are_not_text(tokenizer):
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    assert stop_ids(tokenizer) == sorted([end, pad])
    for rule in ("eos", "json"):
        stop = Stop(tokenizer, rule)
        assert stop(torch.tensor([[5, end], [5, pad], [end, 5]])).tolist() == [True, True, False]
        assert stop.length([5, 6, end, pad]) == 3
        assert stop.length([5, 6]) is None
    assert not Stop(tokenizer, "eos")(torch.tensor([_ids(tokenizer, "{}")])).item()


@pytest.mark.parametrize("value", VALUES)
def test_the_qwen3_vocabulary_closes_where_the_text_does(qwen_tokenizer, value):
    tokens = _ids(qwen_tokenizer, "Aquí: " + json.dumps(value, ensure_ascii=False) + "<|im_end|>")
    assert Stop(qwen_tokenizer, "json").length(tokens) == len(tokens) - 1
    assert Stop(qwen_tokenizer, "eos").length(tokens) == len(tokens)


@pytest.mark.parametrize(("named", "counts"), [("<|vision_end|>", True), ("a", False)])
def test_end_tokens_of_the_base_count_where_they_are_tokens_of_their_own(qwen_tokenizer, named, counts):
    token = qwen_tokenizer.convert_tokens_to_ids(named)
    model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[token]))
    assert (token in stop_ids(qwen_tokenizer, model)) is counts
