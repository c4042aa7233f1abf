from __future__ import annotations

import pytest

from lit_llm.errors import DataError
from lit_llm.metrics.json_schema import date_fields, is_valid

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
    assert is_valid(value, ORDER) is valid


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
        is_valid({}, schema)
    assert all(word in str(caught.value) for word in words)


def test_a_broken_schema_is_named_when_looking_for_dates():
    with pytest.raises(DataError, match="properties"):
        date_fields({"properties": []})
