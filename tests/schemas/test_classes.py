"""Schemas of classes in place of files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lit_llm.__main__ import main
from lit_llm.errors import DataError
from lit_llm.schemas import first_fault, in_schema_form, read_schema

pytest.importorskip("pydantic", reason="needs Pydantic: pip install pydantic")

MODULE = """
from dataclasses import dataclass
from typing_extensions import TypedDict
from pydantic import BaseModel, Field

class Item(BaseModel):
    prod: str
    cant: int = Field(ge=1)

class Order(BaseModel):
    total: float | None = None
    items: list[Item]

class Parcel(TypedDict):
    city: str

@dataclass
class Shop:
    name: str

number = 7
"""
BROKEN = "import no_such_library\n"


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "own_orders.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    for name in ("own_orders", "own_broken"):
        sys.modules.pop(name, None)


def test_a_model_of_pydantic_holds_values_and_gives_their_order() -> None:
    schema = read_schema("own_orders:Order")
    value = {"items": [{"cant": 2, "prod": "pan"}], "total": 3.5}
    assert first_fault(value, schema) is None
    assert json.dumps(in_schema_form(value, schema)) == '{"total": 3.5, "items": [{"prod": "pan", "cant": 2}]}'
    assert "is less than the minimum" in str(first_fault({"items": [{"prod": "pan", "cant": 0}]}, schema))


@pytest.mark.parametrize(("name", "value"), [("Parcel", {"city": "Oaxaca"}), ("Shop", {"name": "La Luz"})])
def test_dataclasses_and_typed_dictionaries_are_schemas_too(name: str, value: dict[str, str]) -> None:
    schema = read_schema(f"own_orders:{name}")
    assert first_fault(value, schema) is None
    assert first_fault({}, schema) is not None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_orders:Ordr", "'own_orders:Ordr' cannot be imported (AttributeError"),
        ("own_ordrs:Order", "cannot be imported (ModuleNotFoundError: No module named 'own_ordrs')"),
        ("own_broken:Order", "No module named 'no_such_library'"),
        ("own_orders:number", "Pydantic makes no JSON schema of 'own_orders:number'"),
    ],
)
def test_what_is_no_class_is_named(name: str, said: str) -> None:
    with pytest.raises(DataError) as error:
        read_schema(name)
    assert said in str(error.value)


def test_a_file_of_that_name_goes_first(tmp_path: Path) -> None:
    (tmp_path / "own_orders:Order").write_text('{"type": "array"}')
    assert read_schema("own_orders:Order") == {"type": "array"}


def test_a_run_file_may_name_a_class(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"text": "dos panes", "json": {"items": [{"prod": "pan", "cant": 0}]}}) + "\n")
    config = {
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {"backbone": str(root / "checkpoints/qwen3-tiny")},
        },
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {"train": str(rows), "schema": "own_orders:Order"},
        },
    }
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(config))
    assert main(["audit", "--config", str(path)]) == 1
    assert "field 'json' at $.items[0].cant: 0 is less than the minimum of 1" in capsys.readouterr().err
    assert main(["audit", "--config", str(path), "--data.schema", "own_orders:Nada"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "data.init_args.schema: 'own_orders:Nada' is no JSON schema: 'own_orders:Nada' cannot be imported" in said
