from __future__ import annotations

import pytest

from lit_llm.errors import DataError
from lit_llm.metrics.json_schema import date_fields, first_fault

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


def test_dates_are_found_through_references_branches_and_lists():
    assert date_fields(ORDER) == {"fecha", "hora", "items[].entrega"}


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"$ref": "#/nada"}, {"$ref": "#ancla"}, True])
def test_schemas_without_dates(schema):
    assert date_fields(schema) == frozenset()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "strin"}, ["meta.schema", "$.type", "strin"]),
        ({"properties": []}, ["meta.schema", "$.properties"]),
        ({"$ref": "http://localhost:9/order.json"}, ["meta.schema", "http://localhost:9/order.json", "$defs"]),
    ],
)
def test_a_broken_schema_is_named(schema, words):
    with pytest.raises(DataError) as caught:
        first_fault({}, schema)
    assert all(word in str(caught.value) for word in words)


def test_a_broken_schema_is_named_when_looking_for_dates():
    with pytest.raises(DataError, match="properties"):
        date_fields({"properties": []})
