from __future__ import annotations

import json

import pytest

from lit_llm.errors import DataError
from lit_llm.schemas import cleaned, date_paths, first_fault, read_schema

ORDER = {
    "type": "object",
    "properties": {
        "fecha": {"type": "string", "format": "date"},
        "hora": {"anyOf": [{"type": "null"}, {"type": "string", "format": "time"}]},
        "nota": {"type": "string"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    },
    "required": ["items"],
    "additionalProperties": False,
    "$defs": {
        "item": {
            "type": "object",
            "properties": {
                "n": {"type": "integer"},
                "entrega": {"type": "string", "format": "date-time"},
                "partes": {"type": "array", "items": {"$ref": "#/$defs/item"}},
            },
        }
    },
}


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ({"items": [{"n": 1}]}, True),
        ({"items": [{"n": "1"}]}, False),
        ({"items": [{"n": True}]}, False),
        ({"items": [], "otro": 1}, False),
        ({}, False),
        ([], False),
    ],
)
def test_validity(value, valid):
    assert (first_fault(value, ORDER) is None) is valid


@pytest.mark.parametrize("cents", [7, 14, 29, 47, 38790, 1794037, 99999999])
def test_multiples_are_decimal(cents):
    schema = {"type": "number", "multipleOf": 0.01}
    assert first_fault(cents / 100, schema) is None
    assert first_fault((10 * cents + 1) / 1000, schema) == f"at $: {(10 * cents + 1) / 1000} is not a multiple of 0.01"


NAMED = {"$defs": {"día libre/1": {"format": "date"}, "nodo": {"properties": {"hijo": {"$ref": "#/$defs/nodo"}}}}}
NAMED["$defs"]["nodo"]["properties"]["d"] = {"anyOf": [{"type": "string"}, {"type": "string", "format": "date"}]}


@pytest.mark.parametrize(
    ("schema", "value", "paths"),
    [
        (
            ORDER,
            {"fecha": "x", "hora": "x", "nota": "x", "items": [{"entrega": "x", "partes": [{"entrega": "x"}]}]},
            {("fecha",), ("hora",), ("items", 0, "entrega"), ("items", 0, "partes", 0, "entrega")},
        ),
        ({"$ref": "#/$defs/nodo", **NAMED}, {"d": "x", "hijo": {"d": "x"}}, {("d",), ("hijo", "d")}),
        ({"additionalProperties": {"$ref": "#/%24defs/d%C3%ADa%20libre~11"}, **NAMED}, {"a": "x", "b": 1}, {("a",)}),
        ({"prefixItems": [{}, {"format": "time"}], "items": {"format": "date"}}, ["x", "x", "x"], {(1,), (2,)}),
        (
            {"patternProperties": {"^f_": {"format": "date"}}, "additionalProperties": {}},
            {"f_a": "x", "a": "x"},
            {("f_a",)},
        ),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}, {"format": "date"}]},
            ["x", "x", "x"],
            {(1,)},
        ),
        ({"if": {"type": "string"}, "then": {"format": "date"}, "else": {"format": "time"}}, "x", {()}),
        (True, {"fecha": "x"}, set()),
    ],
)
def test_dates_are_found_wherever_the_schema_puts_them(schema, value, paths):
    assert date_paths(value, schema) == paths


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strin"}, ["meta.schema", "$.type", "strin"]),
        ({"properties": []}, ["meta.schema", "$.properties"]),
        ({"$ref": "http://localhost:9/order.json"}, ["meta.schema", "http://localhost:9/order.json", "$defs"]),
        ({"properties": {"a": {"$ref": "#/$defs/nada"}}}, ["#/$defs/nada"]),
        ({"$ref": "#ancla"}, ["#ancla"]),
        ({"$ref": "#"}, ["refers to itself without end"]),
        ({"properties": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/properties/a"}]}}}, ["itself without end"]),
        (
            {"type": "object", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}},
            ["itself without end"],
        ),
        ({"items": {"pattern": "("}}, ["pattern", "'('"]),
        ({"$defs": {"A": {"type": "object"}}}, ["$defs", "add a $ref"]),
        ({"nombre": "string", "edad": "integer"}, ["none of its keys", "'edad', 'nombre'"]),
        ([{"type": "object"}], ["an array", "is no JSON schema"]),
        ("object", ["the string 'object'"]),
        (None, ["null"]),
        (False, ["allows no value"]),
        ({"name": "x", "schema": {"type": "strin"}}, ["$.type", "strin"]),
    ],
)
def test_a_broken_schema_is_named(schema, words):
    with pytest.raises(DataError) as caught:
        cleaned(schema)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    "wrapper",
    [
        lambda schema: {"name": "pedido", "strict": True, "schema": schema},
        lambda schema: {"type": "json_schema", "json_schema": {"name": "pedido", "schema": schema}},
        lambda schema: {"type": "json_schema", "name": "pedido", "schema": schema},
        lambda schema: {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}},
        lambda schema: {"text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}},
        lambda schema: {"type": "function", "function": {"name": "f", "parameters": schema}},
        lambda schema: {"name": "f", "description": "", "input_schema": schema},
        lambda schema: schema,
    ],
)
def test_schemas_come_out_of_what_interfaces_wrap_them_in(wrapper, tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(wrapper(ORDER)), encoding="utf-8-sig")
    assert read_schema(file) == ORDER


@pytest.mark.parametrize("schema", [{}, True, {"title": "Todo"}, {"properties": {"schema": {"type": "object"}}}])
def test_what_allows_everything_and_says_so_stays(schema):
    assert cleaned(schema) == ({} if schema is True else schema)
    assert first_fault({"schema": {}}, schema) is None


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"pattern": r"^\p{Lu}\p{L}+$"}, "Ñandú", "ñandú"),
        ({"patternProperties": {r"^\p{L}+$": {"type": "integer"}}}, {"ñ": 1, "1": "x"}, {"ñ": "x"}),
        ({"patternProperties": {r"^\p{L}": {}}, "additionalProperties": False}, {"ñ": 1}, {"1": 1}),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}, {"a": 1, "b": None}, {"a": 1, "b": 1}),
    ],
)
def test_letters_of_any_language_in_patterns(schema, good, bad):
    assert first_fault(good, schema) is None
    assert first_fault(bad, schema)
