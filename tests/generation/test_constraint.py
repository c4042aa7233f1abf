import importlib.util
import json
import pickle
import re

import jsonschema
import pytest

from lit_llm.errors import ConfigError, DataError
from lit_llm.generation import Generator, JsonSchemaConstraint, generate_rows
from lit_llm.strict_json import dumps

pytest.importorskip("llguidance", reason="needs the extra: pip install -e '.[constrained]'")


def closed(**properties):
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


STRING = r'"(?:[^"\\]|\\.)*"'

SCHEMAS = [
    closed(n={"type": "integer", "minimum": 0, "maximum": 99}),
    closed(name={"type": "string", "maxLength": 5}, ok={"type": "boolean"}),
    closed(size={"enum": ["chico", "grande", "ñandú"]}, items={"type": "array", "items": {"const": 1}, "maxItems": 2}),
    closed(deep=closed(deeper=closed(z={"type": "null"}, a={"enum": ["}", '"', "\\"]}))),
    {"type": "array", "items": {"enum": ["x", "y"]}, "minItems": 1, "maxItems": 2},
]


def valid(text, schema):
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


@pytest.fixture
def meta():
    return [{"schema": schema} for schema in SCHEMAS]


@pytest.mark.parametrize("stop", ["eos", "json"])
@pytest.mark.parametrize("options", [{}, {"do_sample": True, "seed": 3}, {"num_beams": 3}])
@pytest.mark.parametrize("batch_size", [2, 5])
def test_every_row_is_held_to_its_own_schema(random_model, tokenizer, prompts, meta, stop, options, batch_size):
    generator = Generator(max_new_tokens=120, stop=stop, constraint=JsonSchemaConstraint(), **options)
    answers = generate_rows(generator, random_model, tokenizer, prompts, meta, batch_size)
    for answer, schema in zip(answers, SCHEMAS, strict=True):
        assert answer.finished
        assert valid(answer.text, schema), answer.text
        assert not re.search(r"\s", re.sub(STRING, "", answer.text))


def test_without_the_constraint_the_same_model_writes_no_json(random_model, tokenizer, prompts):
    answers = generate_rows(Generator(max_new_tokens=40), random_model, tokenizer, prompts)
    assert not any(valid(answer.text, {}) for answer in answers)


def test_properties_come_in_the_order_of_the_schema(random_model, tokenizer, prompts):
    for names in (["b", "a", "c"], ["c", "b", "a"]):
        schema = closed(**{name: {"type": "boolean"} for name in names})
        generator = Generator(max_new_tokens=60, constraint=JsonSchemaConstraint())
        answer = generate_rows(generator, random_model, tokenizer, prompts[:1], [{"schema": schema}])[0]
        assert list(json.loads(answer.text)) == names


def test_a_trained_model_loses_nothing_when_held_to_its_own_form(trained_model, tokenizer, prompts, rows):
    meta = [{"schema": {"type": ["object", "array"]}} for _ in rows]
    free = generate_rows(Generator(max_new_tokens=40, stop="json"), trained_model, tokenizer, prompts)
    held = Generator(max_new_tokens=40, stop="json", constraint=JsonSchemaConstraint())
    assert generate_rows(held, trained_model, tokenizer, prompts, meta) == free


def test_a_row_cut_by_the_limit_is_not_finished(random_model, tokenizer, prompts):
    schema = closed(a={"type": "string", "minLength": 100})
    generator = Generator(max_new_tokens=10, constraint=JsonSchemaConstraint())
    answer = generate_rows(generator, random_model, tokenizer, prompts[:1], [{"schema": schema}])[0]
    assert not answer.finished
    assert answer.new_tokens == 10
    assert not valid(answer.text, schema)


def test_rows_without_a_schema_take_the_file_s_or_any_json(random_model, tokenizer, prompts, tmp_path):
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(closed(fijo={"const": "ñ"})), encoding="utf-8")
    meta = [{}, {"schema": SCHEMAS[0]}, {"schema": {}}]
    held = Generator(max_new_tokens=60, constraint=JsonSchemaConstraint(str(file)))
    answers = generate_rows(held, random_model, tokenizer, prompts[:3], meta)
    assert answers[0].text == '{"fijo":"ñ"}'
    assert valid(answers[1].text, SCHEMAS[0])
    assert "fijo" not in answers[2].text, "a row's own schema may allow everything"
    free_form = Generator(max_new_tokens=60, stop="json", constraint=JsonSchemaConstraint())
    answer = generate_rows(free_form, random_model, tokenizer, prompts[:1])[0]
    assert not answer.finished or valid(answer.text, {})


@pytest.mark.parametrize("schema", [{"type": "strin"}, {"type": "string", "pattern": "(?<=a)b"}, {"not": {}}])
def test_a_schema_that_cannot_be_held_is_named(random_model, tokenizer, prompts, schema):
    generator = Generator(constraint=JsonSchemaConstraint())
    with pytest.raises(DataError, match=r"meta\.schema: .*(simplify|mend) the"):
        generate_rows(generator, random_model, tokenizer, prompts[:1], [{"schema": schema}])


@pytest.mark.parametrize(
    ("field", "bad", "why"),
    [
        ({"type": "string", "format": "time"}, "10:30", "$.f: '10:30' under format 'time'"),
        ({"type": "string", "format": "date-time"}, "2024-12-03 10:30", "format 'date-time'"),
        ({"items": {"type": "string", "pattern": r"^\w+$"}}, ["a", "señal"], "$.f[1]: 'señal' under pattern"),
        ({"enum": [9007199254740993]}, 9007199254740993, "$.f: 9007199254740993 under enum"),
        ({"anyOf": [{"type": "null"}, {"type": "string", "format": "email"}]}, "ñ@x.mx", "under format 'email'"),
        ({"properties": {"a": {}, "b": {}}}, {"b": 1, "a": 2}, "$.f"),
    ],
)
def test_answers_that_a_grammar_cannot_write_are_said(field, bad, why):
    constraint = JsonSchemaConstraint()
    row = {"schema": closed(antes={}, f=field)}
    assert why in constraint.fault(dumps({"antes": "ñ", "f": bad}), row)
    assert constraint.fault(dumps({"antes": "ñ", "f": bad}), {}) is None
    assert constraint.fault(None, row) is None


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (closed(f={"type": "string", "pattern": "^(?!x)"}), "pattern: regex parse error"),
        ({**closed(), "if": {}, "then": {}}, '"if", "then"'),
        ({**closed(), "propertyNames": {"maxLength": 3}}, "propertyNames"),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ],
)
def test_keywords_without_a_grammar_are_named(schema, why):
    with pytest.raises(DataError) as caught:
        JsonSchemaConstraint().fault(None, {"schema": schema})
    assert why in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "\xff"])
def test_an_unreadable_schema_file_is_named(tmp_path, content):
    file = tmp_path / "schema.json"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"constraint\.init_args\.schema: .*schema\.json"):
        JsonSchemaConstraint(str(file))


def test_without_llguidance_the_error_says_what_to_install(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "lit_llm.generation.constraint.find_spec", lambda name: None if name == "llguidance" else real(name)
    )
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[constrained\]'"):
        JsonSchemaConstraint()


def test_a_used_constraint_can_be_pickled(random_model, tokenizer, prompts, meta):
    generator = Generator(max_new_tokens=40, constraint=JsonSchemaConstraint())
    first = generate_rows(generator, random_model, tokenizer, prompts, meta)
    again = pickle.loads(pickle.dumps(generator))
    assert generate_rows(again, random_model, tokenizer, prompts, meta) == first


def test_importing_the_room_does_not_import_llguidance_or_transformers():
    import subprocess
    import sys

    code = "import sys, lit_llm.generation; print({'llguidance', 'transformers', 'peft'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_the_qwen3_vocabulary_is_held_to_a_schema(qwen_tokenizer):
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 16}
    config = Qwen3Config(vocab_size=151_936, num_attention_heads=1, num_key_value_heads=1, **sizes)
    model = Qwen3ForCausalLM(config).eval()
    prompts = [qwen_tokenizer.encode(text) for text in ("uno", "dos y tres", "cuatro")]
    generator = Generator(max_new_tokens=60, stop="json", constraint=JsonSchemaConstraint())
    answers = generate_rows(generator, model, qwen_tokenizer, prompts, [{"schema": schema} for schema in SCHEMAS[:3]])
    assert all(valid(answer.text, schema) for answer, schema in zip(answers, SCHEMAS[:3], strict=True))
