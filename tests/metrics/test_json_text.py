from __future__ import annotations

import time

import pytest

from lit_llm.metrics import parse_json
from lit_llm.strict_json import MAX_DEPTH


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a":1}', {"a": 1}),
        (" [1, 2.5] \n", [1, 2.5]),
        ("null", None),
        ('"x"', "x"),
        ('{"a":"```{\\"b\\":1}```"}', {"a": '```{"b":1}```'}),
        ('"\\ud83d\\ude00"', "😀"),
        ('{"a":{"b":1},"c":{"b":1}}', {"a": {"b": 1}, "c": {"b": 1}}),
    ],
)
def test_strict(text, value):
    parsed = parse_json(text)
    assert (parsed.value, parsed.strict, parsed.found, parsed.error) == (value, True, True, "")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('```json\n{"a":1}\n```', {"a": 1}),
        ("```\n[1,2]\n```\nListo.", [1, 2]),
        ('Aquí está: {"a":{"b":"}"}} ¡listo!', {"a": {"b": "}"}}),
        ('{"a":1} {"a":2}', {"a": 1}),
        ('{"a":1}}', {"a": 1}),
        ('usa {esto}: {"a":1}', {"a": 1}),
        ('[1] {"a":1}', {"a": 1}),
        ('son [{"a":1},{"a":2}] dos', [{"a": 1}, {"a": 2}]),
        ('dijo "ok: {"a":1}', {"a": 1}),
        ('```json\n{"a":"```"}\n```', {"a": "```"}),
        ('```json\n{"a":1}', {"a": 1}),
        ('\ufeff{"a":1}', {"a": 1}),
        ('{"a":"\\"}"} y', {"a": '"}'}),
    ],
)
def test_recovered(text, value):
    parsed = parse_json(text)
    assert (parsed.value, parsed.strict, parsed.found) == (value, False, True)
    assert parsed.error


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Expecting value"),
        ("no hay pedido", "Expecting value"),
        ('{"cantidad": 12', "Expecting ',' delimiter"),
        ('{"a": {"b": 1}, "c": ', "Expecting value"),
        ('{"a": 007}', "Expecting ',' delimiter"),
        ("{'a': 1}", "Expecting property name"),
        ('{"a":1,"a":2}', "a: occurs twice"),
        ('{"x":{"a":1,"b":1,"a":{"c":1}}}', "x.a: occurs twice"),
        ('{"a":NaN}', "NaN is not JSON"),
        ('{"a":-Infinity}', "-Infinity is not JSON"),
        ('{"a":1e999}', "1e999' is too large"),
        ('{"a":' + "9" * 5000 + "}", "4300 digits"),
        ('{"a":"\\ud83d"}', "half of a surrogate pair"),
        ("[" * 5000 + "]" * 5000, "nested deeper"),
        ("[" * 100_000, "nested deeper"),
    ],
)
def test_unusable(text, why):
    parsed = parse_json(text)
    assert (parsed.value, parsed.strict, parsed.found) == (None, False, False)
    assert why in parsed.error


@pytest.mark.parametrize(
    ("text", "value", "strict"),
    [
        ('<think>quizá {"a":0} o no</think>{"a":1}', {"a": 1}, True),
        ("<think>\n\n</think>\n\n[2]", [2], True),
        ('<think>{"a":0}</think><think>{"b":{"c":0}</think>\n{"d":"}"}', {"d": "}"}, True),
        ('<think>uno <think>dos</think> {"a":0} </think>{"a":1}', {"a": 1}, True),
        ('borrador {"a":0}\n</think>\n\n{"a":1}', {"a": 1}, True),
        ('{"a":0}<think>no: mejor</think>{"a":1}', {"a": 1}, True),
        ('<think>x</think>{"a":"</think>"}', {"a": "</think>"}, True),
        ('{"a":"<think>"}', {"a": "<think>"}, True),
        ('<think>{"a":0}</think>Es: {"a":1}.', {"a": 1}, False),
        ('<think>{"a":0}</think>```json\n{"a":1}\n```', {"a": 1}, False),
        ('Es: {"a":"<think>"}.', {"a": "<think>"}, False),
        ('{"a":1} <think>¿o {"a":0}?', {"a": 1}, False),
    ],
)
def test_what_stands_in_a_thought_is_no_answer(text, value, strict):
    parsed = parse_json(text)
    assert (parsed.value, parsed.strict, parsed.found) == (value, strict, True)


@pytest.mark.parametrize(
    "text", ['<think>{"a":0}', '<think>a</think><think>{"a":0}', '<think>{"a":0}</think> nada', '{"a":0}</think>']
)
def test_a_draft_is_never_taken_for_the_answer(text):
    assert not parse_json(text).found


def test_brackets_inside_of_strings_are_not_depth():
    assert parse_json('{"a":"' + "[" * 5000 + '"}').strict
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH).strict
    assert not parse_json("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)).found


@pytest.mark.parametrize("piece", ['{"', "[", '"\\', "{", "```", '{"a":"', "} {", '{"a":"</think>', "<think>{"])
def test_degenerate_repetition_takes_no_time(piece):
    start = time.perf_counter()
    parse_json(piece * 20_000)
    assert time.perf_counter() - start < 1
