"""The weighted score of leaves: worked examples of the contest that it comes from, and a slow obvious version."""

from __future__ import annotations

import json
import random
from copy import deepcopy

import pytest

from lit_llm.errors import ConfigError
from lit_llm.metrics import WeightedF1
from lit_llm.metrics.weighted import Weights, counts
from lit_llm.strict_json import loads

# Keys weigh 1 and values 9. Two leaves on each side: the denominator is 2 · 10 + 2 · 10.
WORKED = [
    ({"a": 1, "b": 2}, {"a": 1, "b": 2}, 1.0),
    ({"a": 1, "b": 2}, {"a": 1, "b": 3}, 2 * (10 + 1) / 40),
    ({"a": 1, "b": 2}, {"a": 1}, 2 * 10 / 30),
    ({"a": 1}, {"a": 1, "b": 2}, 2 * 10 / 30),
    ({"a": 1}, {"b": 1}, 0.0),
    # Nulls are leaves, and equal ones count like any other.
    ({"a": None, "b": 2}, {"a": None, "b": 3}, 2 * (10 + 1) / 40),
    ({"a": None}, {}, 0.0),
    # Compared as text: a number and its digits are the same, 50.0 and 50 are not, and null reads as Python writes it.
    ({"a": 50}, {"a": "50"}, 1.0),
    ({"a": 50}, {"a": 50.0}, 2 * 1 / 20),
    ({"a": 1.5}, {"a": "1.5"}, 1.0),
    ({"a": None}, {"a": "None"}, 1.0),
    ({"a": True}, {"a": "True"}, 1.0),
    ({"a": "Coca"}, {"a": "coca"}, 2 * 1 / 20),
    # The order of items does not count, at any depth.
    ({"l": [1, 2]}, {"l": [2, 1]}, 1.0),
    ({"l": [{"x": [1, 2]}, {"x": [0]}]}, {"l": [{"x": [0]}, {"x": [2, 1]}]}, 1.0),
    # Items are numbered once they are sorted: one that is missing shifts those behind it.
    ({"l": ["a", "b", "c"]}, {"l": ["b", "c"]}, 2 * 2 / 50),
    # Empty containers have no leaves; a value and an object at one key share no path.
    ({"a": 1, "l": []}, {"a": 1}, 1.0),
    ({"a": {"b": 1}}, {"a": 1}, 0.0),
    ({}, {}, 1.0),
    ([], {"a": 1}, 0.0),
    (7, 7, 1.0),
]


@pytest.mark.parametrize(("gold", "answer", "score"), WORKED)
def test_worked_examples(gold, answer, score):
    metric = WeightedF1()
    metric.update([json.dumps(answer)], [gold], [{}])
    assert metric.compute()["weighted_f1"] == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("settings", "gold", "answer", "score"),
    [
        ({"lists": "in_order"}, [1, 2], [2, 1], 2 * 2 / 40),
        ({"nulls": False}, {"a": None, "b": 1}, {"b": 1}, 1.0),
        ({"nulls": False}, {"a": None}, {"a": 1}, 0.0),
        ({"key_weight": 0}, {"a": 1}, {"a": 2}, 0.0),
        ({"value_weight": 0}, {"a": 1}, {"a": 2}, 1.0),
        ({"key_weight": 0.5, "value_weight": 0.25}, {"a": 1, "b": 1}, {"a": 1, "b": 2}, 2 * (0.75 + 0.5) / 3),
    ],
)
def test_settings(settings, gold, answer, score):
    metric = WeightedF1(**settings)
    metric.update([json.dumps(answer)], [gold], [{}])
    assert metric.compute()["weighted_f1"] == pytest.approx(score)


def slow(gold, answer, key, value, in_order, nulls):
    """Walk both sides with lists of lists, count what is missing and what is too much, then F1 of both rates."""

    def walk(node, place, out):
        if isinstance(node, dict):
            for name in node:
                walk(node[name], [*place, name], out)
        elif isinstance(node, list):
            items = list(node) if in_order else sorted(node, key=lambda one: json.dumps(one, sort_keys=True))
            for number in range(len(items)):
                walk(items[number], [*place, number], out)
        elif node is not None or nulls:
            out.append([place, str(node)])
        return out

    expected, given = walk(gold, [], []), walk(answer, [], [])
    tp = fp = fn = 0
    for place, text in given:
        there = [other for at, other in expected if at == place]
        tp, fp = (tp + key, fp) if there else (tp, fp + key)
        tp, fp = (tp + value, fp) if there == [text] else (tp, fp + value)
    for place, text in expected:
        there = [other for at, other in given if at == place]
        fn += (0 if there else key) + (0 if there == [text] else value)
    if not expected and not given:
        return 1.0
    precision, recall = (tp / (tp + side) if tp + side else 0.0 for side in (fp, fn))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def random_value(rng, depth=0):
    kind = rng.choice(["object", "list", "scalar"]) if depth < 3 else "scalar"
    if kind == "object":
        return {rng.choice("abcde"): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if kind == "list":
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return rng.choice([None, True, False, 0, 1, 1.0, -0.0, 1e30, "1", "None", "á", "", 2.5, 10**20])


def corrupted(value, rng):
    """Return a copy in which items are lost, doubled, moved, emptied or replaced."""
    if isinstance(value, dict):
        kept = {name: corrupted(child, rng) for name, child in value.items() if rng.random() > 0.1}
        return kept | ({rng.choice("abcdef"): random_value(rng, 2)} if rng.random() < 0.1 else {})
    if isinstance(value, list):
        items = [corrupted(child, rng) for child in value if rng.random() > 0.1]
        items += deepcopy(items[:1]) if rng.random() < 0.1 else []
        rng.shuffle(items)
        return items
    return random_value(rng, 3) if rng.random() < 0.15 else value


@pytest.mark.parametrize("in_order", [False, True])
@pytest.mark.parametrize("nulls", [False, True])
def test_the_same_as_a_slow_version_on_corrupted_values(in_order, nulls):
    rng = random.Random(f"{in_order}/{nulls}")
    weights = Weights(lists="in_order" if in_order else "sorted", nulls=nulls)
    for _ in range(1250):
        gold = random_value(rng)
        answer = corrupted(gold, rng)
        for one, other in ((gold, answer), (answer, gold)):
            assert counts(one, other, weights).f1(weights) == pytest.approx(
                slow(one, other, 1, 9, in_order, nulls), abs=1e-12
            )


def test_digits_do_not_decide_whether_numbers_are_the_same():
    assert counts(loads("[1.50, 1e-05]"), loads("[1.5, 0.00001]"), Weights()).equal == 2


def test_what_is_not_json_scores_nothing_and_what_is_around_it_is_left_out_on_demand():
    texts = ['Here: {"a": 1}', '{"a": 1}', '{"a": 1']
    strict, lenient = WeightedF1(), WeightedF1(parse="lenient")
    for metric in (strict, lenient):
        metric.update(texts, [{"a": 1}] * 3, [{}] * 3)
    assert strict.compute() == {"weighted_f1": pytest.approx(1 / 3), "weighted_f1_micro": pytest.approx(2 * 10 / 40)}
    assert lenient.compute()["weighted_f1"] == pytest.approx(2 / 3)


def test_rows_add_up_in_any_order():
    rng = random.Random(0)
    pairs = [(gold := random_value(rng), corrupted(gold, rng)) for _ in range(200)]
    found = []
    for order in (pairs, pairs[::-1]):
        metric = WeightedF1()
        for gold, answer in order:
            metric.update([json.dumps(answer)], [gold], [{}])
        found.append(metric.compute())
    assert found[0] == found[1]
    assert WeightedF1().compute() == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"key_weight": -1}, "key_weight: -1 is not a finite number of at least 0"),
        ({"value_weight": float("inf")}, "value_weight: inf is not a finite"),
        ({"key_weight": 0, "value_weight": 0}, "both are 0"),
    ],
)
def test_weights_that_say_nothing_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        WeightedF1(**settings)
