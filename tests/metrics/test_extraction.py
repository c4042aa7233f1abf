from __future__ import annotations

import json
import pickle
import random
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from jsonargparse import ArgumentParser

from lit_llm.errors import ConfigError, DataError
from lit_llm.metrics import ExtractionMetrics, FieldScore, TextMetric
from lit_llm.strict_json import loads

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "d": {"type": "string", "format": "date"}},
    "required": ["a"],
}

ROWS = [
    ('{"a":1,"i":[{"n":"x"},{"n":"y"}]}', {"a": 1, "i": [{"n": "y"}, {"n": "x"}]}, {}),
    ('{"a":2,"b":"Té"}', {"a": 3, "b": "té"}, {"schema": SCHEMA}),
    ('```json\n{"a":4}\n```', {"a": 4}, {"schema": SCHEMA}),
    ('{"a":"5"}', {"a": 5}, {"schema": SCHEMA}),
    ('{"a":', {}, {}),
]


def scored(rows=ROWS, **arguments) -> ExtractionMetrics:
    metric = ExtractionMetrics(**arguments)
    metric.update(*(list(column) for column in zip(*rows, strict=True)))
    return metric


def test_values_by_hand():
    # TP, FP, FN by row: 3 0 0, 1 1 1, 0 0 1, 0 1 1, 0 0 1.
    assert scored().compute() == pytest.approx(
        {
            "field_f1": 8 / (8 + 2 + 4),
            "field_precision": 4 / 6,
            "field_recall": 4 / 8,
            "field_f1_verbatim": 6 / (6 + 3 + 5),
            "field_f1_type_lenient": 10 / (10 + 1 + 3),
            "document_f1": (1 + 0.5) / 5,
            "field_macro_f1": (2 / (2 + 2 + 3) + 1 + 1 + 0) / 4,
            "exact_match": 0,
            "exact_match_normalised": 1 / 5,
            "strict_parse": 3 / 5,
            "lenient_parse": 4 / 5,
            "schema_valid": 1 / 3,
        }
    )


def test_per_field_is_sorted_and_counts_positions_together():
    table = scored().per_field()
    assert table == {
        "$": FieldScore(0, 0, 1),
        "a": FieldScore(1, 2, 3),
        "b": FieldScore(1, 0, 0),
        "i[].n": FieldScore(2, 0, 0),
    }
    assert list(table) == sorted(table)


@pytest.mark.parametrize(
    ("arguments", "text", "gold", "without", "with_arguments"),
    [
        ({"parse": "lenient"}, 'Es {"a":1}', {"a": 1}, 0, 1),
        ({"ignore_null": False}, "{}", {"a": None}, 1, 0),
        ({"number_tolerance": 0.5}, '{"a":1.5}', {"a": 1}, 0, 1),
        ({"date_fields": ["a[].d"]}, '{"a":[{"d":"1/2/2024"}]}', {"a": [{"d": "2024-02-01"}]}, 0, 1),
        ({"day_first": False}, '{"d":"1/2/2024"}', {"d": "2024-02-01"}, 1, 0),
    ],
)
def test_every_argument_changes_the_score(arguments, text, gold, without, with_arguments):
    rows = [(text, gold, {"schema": {"properties": {"d": {"format": "date"}}}})]
    assert scored(rows).compute()["field_f1"] == without
    assert scored(rows, **arguments).compute()["field_f1"] == with_arguments


def test_dates_are_compared_as_such_only_where_the_schema_says_so():
    row = ('{"a":1,"d":"1/2/2024"}', {"a": 1, "d": "2024-02-01"})
    assert scored([(*row, {"schema": SCHEMA})]).compute()["document_f1"] == 1
    assert scored([(*row, {})]).compute()["document_f1"] == 0.5


TREE = {"properties": {"d": {"format": "date"}, "hijos": {"items": {"$ref": "#"}}}}
SPELLED = {"additionalProperties": {"$ref": "#/$defs/d%C3%ADa"}, "$defs": {"día": {"format": "date-time"}}}
PAIR = {"prefixItems": [{"type": "string"}, {"format": "time"}]}


@pytest.mark.parametrize(
    ("schema", "text", "gold", "equal"),
    [
        (TREE, '{"hijos":[{"hijos":[{"d":"1/2/2024"}]}]}', {"hijos": [{"hijos": [{"d": "2024-02-01"}]}]}, True),
        (SPELLED, '{"x":"2024-05-01T10:30:00Z"}', {"x": "2024-05-01 12:30:00+02:00"}, True),
        (PAIR, '["a","10:30"]', ["A", "10:30:00"], True),
        *(
            ({"properties": {"d": {"format": "date"}}}, f'{{"d":"{text}"}}', {"d": gold}, equal)
            for text, gold, equal in [
                ("2024-05", "2124-04", False),
                ("2024", "20:24", False),
                ("202405", "20:24:05", False),
                ("05-2024", "06-2124", False),
                ("2024-W05", "2024-01-29", False),
                ("2024-W05-1", "2024-01-29", False),
                ("10", "10:00", False),
                ("10:30+02:00", "10:30", False),
                ("2024-05", "2024-05", True),
                ("20240501", "1/5/2024", True),
                ("10:30+02:00", "08:30Z", True),
                ("1.5.2024", "2024-05-01", True),
            ]
        ),
    ],
)
def test_only_whole_dates_and_times_are_read_wherever_the_schema_has_them(schema, text, gold, equal):
    values = scored([(text, gold, {"schema": schema})]).compute()
    assert (values["exact_match_normalised"] == 1) is equal


@pytest.mark.parametrize(
    ("text", "gold", "equal"),
    [
        ("0.00001", "1e-5", True),
        ("12.50", "12.5", True),
        ("50.0", "50", True),
        ("-0.0", "0", True),
        ("1E2", "100", True),
        ("0.12345678901234567890", "0.12345678901234567891", False),
        ("12345678901234567.1", "12345678901234567.2", False),
        ("true", "1", False),
    ],
)
def test_numbers_are_equal_by_value_to_the_last_digit(text, gold, equal):
    values = scored([(f'{{"a":{text}}}', loads(f'{{"a":{gold}}}'), {})]).compute()
    assert (values["field_f1"], values["exact_match"]) == (float(equal), float(equal))


def test_a_draft_in_a_thought_is_not_scored():
    rows = [('<think>quizá {"a":0}</think>{"a":1}', {"a": 1}, {}), ('<think>{"a":1}', {"a": 1}, {})]
    for parse in ("strict", "lenient"):
        values = scored(rows, parse=parse).compute()
        assert (values["document_f1"], values["strict_parse"], values["lenient_parse"]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("parse", "valid"), [("strict", 0), ("lenient", 1)])
def test_validity_is_that_of_the_scored_value(parse, valid):
    assert scored([ROWS[2]], parse=parse).compute()["schema_valid"] == valid


def test_validity_is_absent_without_schemas():
    assert "schema_valid" not in scored([ROWS[0]]).compute()


@pytest.mark.parametrize(("text", "score"), [("null", 1), ("nada", 0)])
def test_without_a_single_field_the_parse_decides(text, score):
    values = scored([(text, None, {})]).compute()
    assert (values["field_f1"], values["document_f1"], values["field_macro_f1"]) == (score, score, score)


def test_splitting_into_batches_changes_nothing():
    whole, parts = scored(), ExtractionMetrics()
    for text, gold, meta in ROWS[::-1]:
        parts.update([text], [gold], [meta])
    assert parts.compute() == whole.compute()
    assert parts.per_field() == whole.per_field()


def test_reset_forgets_everything():
    metric = scored()
    metric.compute()
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute() == {}
    metric.update(["1"], [1], [{}])
    assert metric.per_field() == {"$": FieldScore(1, 0, 0)}


def test_a_copy_goes_on_by_itself():
    metric = scored()
    copied = pickle.loads(pickle.dumps(metric))
    copied.update(["1"], [1], [{}])
    assert copied.compute()["strict_parse"] == pytest.approx(4 / 6)
    assert metric.compute()["strict_parse"] == pytest.approx(3 / 5)


def test_field_names_may_hold_anything():
    gold = {"ñ\n\u2028": 1, "\ud800": 2, "": 3}
    assert len(scored([(json.dumps(gold), gold, {})]).per_field()) == 3


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"number_tolerance": -1.0}, "number_tolerance: -1.0"),
        ({"number_tolerance": float("nan")}, "number_tolerance: nan"),
        ({"date_fields": ["a[0].d"]}, r"date_fields: a\[0\].d"),
    ],
)
def test_impossible_arguments_are_named(arguments, word):
    with pytest.raises(ConfigError, match=word):
        ExtractionMetrics(**arguments)


def test_a_broken_schema_is_named():
    with pytest.raises(DataError, match="schema"):
        scored([("{}", {}, {"schema": {"type": 3}})])


def test_arrives_through_yaml():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--metrics", type=list[TextMetric])
    text = "[{class_path: lit_llm.metrics.ExtractionMetrics, init_args: {task: pedidos, parse: lenient}}]"
    (metric,) = parser.instantiate(parser.parse_args(["--metrics", text])).metrics
    assert (metric.task, metric.parse) == ("pedidos", "lenient")


def many_rows(count: int) -> list[tuple]:
    rng = random.Random(5)
    rows = []
    for number in range(count):
        gold = {f"k{rng.randrange(9)}": rng.randrange(3) for _ in range(rng.randrange(1, 6))}
        said = {key: value if rng.random() < 0.7 else 9 for key, value in gold.items()}
        rows.append((json.dumps(said)[: None if number % 5 else -1], gold, {"schema": True} if number % 3 else {}))
    return rows


def _process(rank: int, world: int, cases: list[list[list[tuple]]], folder: str) -> None:
    torch.set_num_threads(1)
    loaded = {"jsonschema", "referencing"} & set(sys.modules)
    store = torch.distributed.FileStore(f"{folder}/store", world)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=world)
    results: list = [loaded]
    for shares in cases:
        metric = ExtractionMetrics()
        for row in shares[rank]:
            metric.update(*([value] for value in row))
        results.append((metric.compute(), metric.per_field()))
        metric.update(["1"], [1], [{}])
        results.append((metric.compute(), metric.per_field()))
    Path(folder, f"{rank}.pkl").write_bytes(pickle.dumps(results))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_report_what_one_does_and_import_jsonschema_late(tmp_path):
    rows = many_rows(41)
    both_have_rows, one_has_none = [rows[::2], rows[1::2]], [rows, []]
    mp.spawn(_process, args=(2, [both_have_rows, one_has_none], str(tmp_path)), nprocs=2)
    whole, later = scored(rows), scored([*rows, ("1", 1, {}), ("1", 1, {})])
    expected = [(metric.compute(), metric.per_field()) for metric in (whole, later)]
    assert 0 < expected[0][0]["schema_valid"] < 1
    for rank in range(2):
        assert pickle.loads(Path(tmp_path, f"{rank}.pkl").read_bytes()) == [set(), *expected, *expected]
