"""Targets are written as the grammar of their schema writes them."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from lit_llm.schemas import cleaned, first_fault, in_schema_form
from lit_llm.strict_json import Written, dumps, loads

NUMBER = {"type": "number"}


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(item, rng) for item in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    rng.shuffle(keys)
    return {key: shuffled(value[key], rng) for key in keys}


def refusal(schema: Any, text: str) -> str | None:
    """Return why the grammar of a schema cannot write a text; None where it can."""
    pytest.importorskip("llguidance")
    from lit_llm.generation import JsonSchemaConstraint

    return JsonSchemaConstraint().fault(text, {"schema": schema})


class Maker:
    """Draws schemas of the kinds that people and Pydantic write, and values that satisfy them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.definitions: dict[str, Any] = {}
        self.made: dict[str, Any] = {}
        self.place = self.rng.choice(["$defs", "definitions"])
        self.names = iter(f"{letter}{k}" for k in range(99) for letter in self.rng.sample("zaqñm", 5))

    def pair(self) -> tuple[Any, Any]:
        schema, value = self.draw(3)
        return schema | ({self.place: self.definitions} if self.definitions else {}), value

    def draw(self, depth: int) -> tuple[dict[str, Any], Any]:
        kinds = [self.scalar] if depth == 0 else [self.scalar, self.object, self.object, self.array]
        kinds += [self.reference, self.union, self.merged, self.member] if depth else []
        return self.rng.choice(kinds)(depth - 1)

    def scalar(self, depth: int) -> tuple[dict[str, Any], Any]:
        number = self.rng.choice([50.0, 1e-05, Written("0.50"), Written("12.500"), Written("1e2"), -0.0, 7, 1e16])
        low = self.rng.choice([{}, {"minimum": -1}, {"exclusiveMinimum": -0.5}, {"maximum": 1e17}])
        if number != math.trunc(number):
            return self.rng.choice([NUMBER | low, {"enum": ["x", number]}, {"type": ["number", "null"]} | low]), number
        forms = [{"type": "integer"} | low, {"type": ["null", "integer"]}, NUMBER | low | {"multipleOf": 1}]
        forms += [{"const": number or 0}, {"enum": [None, number or 0, "b"]}, NUMBER | low]
        return self.rng.choice(forms), number

    def members(self, count: int, depth: int) -> dict[str, tuple[Any, Any]]:
        return {next(self.names): self.draw(depth) for _ in range(count)}

    def object(self, depth: int) -> tuple[dict[str, Any], Any]:
        members = self.members(self.rng.randint(1, 4), depth)
        schema: dict[str, Any] = {"type": "object", "properties": {key: inner for key, (inner, _) in members.items()}}
        value = {key: inner for key, (_, inner) in members.items() if self.rng.random() < 0.8}
        schema["required"] = self.rng.sample(list(value), self.rng.randint(0, len(value)))
        if self.rng.random() < 0.3:
            inner, found = self.draw(depth)
            schema["patternProperties"] = {"^p_": inner}
            value |= {f"p_{next(self.names)}": found for _ in range(2)}
        extra = self.rng.choice(["none", "any", "schema", "unnamed"])
        if extra == "none":
            schema["additionalProperties"] = False
        elif extra == "schema":
            inner, found = self.draw(depth)
            schema["additionalProperties"] = inner
            value |= {f"x_{next(self.names)}": found for _ in range(2)}
        elif extra == "unnamed":
            unnamed = [f"r_{next(self.names)}" for _ in range(2)]
            schema["required"] = [*unnamed, *schema["required"]]
            value |= dict.fromkeys(unnamed, "x")
        return self.in_any_order(schema), value

    def in_any_order(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Keywords stand in any order, but what they hold keeps its own."""
        keys = list(schema)
        self.rng.shuffle(keys)
        return {key: schema[key] for key in keys}

    def array(self, depth: int) -> tuple[dict[str, Any], Any]:
        first, rest = self.draw(depth), self.draw(depth)
        if self.rng.random() < 0.5:
            return {"type": "array", "items": rest[0]}, [rest[1]] * 2
        return {"type": "array", "prefixItems": [first[0]], "items": rest[0]}, [first[1], rest[1], rest[1]]

    def reference(self, depth: int) -> tuple[dict[str, Any], Any]:
        name = self.rng.choice(["Línea", "Pedido de hoy", "a/b~c", "100%"]) + next(self.names)
        inner, value = self.draw(depth)
        self.definitions[name] = inner
        spelled = name.replace("~", "~0").replace("/", "~1").replace("%", "%25")
        if self.rng.random() < 0.5:
            spelled = spelled.replace(" ", "%20").replace("í", "%C3%AD")
        return {"$ref": f"#/{self.place}/{spelled}", "description": "x"}, value

    def union(self, depth: int) -> tuple[dict[str, Any], Any]:
        branches = []
        for kind in "ab":
            members = self.members(2, depth)
            tag = {"properties": {"tipo": {"const": kind}, **{k: s for k, (s, _) in members.items()}}}
            tag["properties"] = self.in_any_order(tag["properties"])
            value = {"tipo": kind, **{k: v for k, (_, v) in members.items()}}
            branches.append(({"type": "object", **tag, "required": ["tipo"]}, value))
        schemas = [{"type": "null"}, *(schema for schema, _ in branches)]
        return {self.rng.choice(["anyOf", "oneOf"]): schemas}, self.rng.choice(branches)[1]

    def merged(self, depth: int) -> tuple[dict[str, Any], Any]:
        parts = [self.members(2, depth) for _ in range(3)]
        schemas = [{"properties": {k: s for k, (s, _) in part.items()}} for part in parts]
        name = f"Parte{next(self.names)}"
        self.definitions[name] = {"type": "object", **schemas[1]}
        value = {k: v for part in parts for k, (_, v) in part.items()}
        whole = {"type": "object", "allOf": [{"$ref": f"#/{self.place}/{name}"}, schemas[2]], **schemas[0]}
        return self.in_any_order(whole), value

    def member(self, depth: int) -> tuple[dict[str, Any], Any]:
        constant = {"z": [1.0, {"y": 2, "b": None}], "a": 0.5}
        return self.rng.choice([{"const": constant}, {"enum": ["x", constant]}]), constant


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 25), pytest.param(25, 375, marks=pytest.mark.slow)],
)
def test_the_grammar_writes_every_target(first: int, count: int) -> None:
    for seed in range(first, first + count):
        schema, value = Maker(seed).pair()
        target = in_schema_form(shuffled(value, random.Random(seed)), cleaned(schema))
        assert first_fault(target, schema) is None
        assert refusal(schema, dumps(target)) is None, (seed, schema)
        assert target == value


TREE = {
    "$defs": {
        "Node": {
            "properties": {
                "zona": {"title": "Zona", "type": "string"},
                "hijos": {"default": [], "items": {"$ref": "#/$defs/Node"}, "type": "array"},
                "alta": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}], "default": None},
            },
            "required": ["zona"],
            "title": "Node",
            "type": "object",
        }
    },
    "$ref": "#/$defs/Node",
}
SHOP = {
    "$defs": {
        "Gato": {
            "properties": {"vidas": {"type": "integer"}, "especie": {"const": "gato", "type": "string"}},
            "required": ["vidas", "especie"],
            "type": "object",
        },
        "Perro": {
            "properties": {"especie": {"const": "perro", "type": "string"}, "kilos": {"exclusiveMinimum": 0, **NUMBER}},
            "required": ["especie", "kilos"],
            "type": "object",
        },
        "Talla": {"enum": ["XL", "M"], "type": "string"},
    },
    "properties": {
        "talla": {"$ref": "#/$defs/Talla", "default": "M"},
        "animal": {
            "discriminator": {"mapping": {"gato": "#/$defs/Gato", "perro": "#/$defs/Perro"}, "propertyName": "especie"},
            "oneOf": [{"$ref": "#/$defs/Gato"}, {"$ref": "#/$defs/Perro"}],
        },
        "por_dia": {"additionalProperties": {"$ref": "#/$defs/Perro"}, "type": "object"},
        "par": {"maxItems": 2, "minItems": 2, "prefixItems": [{"type": "integer"}, {"$ref": "#/$defs/Gato"}]},
    },
    "required": ["animal"],
    "type": "object",
}


@pytest.mark.parametrize(
    ("schema", "given", "written"),
    [
        (
            TREE,
            '{"alta":{"hijos":[],"zona":"a"},"hijos":[{"hijos":[],"zona":"b"}],"zona":"c"}',
            '{"zona":"c","hijos":[{"zona":"b","hijos":[]}],"alta":{"zona":"a","hijos":[]}}',
        ),
        (
            SHOP,
            '{"par":[1.0,{"especie":"gato","vidas":7.0}],"animal":{"kilos":0.50,"especie":"perro"},"talla":"M"}',
            '{"talla":"M","animal":{"especie":"perro","kilos":0.5},"par":[1,{"vidas":7,"especie":"gato"}]}',
        ),
        (
            SHOP,
            '{"por_dia":{"b":{"kilos":12.50,"especie":"perro"},"a":{"kilos":1e-5,"especie":"perro"}},'
            '"animal":{"especie":"gato","vidas":9}}',
            '{"animal":{"vidas":9,"especie":"gato"},'
            '"por_dia":{"b":{"especie":"perro","kilos":12.50},"a":{"especie":"perro","kilos":0.00001}}}',
        ),
    ],
)
def test_schemas_as_pydantic_writes_them(schema: Any, given: str, written: str) -> None:
    target = dumps(in_schema_form(loads(given), schema))
    assert target == written
    assert refusal(schema, target) is None


@pytest.mark.parametrize(
    ("schema", "given", "written"),
    [
        (NUMBER, "0.00001", "0.00001"),
        (NUMBER, "1E-5", "1E-5"),
        (NUMBER, "12.50", "12.50"),
        (NUMBER, "0.12345678901234567890", "0.12345678901234567890"),
        (NUMBER | {"minimum": 0}, "0.00001", "0.00001"),
        (NUMBER | {"minimum": 0}, "3.14159265358979323846", "3.14159265358979323846"),
        (NUMBER | {"minimum": 0}, "1e-05", "0.00001"),
        (NUMBER | {"multipleOf": 0.01}, "7.5e1", "75"),
        (NUMBER | {"multipleOf": 0.01}, "7.500", "7.5"),
        (NUMBER | {"multipleOf": 5}, "50.0", "50"),
        (NUMBER | {"maximum": 49.5}, "49.50", "49.5"),
        (NUMBER | {"minimum": 0}, "-0.0", "0"),
        ({"type": "integer"}, "50.0", "50"),
        ({"type": ["integer", "null"]}, "5e1", "50"),
        ({"type": ["integer", "number"]}, "50.0", "50.0"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "50.0", "50"),
        ({"const": 50}, "50.0", "50"),
        ({"enum": [1, 2.50]}, "2.500", "2.5"),
        ({"enum": [100.0]}, "1e2", "100"),
        ({}, "123456789012345678901234567890", "123456789012345678901234567890"),
    ],
)
def test_numbers_stay_as_written_but_where_the_schema_forbids_it(schema: Any, given: str, written: str) -> None:
    target = dumps(in_schema_form(loads(given), schema))
    assert target == written
    assert refusal(schema, target) is None
    assert loads(target) == loads(given)
