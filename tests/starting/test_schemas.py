"""Schemas that are inferred say what the values are, and no more than can be known."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from lit_llm.schemas import first_fault
from lit_llm.starting.extraction import refused
from lit_llm.starting.oddities import oddities
from lit_llm.starting.schemas import Bounds, infer, key_order, looser
from lit_llm.strict_json import loads


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ([3, 4], "type", "integer"),
        ([3, 4.5], "type", "number"),
        ([50.0, 60.0], "type", "number"),
        (loads("[1.50, 0.00001]"), "type", "number"),
        (["a", None], "type", ["string", "null"]),
        ([None, None], "type", "null"),
        ([True, False], "type", "boolean"),
        (["2024-01-31", "2024-02-29", "2023-12-01"], "format", "date"),
        (["2024-01-31", "2024-02-30", "2023-12-01"], "format", None),
        (["rojo", "azul"] * 20, "enum", ["azul", "rojo"]),
        (["rojo", None, "azul"] * 20, "enum", ["azul", "rojo", None]),
        (["rojo", "azul"] * 20 + ["verde"], "enum", None),
        (["rojo", "azul"] * 3, "enum", None),
        (["2024-01-31", "2024-02-28"] * 40, "enum", None),
        (["corto", "bastante largo"], "maxLength", 30),
        (["x" * 500], "maxLength", None),
        (["a"] * 3, "minLength", None),
        ([7] * 40, "minimum", 0),
        ([7] * 4, "minimum", -99),
        ([1.25, 3.5] * 20, "multipleOf", 0.01),
        ([1.23456789] * 40, "multipleOf", None),
        ([[1], [2, 3]], "maxItems", 4),
    ],
)
def test_what_is_said_of_a_field(values: list[Any], field: str, expected: Any) -> None:
    schema = infer([{"f": value} for value in values])
    assert schema["properties"]["f"].get(field) == expected
    assert schema["required"] == ["f"]
    assert schema["additionalProperties"] is False


def test_a_key_that_some_lack_is_not_required() -> None:
    schema = infer([{"a": 1, "b": 2}, {"a": 1}])
    assert (schema["required"], list(schema["properties"])) == (["a"], ["a", "b"])


@pytest.mark.parametrize(
    ("orders", "merged"),
    [
        (["abc", "abc", "cab"], "abc"),
        (["ac", "ac", "abc"], "abc"),
        (["bc", "bc", "abc"], "abc"),
        (["ad", "ad", "ab", "bcd"], "abcd"),
    ],
)
def test_keys_come_in_their_commonest_order(orders: list[str], merged: str) -> None:
    assert "".join(key_order(tuple(order) for order in orders)) == merged


def test_keys_that_are_data_are_no_properties() -> None:
    schema = infer([{f"clave {k}": k, f"otra {k}": 1} for k in range(60)])
    assert "properties" not in schema
    assert schema["additionalProperties"]["type"] == "integer"
    assert first_fault({"nueva": 5}, schema) is None


def drawn(rng: random.Random, depth: int = 0) -> Any:
    """Return some JSON value."""
    words = ["", "sí", 'con "comillas" y \\', "línea\nnueva", "2024-05-06", "🙂", "x" * rng.randrange(60)]
    leaves = [None, True, rng.randrange(-5, 10**4), rng.random() * 10**-7, round(rng.uniform(-9, 9), 2), 10**20]
    kind = rng.randrange(4) if depth < 3 else rng.randrange(2)
    if kind == 0:
        return rng.choice(leaves)
    if kind == 1:
        return rng.choice(words)
    if kind == 2:
        return [drawn(rng, depth + 1) for _ in range(rng.randrange(4))]
    keys = rng.sample(["a", "b", "ñ", "x y", "$ref"], rng.randrange(4))
    return {key: drawn(rng, depth + 1) for key in keys}


@pytest.mark.parametrize("seed", range(12))
def test_every_value_satisfies_its_schema_and_can_be_written_under_it(seed: int) -> None:
    rng = random.Random(seed)
    values = [{"v": drawn(rng), "w": drawn(rng)} for _ in range(rng.randrange(1, 12))] * rng.choice([1, 40])
    bounds: Bounds | None = Bounds()
    schema = infer(values)
    assert not [value for value in values if first_fault(value, schema)]
    while bounds and refused(values, schema):
        bounds = looser(bounds)
        schema = infer(values, bounds) if bounds else schema
    assert refused(values, schema) == {}
    assert not [value for value in values if first_fault(value, schema)]


def test_the_grammar_is_closed() -> None:
    schema = infer([{"color": color, "n": 4} for color in ["rojo", "azul"] * 20])
    wrong = [
        {"color": "gris", "n": 4},
        {"color": "rojo"},
        {"color": "rojo", "n": "4"},
        {"color": "rojo", "n": 4, "x": 1},
    ]
    assert list(refused(wrong, schema)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("odd", "field", "reason"),
    [
        ({"total": "doce", "lugar": "aquí"}, "total", "is a string, where 300 others are a number"),
        ({"total": 3, "lguar": "aquí"}, "lguar", "did you mean 'lugar'?"),
        ([1], "", "is an array, where 300 others are an object"),
    ],
)
def test_a_slip_is_found(odd: Any, field: str, reason: str) -> None:
    values: list[Any] = [{"total": k / 2, "lugar": "aquí"} for k in range(300)]
    values[150:150] = [odd]
    found = oddities(values)
    assert list(found) == [150]
    assert found[150][0] == field
    assert reason in found[150][1]


def test_what_is_rare_but_right_is_no_slip() -> None:
    values: list[Any] = [{"total": 1, "lugar": "aquí"} for _ in range(300)]
    values += [{"total": None, "lugar": "x"}, {"total": 2.5, "lugar": "x", "nota": "frágil"}]
    assert oddities(values) == {}
    assert oddities(json.loads('[{"a": 1}, {"a": "uno"}]')) == {}
