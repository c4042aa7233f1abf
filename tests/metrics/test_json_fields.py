from __future__ import annotations

import copy
import itertools
import random

import pytest

from lit_llm.catalogues import path_name
from lit_llm.errors import DataError
from lit_llm.metrics import FieldScore, Rules, differing_paths, score_pair
from lit_llm.metrics.json_fields import align, best_pairs, leaf_count, tally


def total(gold, prediction, **rules) -> FieldScore:
    return sum(tally(align(gold, prediction, Rules(**rules))).values(), FieldScore())


def f1(gold, prediction, **rules) -> float:
    return total(gold, prediction, **rules).f1


@pytest.mark.parametrize(
    ("gold", "prediction", "counts"),
    [
        # What Donut's evaluator gets wrong: empty against empty, falsy values, nested lists, 50.0, swaps, order.
        ({}, {}, (1, 0, 0)),
        (None, None, (0, 0, 0)),
        ({"a": 0, "b": 1}, {"b": 1}, (1, 0, 1)),
        ({"a": False, "b": 1}, {"b": 1}, (1, 0, 1)),
        ({"a": "", "b": 1}, {"b": 1}, (1, 0, 1)),
        ({"a": [[1, 2], [3]]}, {"a": []}, (0, 1, 3)),
        ({"a": [[1, 2], [3]]}, {"a": [[3], [2, 1]]}, (3, 0, 0)),
        ({"a": [True, False]}, {"a": [False, False]}, (1, 1, 1)),
        ({"a": [True]}, {"a": []}, (0, 1, 1)),
        ({"a": 50}, {"a": "50"}, (0, 1, 1)),
        ({"a": 50}, {"a": 50.0}, (1, 0, 0)),
        ([{"n": "x", "p": 1}, {"n": "y", "p": 2}], [{"n": "x", "p": 2}, {"n": "y", "p": 1}], (2, 2, 2)),
        ([1, 2, 3, 4], [4, 3, 2, 1], (4, 0, 0)),
        # Types are kept apart: Python holds True to be 1.
        ({"a": True}, {"a": 1}, (0, 1, 1)),
        ({"a": False}, {"a": 0}, (0, 1, 1)),
        ({"a": {"b": 1, "c": 2}}, {"a": "b"}, (0, 1, 2)),
        ({"a": [1]}, {"a": {"0": 1}}, (0, 1, 1)),
        ({"a": {}}, {"a": []}, (0, 1, 1)),
        ({"a": []}, {"a": [1]}, (0, 1, 1)),
        # Superfluous items are errors, duplicates too.
        ([{"n": 1}], [{"n": 1}, {"n": 1}], (1, 1, 0)),
        ([1, 1], [1], (1, 0, 1)),
        # Null is a missing field, also where that leaves an object empty.
        ({"a": None, "b": 1}, {"b": 1}, (1, 0, 0)),
        ({"s": {"x": None}}, {"s": {}}, (1, 0, 0)),
        ([None, 1], [1], (1, 0, 0)),
        ({"a": None}, {"a": 1}, (0, 1, 1)),
        # Text: NFC, case and white space.
        ({"a": "Café  con\tleche "}, {"a": "cafe\u0301 con leche"}, (1, 0, 0)),
        ({"a": "STRASSE"}, {"a": "straße"}, (1, 0, 0)),
        ({"a": "piña"}, {"a": "pina"}, (0, 1, 1)),
        # Keys are compared as written.
        ({"a": 1}, {"A": 1}, (0, 1, 1)),
    ],
)
def test_counts(gold, prediction, counts):
    assert total(gold, prediction) == FieldScore(*counts)


@pytest.mark.parametrize(
    ("gold", "prediction", "rules", "without", "with_rules"),
    [
        ({"a": None, "b": 1}, {"b": 1}, {"ignore_null": False}, 1, 2 / 3),
        ({"a": None}, {"a": None}, {"ignore_null": False}, 1, 1),
        ({"a": 0.30}, {"a": 0.31}, {"number_tolerance": 0.01}, 0, 1),
        ({"a": 0.30}, {"a": 0.32}, {"number_tolerance": 0.01}, 0, 0),
        ({"a": 10**400}, {"a": 1.5}, {"number_tolerance": 0.01}, 0, 0),
        ({"a": True}, {"a": 1}, {"number_tolerance": 1.0}, 0, 0),
        ({"a": "Té"}, {"a": "té"}, {"verbatim": True}, 1, 0),
        ({"a": 50}, {"a": "50"}, {"type_lenient": True}, 0, 1),
        ({"a": 50}, {"a": " 50.0 "}, {"type_lenient": True}, 0, 1),
        ({"a": "true"}, {"a": True}, {"type_lenient": True}, 0, 1),
        ({"a": "007"}, {"a": "7"}, {"type_lenient": True}, 0, 0),
        ({"a": "1e999999999"}, {"a": 5}, {"type_lenient": True}, 0, 0),
        ({"a": True}, {"a": 1}, {"type_lenient": True}, 0, 0),
        ({"a": "5.01"}, {"a": 5}, {"type_lenient": True, "number_tolerance": 0.1}, 0, 1),
        ({"a": "2024-05-03"}, {"a": "3/5/2024"}, {"dates": frozenset({"a"})}, 0, 1),
        ({"a": "2024-05-03"}, {"a": "3/5/2024"}, {"dates": frozenset({"b"})}, 0, 0),
        ({"a": "2024-05-03"}, {"a": "3/5/2024"}, {"dates": frozenset({"a"}), "day_first": False}, 0, 0),
        ({"a": "2024-03-05"}, {"a": "3/5/2024"}, {"dates": frozenset({"a"}), "day_first": False}, 0, 1),
        ({"a": [{"b": "10:30"}]}, {"a": [{"b": "10:30:00"}]}, {"dates": frozenset({"a[].b"})}, 0, 1),
        ({"a": "2024-05-03T10:00Z"}, {"a": "2024-05-03T12:00+02:00"}, {"dates": frozenset({"a"})}, 0, 1),
        ({"a": "mañana"}, {"a": "MAÑANA"}, {"dates": frozenset({"a"})}, 1, 1),
        ({"a": "31/02/2024"}, {"a": "30/02/2024"}, {"dates": frozenset({"a"})}, 0, 0),
    ],
)
def test_every_rule_changes_what_it_says(gold, prediction, rules, without, with_rules):
    assert f1(gold, prediction) == pytest.approx(without)
    assert f1(gold, prediction, **rules) == pytest.approx(with_rules)


def random_value(rng: random.Random, depth: int = 3):
    kind = rng.choice([0, 1, 2, 3, 4, 5, 6, 6, 7, 7, 7]) if depth else rng.randrange(6)
    if kind < 6:
        return [rng.randrange(3), rng.choice("xyz"), rng.random() < 0.5, None, rng.randrange(3) + 0.5, ""][kind]
    size = rng.randrange(4)
    if kind == 6:
        return {rng.choice("abcd"): random_value(rng, depth - 1) for _ in range(size)}
    return [random_value(rng, depth - 1) for _ in range(size)]


def mutated(rng: random.Random, value):
    """Return a copy in which some parts are others, so that pairs agree in part."""
    if rng.random() < 0.15:
        return random_value(rng, 2)
    if isinstance(value, dict):
        return {key: mutated(rng, child) for key, child in value.items() if rng.random() < 0.9}
    if isinstance(value, list):
        return [mutated(rng, child) for child in value if rng.random() < 0.9]
    return value


def shuffled(rng: random.Random, value):
    """Return an equal value with items and keys in another order, at every level."""
    if isinstance(value, dict):
        items = [(key, shuffled(rng, child)) for key, child in value.items()]
        return dict(rng.sample(items, len(items)))
    if isinstance(value, list):
        return rng.sample([shuffled(rng, child) for child in value], len(value))
    return copy.deepcopy(value)


def random_pairs(count: int):
    rng = random.Random(7)
    for _ in range(count):
        gold = {key: random_value(rng) for key in "abcd"[: rng.randrange(5)]}
        yield rng, gold, mutated(rng, gold) if rng.random() < 0.8 else random_value(rng)


RULES = [{}, {"ignore_null": False}, {"type_lenient": True}, {"verbatim": True}, {"number_tolerance": 0.5}]


@pytest.mark.parametrize("rules", RULES)
def test_range_symmetry_identity_and_permutation_on_random_pairs(rules):
    scores = []
    for rng, gold, prediction in random_pairs(800):
        score = total(gold, prediction, **rules)
        back = total(prediction, gold, **rules)
        assert 0 <= score.f1 <= 1
        assert (score.tp, score.fp, score.fn) == (back.tp, back.fn, back.fp)
        assert score.support == leaf_count(gold, Rules(**rules))
        assert score.tp + score.fp == leaf_count(prediction, Rules(**rules))
        assert f1(gold, copy.deepcopy(gold), **rules) == 1
        assert f1(gold, shuffled(rng, gold), **rules) == 1
        assert total(shuffled(rng, gold), shuffled(rng, prediction), **rules) == score
        scores.append(score.f1)
    assert sum(0 < score < 1 for score in scores) > 200


def brute_force(gold, prediction) -> int:
    """Most agreeing leaves over every assignment of every pair of lists."""
    if isinstance(gold, dict) and isinstance(prediction, dict):
        if not gold or not prediction:
            return int(gold == prediction)
        return sum(brute_force(gold[key], prediction[key]) for key in gold.keys() & prediction.keys())
    if isinstance(gold, list) and isinstance(prediction, list):
        if not gold or not prediction:
            return int(gold == prediction)
        short, long = sorted([gold, prediction], key=len)
        return max(
            sum(brute_force(*pair) for pair in zip(short, order, strict=True))
            for order in itertools.permutations(long, len(short))
        )
    return int(type(gold) is type(prediction) and gold == prediction and not isinstance(gold, dict | list))


def test_alignment_equals_brute_force_over_all_assignments():
    found = []
    for _, gold, prediction in random_pairs(600):
        hits = total(gold, prediction, ignore_null=False).tp
        assert hits == brute_force(gold, prediction), (gold, prediction)
        found.append(hits)
    assert sum(hits > 2 for hits in found) > 100


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (5, 2), (4, 4)])
def test_assignment_of_random_weights_equals_brute_force(shape):
    rng = random.Random(3)
    rows, columns = shape
    for _ in range(100):
        weights = [[rng.randrange(4) for _ in range(columns)] for _ in range(rows)]
        pairs = best_pairs(weights)
        table = weights if rows <= columns else [list(column) for column in zip(*weights, strict=True)]
        best = max(
            sum(table[i][j] for i, j in enumerate(order))
            for order in itertools.permutations(range(len(table[0])), len(table))
        )
        assert sum(weights[i][j] for i, j in pairs) == best
        assert all(weights[i][j] for i, j in pairs)
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


def test_a_tie_goes_to_the_nearer_position():
    assert best_pairs([[1] * 4 for _ in range(4)]) == [(i, i) for i in range(4)]
    assert best_pairs([[1, 2], [1, 2]]) == [(0, 0), (1, 1)]


def test_deeply_nested_lists_are_matched_once_per_level():
    gold = prediction = 1
    for _ in range(30):
        gold, prediction = [gold, 2], [3, prediction]
    assert total(gold, prediction).tp == 1


def test_long_lists_are_matched():
    gold = [{"n": i, "p": i % 7} for i in range(150)]
    assert f1(gold, gold[::-1]) == 1
    assert f1(gold, gold[::-1][:75]) == pytest.approx(2 * 150 / (300 + 150))


@pytest.mark.parametrize(
    ("path", "name", "field"),
    [
        ((), "$", "$"),
        (("a", "b"), "a.b", "a.b"),
        (("items", 2, "precio"), "items[2].precio", "items[].precio"),
        ((0, 1), "[0][1]", "[][]"),
        (("a.b", "c"), '["a.b"].c', '["a.b"].c'),
        (("x", "", "con espacio"), 'x[""]["con espacio"]', 'x[""]["con espacio"]'),
    ],
)
def test_path_names(path, name, field):
    assert path_name(path) == name
    assert path_name(path, field=True) == field


@pytest.mark.parametrize(
    ("gold", "prediction", "paths"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": 1, "b": 2}, {"a": 3, "c": 2}, ["a", "b", "c"]),
        ({"i": ["x", "y"]}, {"i": ["z", "x"]}, ["i[1]"]),
        ({"i": ["x"]}, {"i": ["y", "x", "z"]}, ["i[1]", "i[2]"]),
        ({"i": ["x", "y"]}, {"i": ["y"]}, ["i[0]"]),
        ({"i": [{"n": "x", "p": 1}]}, {"i": [{"n": "x", "p": 2}]}, ["i[0].p"]),
        ({"a": {"b": 1}}, {"a": 2}, ["a.b", "a"]),
        ({"a": 1}, None, ["a"]),
        (None, {"a": 1}, ["a"]),
    ],
)
def test_differing_paths(gold, prediction, paths):
    assert differing_paths(gold, prediction) == paths


def test_scores_by_field_write_positions_as_brackets():
    gold = {"id": 1, "items": [{"n": "x", "p": 1}, {"n": "y", "p": 2}]}
    prediction = {"id": 1, "items": [{"n": "y", "p": 3}, {"n": "x", "p": 1}, {"n": "w"}]}
    assert tally(align(gold, prediction)) == {
        "id": FieldScore(1, 0, 0),
        "items[].n": FieldScore(2, 1, 0),
        "items[].p": FieldScore(1, 1, 1),
    }


def test_score_pair_of_a_right_text():
    score = score_pair({"a": [1, "Té"]}, '{"a":[1.0,"Té"]}')
    assert score.exact and score.exact_normalised and score.usable
    assert score.document_f1 == score.verbatim.f1 == score.type_lenient.f1 == 1


@pytest.mark.parametrize(
    ("gold", "text", "exact", "normalised"),
    [
        ({"a": 1, "b": 2}, '{"b":2,"a":1}', True, True),
        ({"a": [1, 2]}, '{"a":[2,1]}', False, True),
        ({"a": "Té"}, '{"a":"té"}', False, True),
        ({"a": 1, "b": None}, '{"a":1}', False, True),
        ({"a": True}, '{"a":1}', False, False),
        ({"a": 1}, '{"a":1,"b":1}', False, False),
    ],
)
def test_exact_match_strict_and_normalised(gold, text, exact, normalised):
    score = score_pair(gold, text)
    assert (score.exact, score.exact_normalised) == (exact, normalised)


@pytest.mark.parametrize(("gold", "missing"), [({"a": [1, 2], "b": {}}, 3), ({}, 1), (None, 0), ([], 1)])
@pytest.mark.parametrize("text", ["", '{"a":', "nada", '{"a":1,"a":1}'])
def test_an_unusable_text_misses_all_and_predicts_nothing(gold, missing, text):
    score = score_pair(gold, text)
    assert score.total == score.verbatim == score.type_lenient == FieldScore(0, 0, missing)
    assert score.document_f1 == 0
    assert not (score.exact or score.exact_normalised or score.usable)


def test_recovered_values_count_only_when_asked():
    gold, text = {"a": 1}, '```json\n{"a":1}\n```'
    strict, lenient = score_pair(gold, text), score_pair(gold, text, parse="lenient")
    assert strict.document_f1 == 0 and not strict.exact
    assert lenient.document_f1 == 1 and lenient.exact
    assert strict.parsed.found and not strict.parsed.strict


def test_what_is_not_json_is_named():
    with pytest.raises(DataError, match=r"a\[0\].*tuple"):
        align({"a": [(1, 2)]}, {})
    with pytest.raises(DataError, match="nan"):
        align({"a": float("nan")}, {})
