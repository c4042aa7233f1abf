"""Names of a catalogue while they are written: where in a text they stand, and which tokens go on with them."""

from __future__ import annotations

import json
import pickle
import random
from pathlib import Path

import pytest

from lit_llm.catalogues import Catalogue, Node, Vocabulary, field_path, names_at, write_catalogue
from lit_llm.errors import ConfigError
from lit_llm.generation import Generator, JsonSchemaConstraint, generate_rows
from lit_llm.generation.drafts import Lookup
from lit_llm.generation.names import Names
from lit_llm.generation.places import Place
from lit_llm.strict_json import dumps
from tests.generation.conftest import build_model

pytest.importorskip("llguidance", reason="needs the extra: pip install -e '.[constrained]'")

NAMES = ["Pan", "Pan dulce", 'Té "Lala"', "a\\b", "日本茶", "Café 😀", "null", "x", " y "]
FIELD = "items[].p"
SCHEMA = {
    "type": "object",
    "properties": {
        "p": {"type": "string", "maxLength": 4},
        "items": {
            "type": "array",
            "maxItems": 3,
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"p": {"type": ["string", "null"]}, "q": {"type": "string", "maxLength": 3}},
                "required": ["p", "q"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["p", "items"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names") / "c"
    write_catalogue(NAMES, folder)
    return folder


def meta(folder: Path, missing: str | None = None, **more: object) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "catalogues": {FIELD: {"folder": str(folder), "missing": missing, "most_distance": 1.0}},
    } | more


WAYS = {
    "greedy": {},
    "sampled": {"do_sample": True, "seed": 3},
    "beams": {"num_beams": 3},
    "guessed": {"draft": Lookup(tokens=4)},
}


@pytest.mark.parametrize("way", list(WAYS))
def test_every_name_is_one_of_its_catalogue(random_model, tokenizer, prompts, folder, way):
    generator = Generator(max_new_tokens=200, stop="json", constraint=JsonSchemaConstraint(), **WAYS[way])
    answers = generate_rows(generator, random_model, tokenizer, prompts, [meta(folder) for _ in prompts], 3)
    written = [json.loads(answer.text) for answer in answers if answer.finished]
    found = [name for value in written for name in names_at(value, field_path(FIELD, ""))]
    assert found, "no name was written"
    assert set(found) <= set(NAMES)
    # Other fields of that key, and others beside it, are free.
    assert not {value["p"] for value in written} <= set(NAMES)


@pytest.mark.parametrize("more", [0, 1, 31, 32, 33])
def test_the_width_of_the_logits_does_not_matter(tokenizer, prompts, folder, more):
    model = build_model((len(tokenizer) + 31) // 32 * 32 + more)
    generator = Generator(max_new_tokens=120, stop="json", constraint=JsonSchemaConstraint())
    answer = generate_rows(generator, model, tokenizer, prompts[:1], [meta(folder)])[0]
    assert set(names_at(json.loads(answer.text), field_path(FIELD, ""))) <= set(NAMES)


def test_rows_with_and_without_a_catalogue_share_a_batch(random_model, tokenizer, prompts, folder):
    generator = Generator(max_new_tokens=200, stop="json", constraint=JsonSchemaConstraint())
    rows = [meta(folder), {"schema": SCHEMA}, meta(folder, "keep"), meta(folder, "nearest")]
    together = generate_rows(generator, random_model, tokenizer, prompts[:4], rows, 4)
    alone = [
        generate_rows(generator, random_model, tokenizer, [p], [m])[0] for p, m in zip(prompts, rows, strict=False)
    ]
    assert [a.text for a in together] == [a.text for a in alone]
    for answer, row in zip(together, rows, strict=True):
        if answer.finished and row.get("catalogues", {FIELD: {"missing": "keep"}})[FIELD]["missing"] != "keep":
            assert set(names_at(json.loads(answer.text), field_path(FIELD, ""))) <= set(NAMES)


def test_a_schema_that_allows_no_name_decides_alone(random_model, tokenizer, prompts, folder):
    schema = json.loads(json.dumps(SCHEMA))
    schema["properties"]["items"]["items"]["properties"]["p"] = {"enum": ["zz"]}
    generator = Generator(max_new_tokens=200, stop="json", constraint=JsonSchemaConstraint())
    row = meta(folder) | {"schema": schema}
    answer = generate_rows(generator, random_model, tokenizer, prompts[:1], [row])[0]
    assert set(names_at(json.loads(answer.text), field_path(FIELD, ""))) == {"zz"}


def test_a_name_behind_one_that_was_left_is_held_again(folder):
    names = Names(Vocabulary([bytes([letter]) for letter in range(256)]), {("l", None): Node.root(Catalogue(folder))})
    place = names.after(Place(), list(b'{"l":["zzz'))
    assert place.node is None and place.expects == "in text"
    place = names.after(place, list(b'","'))
    assert place.node is not None
    assert names.after(place, list(b'Pan"')).path == ("l", None)


def test_what_could_not_be_written_is_named(folder):
    constraint = JsonSchemaConstraint()
    right = {"p": "x", "items": [{"p": "Pan", "q": "r"}, {"p": None, "q": ""}]}
    wrong = {"p": "x", "items": [{"p": "pan dulces", "q": "r"}]}
    assert constraint.fault(dumps(right), meta(folder)) is None
    said = constraint.fault(dumps(wrong), meta(folder))
    assert said == "$: 'pan dulces' is not in its catalogue; the nearest name is 'Pan dulce'"
    assert constraint.fault(dumps(wrong), meta(folder, "keep")) is None


def test_a_constraint_that_has_held_names_travels(random_model, tokenizer, prompts, folder):
    constraint = JsonSchemaConstraint()
    generator = Generator(max_new_tokens=80, stop="json", constraint=constraint)
    before = generate_rows(generator, random_model, tokenizer, prompts[:1], [meta(folder)])
    other = Generator(max_new_tokens=80, stop="json", constraint=pickle.loads(pickle.dumps(constraint)))
    assert generate_rows(other, random_model, tokenizer, prompts[:1], [meta(folder)]) == before


def walked(value: object, path: tuple[str | None, ...] = ()) -> list[tuple[tuple[str | None, ...], str]]:
    """Return path and text of every string value, in the order of the text."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in walked(item, (*path, key))]
    if isinstance(value, list):
        return [found for item in value for found in walked(item, (*path, None))]
    return [(path, value)] if isinstance(value, str) else []


def random_value(rng: random.Random, depth: int = 0) -> object:
    kind = rng.choice(["object", "list", "text", "other"]) if depth < 4 else rng.choice(["text", "other"])
    texts = ["", "a", 'q"', "\\", '\\"', "á", "{", "]", ",", ":", "a.b", "日"]
    if kind == "object":
        return {rng.choice(texts): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if kind == "list":
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return rng.choice(texts) if kind == "text" else rng.choice([None, True, 0, -1.5e3, 12])


@pytest.mark.parametrize("form", [dumps, lambda value: json.dumps(value, indent=1)], ids=["compact", "indented"])
def test_places_are_those_of_the_strings(form):
    rng = random.Random(0)
    for _ in range(300):
        value = random_value(rng)
        place, found, begun = Place(), [], None
        for letter in form(value).encode():
            after = place.after([letter], {})
            assert after is not None
            if after.expects == "in text":
                begun = b"" if begun is None else begun + bytes([letter])
            elif begun is not None:
                found.append((place.path, json.loads(b'"' + begun + b'"')))
                begun = None
            place = after
        assert found == walked(value)
        assert place.above == ()


def test_a_name_is_left_by_the_first_wrong_byte(folder):
    roots = {field_path(FIELD, ""): Node.root(Catalogue(folder))}
    start = Place().after(b'{"p":"anything","items":[{"q":"z","p":', roots)
    assert start is not None and start.path == ("items", None, "p")
    for good in (b'"Pan"', b'"Pan dulce","q":"', b'"x"}', b"null", b'"a\\\\b"', b'"T\xc3\xa9 \\"Lala\\""'):
        assert start.after(good, roots) is not None
    for bad in (b'"pan"', b'"Pan  ', b'"Pa"', b'"a\\b', b'""', b'"Pan","q":"r"},{"p":"P"'):
        assert start.after(bad, roots) is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("total", ("total",)),
        ("a.b[].c", ("a", "b", None, "c")),
        ("[]", (None,)),
        ("[][].x", (None, None, "x")),
        ('["a key"].b', ("a key", "b")),
        ('a["x.y"][]', ("a", "x.y", None)),
        ("año.niña", ("año", "niña")),
    ],
)
def test_names_of_fields(name, path):
    assert field_path(name, "data.init_args.catalogues") == path


@pytest.mark.parametrize("name", ["", "a b", "a..b", "a[0]", "a[", "a.", '["x', " a"])
def test_what_is_no_name_of_a_field_is_refused(name):
    with pytest.raises(ConfigError, match="is no name of a field"):
        field_path(name, "data.init_args.catalogues")
