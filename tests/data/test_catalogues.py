"""Catalogues as people bring them, through data and commands."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.catalogues import Catalogue
from lit_llm.data import ExtractionData
from lit_llm.data.catalogues import FieldCatalogue, catalogue_meta
from lit_llm.errors import ConfigError
from lit_llm.metrics import CatalogueMetrics
from tests import short_runs

NAMES = ["Café molido 500 g", "Café en grano", "Té verde", "Leche, entera 1 L", ' Pan "dulce" ']
FIELD = "items[].prod"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIT_LLM_CACHE", str(tmp_path / "cache"))


def table(path: Path, delimiter: str = ",", encoding: str = "utf-8", header: tuple[str, ...] = ("producto",)) -> str:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows([[name, *("x" for _ in header[1:])] for name in NAMES])
    return str(path)


def lines(path: Path) -> str:
    path.write_text("\ufeff" + "\n".join([*NAMES, "", NAMES[0]]), encoding="utf-8")
    return str(path)


def json_lines(path: Path) -> str:
    path.write_text("".join(json.dumps({"producto": name}) + "\n" for name in NAMES))
    return str(path)


def opened(**field: Any) -> Catalogue:
    return Catalogue.opened(catalogue_meta({FIELD: FieldCatalogue(**field)})[FIELD]["folder"])


@pytest.mark.parametrize(
    "kind",
    ["comma", "semicolon", "tab", "latin-1", "two columns", "lines", "json lines"],
)
def test_names_come_from_any_table_or_list_to_the_letter(tmp_path: Path, kind: str) -> None:
    file = {
        "comma": lambda: table(tmp_path / "c.csv"),
        "semicolon": lambda: table(tmp_path / "c.csv", ";", header=("producto", "precio")),
        "tab": lambda: table(tmp_path / "c.tsv", "\t"),
        "latin-1": lambda: table(tmp_path / "c.csv", encoding="latin-1"),
        "two columns": lambda: table(tmp_path / "c.csv", header=("producto", "precio")),
        "lines": lambda: lines(tmp_path / "c.txt"),
        "json lines": lambda: json_lines(tmp_path / "c.jsonl"),
    }[kind]()
    settings: dict[str, Any] = {
        "semicolon": {"delimiter": ";", "column": "producto"},
        "tab": {"quoting": "csv"},
        "latin-1": {"encoding": "latin-1"},
        "two columns": {"column": "producto"},
    }
    catalogue = opened(file=file, **settings.get(kind, {}))
    assert sorted(catalogue.name(number) for number in range(len(catalogue))) == sorted(NAMES)


@pytest.mark.parametrize("text", ["", "\n \n\t\n"])
def test_a_file_without_a_name_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(ConfigError, match=r"catalogues\.items\[\]\.prod: it holds no name: is it the right file"):
        opened(file=str(tmp_path / "c.txt"))


def test_blank_cells_are_no_names(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("producto,n\nPan,1\n,2\n  ,3\n")
    catalogue = opened(file=str(tmp_path / "c.csv"), column="producto")
    assert [catalogue.name(number) for number in range(len(catalogue))] == ["Pan"]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"type": "string", "maxLength": 10}, r"4 of its 5 names are none that data\.init_args\.schema allows there"),
        ({"type": ["string", "null"], "pattern": "^C"}, r"3 of its 5 names .* such as"),
        ({"anyOf": [{"enum": ["Té verde"]}, {"type": "null"}]}, r"4 of its 5 names"),
        ({"type": "integer"}, r"5 of its 5 names"),
    ],
)
def test_names_that_the_schema_refuses_are_refused_before_anything_is_learned(
    tmp_path: Path, texts: dict[str, Any], said: str
) -> None:
    item = {"type": "object", "properties": {"prod": texts}, "additionalProperties": False}
    schema = {"type": "object", "properties": {"items": {"type": "array", "items": item}}}
    (tmp_path / "s.json").write_text(json.dumps(schema))
    own = {FIELD: FieldCatalogue(table(tmp_path / "c.csv"))}
    with pytest.raises(ConfigError, match=said):
        ExtractionData(schema=str(tmp_path / "s.json"), catalogues=own)


@pytest.mark.parametrize("field", ["items.prod", "items[].product", "prod", "items[][]"])
def test_a_field_that_the_schema_has_not_is_refused(tmp_path: Path, field: str) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    own = {field: FieldCatalogue(table(tmp_path / "c.csv"))}
    with pytest.raises(ConfigError, match=r"data\.init_args\.schema has no such field"):
        ExtractionData(schema=str(tmp_path / "s.json"), catalogues=own)


def test_where_it_is_kept_decides_nothing(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = []
    for place in ("one", "other"):
        monkeypatch.setenv("LIT_LLM_CACHE", str(tmp_path / place))
        own = {FIELD: FieldCatalogue(table(tmp_path / "c.csv"), candidates=2)}
        data = ExtractionData(predict=str(rows), catalogues=own)
        data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
        data.setup("predict")
        found.append((data.fingerprint(), data.row_facts()))
    assert found[0] == found[1]
    assert "catalogues" in found[0][0]


def test_targets_and_references_are_written_as_the_catalogue_has_them(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"text": "té", "json": {"items": [{"prod": "TÉ  verde"}, {"prod": "martillo"}]}}) + "\n")
    data = ExtractionData(train=str(rows), catalogues={FIELD: FieldCatalogue(table(tmp_path / "c.csv"))})
    (example,) = data.read(rows)
    assert example.reference == {"items": [{"prod": "Té verde"}, {"prod": "martillo"}]}
    other = data.restated(example, "TÉ", {"items": [{"prod": "TÉ VERDE"}, {"prod": "MARTILLO"}]})
    assert other.reference == {"items": [{"prod": "Té verde"}, {"prod": "MARTILLO"}]}


@pytest.mark.parametrize("name", ["catalogue", "catalogues", "reference_date", "shots"])
def test_columns_of_those_names_are_not_kept(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        ExtractionData(keep=[name])


def test_a_catalogue_is_made_once_and_anew_when_its_file_changes(tmp_path: Path) -> None:
    file = table(tmp_path / "c.csv")
    first = opened(file=file)
    assert opened(file=file) is first
    Path(file).write_text("producto\nOtra cosa\n")
    assert [opened(file=file).name(0)] == ["Otra cosa"]


@pytest.mark.parametrize(
    ("field", "setting", "said"),
    [
        (FIELD, {"file": "nada.csv"}, r"catalogues\.items\[\]\.prod\.file: there is no nada\.csv"),
        (
            FIELD,
            {"header": ("a", "b")},
            r"has the columns a, b: name one in data.init_args.catalogues.items\[\].prod.column",
        ),
        (FIELD, {"encoding": "ascii"}, r"leave data.init_args.catalogues.items\[\].prod.encoding out"),
        (FIELD, {"delimiter": "ab"}, r"data.init_args.catalogues.items\[\].prod.delimiter: 'ab' is not one mark"),
        (FIELD, {"column": "produto"}, "'produto': is missing from the header; did you mean 'producto'"),
        ("items[0].prod", {}, r"'items\[0\]\.prod' is no name of a field"),
    ],
)
def test_what_is_no_catalogue_is_refused_with_its_place(
    tmp_path: Path, field: str, setting: dict[str, Any], said: str
) -> None:
    file = table(tmp_path / "c.csv", header=setting.pop("header", ("producto",)))
    with pytest.raises(ConfigError, match=said):
        ExtractionData(catalogues={field: FieldCatalogue(**{"file": file} | setting)})


CASES = [
    # written, missing, what stands in the answer, whether the catalogue has it, the distance
    ("Té verde", None, "Té verde", True, None),
    ("TÉ  VERDE", None, "Té verde", True, 0.0),
    ("te verde", None, None, False, 0.0),
    ("te verde", "nearest", "Té verde", False, 0.0),
    ("cafe molido de 500 g", "nearest", "Café molido 500 g", False, 0.05),
    ("cafe molido de 500 g", "keep", "cafe molido de 500 g", False, 0.05),
    ("martillo", "nearest", None, False, None),
    ("martillo", "keep", "martillo", False, None),
]


@pytest.mark.parametrize(("written", "missing", "name", "known", "distance"), CASES)
def test_what_becomes_of_a_name(
    tmp_path: Path, written: str, missing: Any, name: str | None, known: bool, distance: float | None
) -> None:
    data = ExtractionData(catalogues={FIELD: FieldCatalogue(table(tmp_path / "c.csv"), missing=missing)})
    answer = json.dumps({"items": [{"prod": "Té verde"}, {"prod": written}], "prod": "martillo", "n": 1.50})
    text, notes = data.settled(f"<think>…</think>{answer}", data._rows_meta)
    changed = notes.get("catalogue", {})
    value = json.loads(text.rpartition("</think>")[2])
    assert value == {"items": [{"prod": "Té verde"}, {"prod": name}], "prod": "martillo", "n": 1.5}
    assert set(changed) == ({"items[1].prod"} if written != "Té verde" else set())
    for note in changed.values():
        assert (note["written"], note["name"], note["known"]) == (written, name, known)
        assert note["distance"] == (distance if distance is None else pytest.approx(distance, abs=0.01))


def test_what_is_too_far_is_no_nearest_name(tmp_path: Path) -> None:
    own = FieldCatalogue(table(tmp_path / "c.csv"), missing="nearest", most_distance=0.01)
    data = ExtractionData(catalogues={FIELD: own})
    text, _ = data.settled('{"items":[{"prod":"te verde"},{"prod":"cafe molido de 500 g"}]}', data._rows_meta)
    assert json.loads(text) == {"items": [{"prod": "Té verde"}, {"prod": None}]}


@pytest.mark.parametrize(
    "text", ["no JSON", '{"items":[{"prod":"martillo"}', "<think>", '{"items":3}', '{"items":[7]}']
)
def test_other_texts_stay_as_they_are(tmp_path: Path, text: str) -> None:
    data = ExtractionData(catalogues={FIELD: FieldCatalogue(table(tmp_path / "c.csv"))})
    assert data.settled(text, data._rows_meta) == (text, {})
    assert ExtractionData().settled('{"items":[{"prod":"martillo"}]}', {})[1] == {}


def test_shares_of_names_add_up(tmp_path: Path) -> None:
    data = ExtractionData(catalogues={FIELD: FieldCatalogue(table(tmp_path / "c.csv"), missing="nearest")})
    gold = {"items": [{"prod": "Té verde"}, {"prod": "Café en grano"}]}
    written = ["te verde", "TÉ VERDE", "martillo", "cafe en grano", "té verde"]
    raw = json.dumps({"items": [{"prod": name} for name in written]})
    text, notes = data.settled(raw, data._rows_meta)
    settled, untouched = CatalogueMetrics(), CatalogueMetrics()
    settled.update([text, "no JSON"], [gold, gold], [data._rows_meta | notes, data._rows_meta])
    untouched.update([raw], [gold], [data._rows_meta])
    # Two are in the catalogue but for case, two are nearest to what is meant, one to nothing.
    expected = {"catalogue_in": 2 / 5, "catalogue_nearest_right": 2 / 5, "catalogue_out": 1 / 5}
    assert settled.compute() == untouched.compute() == pytest.approx(expected)


def test_what_a_text_may_mean_is_asked_with_it(tmp_path: Path, root: Path) -> None:
    own = FieldCatalogue(table(tmp_path / "c.csv"), candidates=2)
    data = ExtractionData(catalogues={FIELD: own}, instruction="Pedido:")
    asked = data.question("mándame café en grano, porfa")
    assert asked.text == "mándame café en grano, porfa"
    assert asked.context is not None
    assert asked.context.asked(asked.text) == (
        "Pedido:\nmándame café en grano, porfa\nprod: Café en grano | Café molido 500 g"
    )
    assert data.question("nada de eso").context.asked("nada de eso") == "Pedido:\nnada de eso"


ROWS = [{"text": f"quiero {name}", "json": {"items": [{"prod": name, "n": 1}]}} for name in NAMES]
SCHEMA = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2,
            "items": {
                "type": "object",
                "properties": {"prod": {"type": ["string", "null"]}, "n": {"type": "integer"}},
                "required": ["prod"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["items"],
    "additionalProperties": False,
}


def test_a_run_answers_with_names_of_its_catalogue(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("llguidance", reason="needs the extra: pip install -e '.[constrained]'")
    rows, schema = tmp_path / "rows.jsonl", tmp_path / "schema.json"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    schema.write_text(json.dumps(SCHEMA))
    catalogue = {FIELD: {"file": table(tmp_path / "c.csv"), "missing": "nearest", "candidates": 2}}
    data = {"train": str(rows), "valid": str(rows), "test": {"t": str(rows)}, "schema": str(schema)}
    generator = {
        "max_new_tokens": 120,
        "stop": "json",
        "constraint": {"class_path": "lit_llm.generation.JsonSchemaConstraint"},
    }
    run = short_runs.fit(
        tmp_path / "run",
        data | {"catalogues": catalogue},
        steps=1,
        backbone=str(root / "checkpoints/qwen3-tiny"),
        generator={"class_path": "lit_llm.generation.Generator", "init_args": generator},
        metrics=[
            {"class_path": f"lit_llm.metrics.{name}"}
            for name in ("ExtractionMetrics", "CatalogueMetrics", "WeightedF1")
        ],
    )
    config = ["--config", str(run / "config.yaml")]
    assert main(["test", *config]) == 0
    assert short_runs.logged(run)["test/t/catalogue_in"] == 1.0
    assert 0 <= short_runs.logged(run)["test/t/weighted_f1"] <= 1
    assert main(["predict", *config]) == 0
    with (run / "predictions.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    names = [item["prod"] for row in found for item in json.loads(row["prediction"])["items"]]
    assert names and set(names) <= {*NAMES, None}
    assert all("catalogues" not in json.loads(row["meta"]) for row in found)
    free = "--model.generator.constraint=null"
    assert main(["predict", *config, free, "--predictions", str(tmp_path / "free.csv")]) == 0
    # What is learned has to be writable: a row whose name the catalogue has not is refused, with its place.
    more = [{"text": "x", "json": {"items": [{"prod": name}]}} for name in ("TÉ VERDE", "te verdes")]
    rows.write_text(rows.read_text() + "".join(json.dumps(row) + "\n" for row in more))
    capsys.readouterr()
    assert main(["validate", *config]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "rows.jsonl:7: field 'json' at $: 'te verdes' is not in its catalogue; the nearest name is 'Té verde'" in said
    )
    assert "rows.jsonl:6" not in said
