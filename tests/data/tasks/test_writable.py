"""With a constraint, what the model could never be let write is refused before a model is opened."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.data import Augmenter, ExtractionData

pytest.importorskip("llguidance", reason="needs the extra: pip install -e '.[constrained]'")

CONSTRAINT = "lit_llm.generation.JsonSchemaConstraint"


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


@pytest.fixture
def no_weights(root: Path, tmp_path: Path) -> str:
    """A base whose tokenizer can be opened, and whose weights are not there."""
    folder = tmp_path / "base"
    folder.mkdir()
    for file in (root / "checkpoints/qwen3-tiny").iterdir():
        if file.is_file() and file.suffix != ".safetensors":
            shutil.copy(file, folder)
    return str(folder)


def run(tmp_path: Path, backbone: str, schema: Any, values: list[Any], verb: str = "fit", **data: Any) -> int:
    rows = [{"text": f"texto {k}", "json": value} for k, value in enumerate(values)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    settings = {"train": str(file), "test": {"one": str(file)}, "schema": str(tmp_path / "schema.json"), **data}
    generator = {"max_new_tokens": 4, "constraint": {"class_path": CONSTRAINT}}
    also = {"held": {"class_path": "lit_llm.generation.Generator", "init_args": generator}}
    config = {
        "model": {"class_path": "lit_llm.models.CausalLM", "init_args": {"backbone": backbone, "also": also}},
        "data": {"class_path": "lit_llm.data.ExtractionData", "init_args": settings},
        "trainer": {"default_root_dir": str(tmp_path / "run"), "max_steps": 1, "accelerator": "cpu", "logger": False},
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    untrained = ["--ckpt_path", "none"] if verb == "test" else []
    return int(main([verb, "--config", str(tmp_path / "run.yaml"), *untrained]))


def test_targets_that_the_grammar_cannot_write_are_refused(
    tmp_path: Path, no_weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = closed(n={"type": "integer"}, f={"type": "array", "items": {"type": "string", "format": "date"}})
    values = [{"f": ["2024-12-03", day], "n": 1.0} for day in ("2024-01-31", "3/12/2024", "2024-02-30")]
    assert run(tmp_path, no_weights, schema, values) != 0
    said = capsys.readouterr().err
    assert "rows.jsonl:2: field 'json' at $.f[1]: '3/12/2024' under format 'date'" in said
    assert "rows.jsonl:3" in said
    assert "rows.jsonl:1:" not in said
    assert "model.init_args.also.held.constraint" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["fit", pytest.param("test", marks=pytest.mark.slow)])
def test_schemas_without_a_grammar_are_refused_before_the_model_is_opened(
    tmp_path: Path, no_weights: str, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert run(tmp_path, no_weights, closed(f={"type": "string", "format": "telefono"}), [{"f": "a"}], verb) != 0
    said = capsys.readouterr().err
    assert "Unknown format: telefono" in said
    assert str(tmp_path / "schema.json") in said


@pytest.mark.slow
def test_they_can_be_left_out_and_are_listed(tmp_path: Path, root: Path) -> None:
    values = [{"f": "2024-01-31"}, {"f": "2024-02-31"}, {"f": "hoy"}]
    schema = closed(f={"type": "string", "format": "date"})
    assert run(tmp_path, str(root / "checkpoints/qwen3-tiny"), schema, values, bad_rows="skip") == 0
    (listed,) = (tmp_path / "run").rglob("*rows.jsonl*")
    assert [json.loads(line)["line"] for line in listed.read_text().splitlines()] == [2, 3]


def test_a_row_s_own_schema_goes_before_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(json.dumps(closed(a={"type": "integer"})))
    own = [{}, {"name": "x", "schema": closed(b={}, a={})}]
    rows = [{"text": "t", "json": {"a": "x", "b": 1}, "schema": schema} for schema in own]
    rows += [{"text": "t", "json": {"a": 1.0}, "schema": None}]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ExtractionData(schema=str(tmp_path / "schema.json"), schema_field="schema")
    examples = data.read(tmp_path / "r.jsonl")
    assert [e.answer for e in examples] == ['{"a":"x","b":1}', '{"b":1,"a":"x"}', '{"a":1}']
    assert [e.meta["schema"] for e in examples] == [{}, closed(b={}, a={}), closed(a={"type": "integer"})]
    assert data.postprocess("[1]", examples[0].meta) == ("[1]", "ok", "")
    assert data.postprocess("[1]", examples[1].meta)[1] == "invalid"


DIGITS = '{"a":0.00001,"b":[12.50,{"c":0.12345678901234567890}],"d":1e-05,"e":50.0,"f":"pan de ajo"}'


@pytest.mark.parametrize("kind", ["jsonl", "text in jsonl", "csv", "tsv", "parquet"])
def test_numbers_come_from_a_file_to_the_target_as_they_were_written(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        file = tmp_path / "r.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"text": ["quiero pan de ajo"], "json": [DIGITS]}), file)
    elif kind.endswith("jsonl"):
        file = tmp_path / "r.jsonl"
        value = DIGITS if kind == "jsonl" else json.dumps(DIGITS)
        file.write_text(f'{{"text":"quiero pan de ajo","json":{value}}}\n')
    else:
        file = tmp_path / f"r.{kind}"
        with file.open("w", newline="") as stream:
            rows = csv.writer(stream, delimiter="," if kind == "csv" else "\t")
            rows.writerows([["text", "json"], ["quiero pan de ajo", DIGITS]])
    assert [example.answer for example in ExtractionData().read(file)] == [DIGITS]


def test_variants_keep_the_digits(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"text":"quiero pan de ajo a 12.50","json":{"p":12.50,"f":"pan de ajo"}}\n')
    augmenter = Augmenter(["case"], probability=1.0, case_values=True, seed=0)
    data = ExtractionData(train=str(file), augmenter=augmenter, augmentation_factor=20)
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    data.setup("fit")
    answers = {data.splits["train"][(0, k)].example.answer for k in range(20)}
    assert answers == {f'{{"p":12.50,"f":"{words}"}}' for words in ("pan de ajo", "PAN DE AJO", "Pan De Ajo")}
