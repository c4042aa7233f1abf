"""One table after ``test``: every number and name whole, what a model has to beat beside it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from lit_llm.__main__ import main
from lit_llm.callbacks.result_table import print_result, warnings_of
from lit_llm.results import Result, read_results
from tests import short_runs

NAMES = ["enero", "pedidos_de_clientes_nuevos_del_norte", "c", "d", "e", "f"]
METRICS = ["loss", "field_f1", "a_metric_with_a_name_that_nobody_would_give_to_a_metric", "rows"]


def result(**change: Any) -> Result:
    scores = {
        name: {metric: 0.1234567 + i + 10 * k for k, metric in enumerate(METRICS)} for i, name in enumerate(NAMES)
    }
    fields = {
        name: [{"field": f"líneas[].campo_{k}", "precision": 1, "recall": 1, "f1": k / 12 + i / 100, "support": 9 - i}]
        for i, name in enumerate(NAMES)
        for k in [i]
    }
    statuses = {name: {"ok": 1000 + i, "invalid": 7} for i, name in enumerate(NAMES)}
    return Result("test", scores=scores, fields=fields, statuses=statuses, mains=["field_f1"], **change)


def printed(found: Result, width: int, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_result(console, found, **options)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 250])
def test_every_name_and_number_is_there_with_three_decimals(width: int) -> None:
    shown = printed(result(), width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= max(width, 80)
    numbers = re.findall(r"\d+\.\d+", shown)
    assert numbers and all(len(number.partition(".")[2]) == 3 for number in numbers)
    for i, name in enumerate(NAMES):
        assert name in shown
        # Losses, F1, and a count of rows, which has no decimals; each once.
        assert numbers.count(f"{i}.123") == numbers.count(f"{10 + i}.123") == 1
        assert f" {30 + i} " in shown
        assert f" {1000 + i:,} " in shown
    assert "".join(METRICS[2]) in shown.replace("\n", "") or width < 120


def test_the_main_metric_comes_first_and_one_block_holds_all_where_there_is_room() -> None:
    shown = printed(result(), 250)
    first = next(line for line in shown.splitlines() if line.startswith("│"))
    assert "field_f1" in first
    assert shown.count("┏") == 2, "one table, and one of the fields"


def test_the_worst_fields_are_named_with_their_support_and_those_of_no_reference_are_counted() -> None:
    found = result()
    perfect = {"field": "perfecto", "precision": 1, "recall": 1, "f1": 1.0, "support": 3}
    invented = {"field": "inventado", "precision": 0, "recall": 0, "f1": 0.0, "support": 0}
    found.fields["enero"] += [perfect, invented]
    shown = printed(found, 250, worst_fields=2)
    assert "0.000 (9)" in shown and "campo_1" in shown
    assert "campo_2" not in shown and "perfecto" not in shown and "inventado" not in shown
    assert "2 of 7" in shown and "1 more fields" in shown
    assert "campo" not in printed(found, 250, worst_fields=0)


@pytest.mark.parametrize(("own", "warned"), [(0.5, True), (0.4, True), (0.51, False)])
def test_a_model_that_does_not_beat_a_baseline_is_warned_of(own: float, warned: bool) -> None:
    baselines = {"mayo": {"commonest answer": {"field_f1": 0.2}, "nearest training text": {"field_f1": 0.5}}}
    found = Result("test", scores={"mayo": {"field_f1": own}}, baselines=baselines, mains=["field_f1"])
    warnings = warnings_of(found)
    assert [("mayo" in line and "nearest" in line and "0.500" in line) for line in warnings] == [True] * warned
    assert "field_f1: nearest training text" in printed(found, 80)


@pytest.fixture(scope="module")
def tested(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of two steps over the colours of things, and what its test printed."""
    import contextlib
    import json

    folder = tmp_path_factory.mktemp("tested")
    train = [("la casa es roja", "rojo"), ("el coche es azul", "azul"), ("la puerta es roja", "rojo"), ("verde", "v")]
    tests = {"casas": [("una casa roja", "rojo"), ("un coche azul", "verde")], "coches": [("el coche azul", "azul")]}
    files = {}
    for name, rows in {"train": train, **tests}.items():
        files[name] = folder / f"{name}.jsonl"
        lines = [{"text": text, "json": {"color": color}} for text, color in rows]
        files[name].write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = short_runs.fit(
        folder / "run",
        {"train": str(files["train"]), "test": {name: str(files[name]) for name in tests}, "batch_size": 4},
        backbone=str(root / "checkpoints/qwen3-tiny"),
        generator={"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 4}},
        metrics=[{"class_path": "lit_llm.metrics.ExtractionMetrics"}],
    )
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        assert main(["test", "--config", str(run / "config.yaml")]) == 0
    return run, shown.getvalue()


def test_the_printed_table_is_the_stored_result(tested: tuple[Path, str]) -> None:
    run, shown = tested
    (stored,) = read_results(run)
    assert "DataLoader" not in shown and "Test metric" not in shown
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines() if line[:1] == "│"]
    for metric, value in stored.scores["casas"].items():
        (row,) = [row for row in rows if row[0] == metric]
        assert row[1:] == [f"{value:,.3f}", f"{stored.scores['coches'][metric]:,.3f}"]
    counts = {row[0]: list(map(int, row[1:])) for row in rows if row[0].startswith("answers: ")}
    assert [sum(column) for column in zip(*counts.values(), strict=True)] == [2, 1]


def test_baselines_are_those_of_the_training_file(tested: tuple[Path, str]) -> None:
    run, shown = tested
    (stored,) = read_results(run)
    # The commonest answer is "rojo", the nearest texts say "rojo", "azul" and "azul".
    reached = {test: {name: found["field_f1"] for name, found in of.items()} for test, of in stored.baselines.items()}
    assert reached == {
        "casas": {"commonest answer": 0.5, "nearest training text": 0.5},
        "coches": {"commonest answer": 0.0, "nearest training text": 1.0},
    }
    assert stored.baselines["coches"]["nearest training text"]["exact_match"] == 1.0
    assert "warning: coches: field_f1" in shown


def test_what_is_printed_next_can_be_typed(tested: tuple[Path, str]) -> None:
    run, shown = tested
    commands = [line.split()[3:] for line in shown.splitlines() if " -m lit_llm " in line]
    assert [command[0] for command in commands] == ["predict", "report"]
    for command in commands:
        assert main(command) == 0
    assert "--ckpt_path" not in commands[0]
    assert (run / "predictions.csv").exists() and (run / "report.html").exists()


def test_a_training_file_that_is_gone_does_not_stop_a_test(
    tested: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = tested
    gone = ["--data.train", str(tmp_path / "gone.jsonl"), "--trainer.default_root_dir", str(tmp_path)]
    config = tmp_path / "config.yaml"
    config.write_text((run / "config.yaml").read_text())
    assert main(["test", "--config", str(config), *gone, "--ckpt_path", str(run / "last.ckpt")]) == 0
    (stored,) = read_results(tmp_path)
    assert stored.baselines == {} and stored.scores
    shown = capsys.readouterr()
    assert "gone.jsonl" in caplog.text + shown.err
    assert f"predict --config {config} --ckpt_path {run / 'last.ckpt'}" in shown.out
