"""Columns that cannot be named, ids that do not tell rows apart, names like options, and the time of a first run."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import lit_llm.data
from lit_llm.__main__ import main
from lit_llm.models import CausalLM
from lit_llm.starting import guide
from lit_llm.starting.bases import Base
from lit_llm.starting.budgets import Budget, seconds, within
from lit_llm.starting.lengths import Lengths
from lit_llm.starting.measuring import Pace
from lit_llm.starting.plan import Plan
from lit_llm.starting.run_file import run_file

Captured = pytest.CaptureFixture[str]


def table(path: Path, ids: list[str] | None = None, name: str = "") -> None:
    """Write rows as pandas does, with an index, or a column of ids, before them."""
    pandas = pytest.importorskip("pandas")
    rows = [{"aviso": f"Ana lleva {k} palas y {k * 7} cubos", "hoja": json.dumps({"n": k})} for k in range(30)]
    frame = pandas.DataFrame(rows)
    if ids is not None:
        frame.insert(0, name, ids)
    frame.to_csv(path, index=ids is None)


def begun(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the settings of the data and all rows that were divided."""
    rows = [
        json.loads(line)
        for part in ("train", "valid", "test")
        for line in (folder / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return yaml.safe_load((folder / "run.yaml").read_text(encoding="utf-8"))["data"]["init_args"], rows


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "1000")
    return tmp_path


@pytest.mark.parametrize("task", [["extraction"], ["translation", "--languages", "aviso,hoja"]])
def test_an_index_without_a_name_is_left_out(here: Path, capsys: Captured, task: list[str]) -> None:
    table(here / "-x.csv")
    assert main(["init", *task, "./-x.csv", "--no-measure"]) == 0
    out = capsys.readouterr().out
    assert "the column without a name (0, 1, 2, …) is left out" in out
    assert "fit --config ./-x/run.yaml" in out
    assert "report ./-x/run" in out
    settings, rows = begun(here / "-x")
    assert "keep" not in settings
    assert {frozenset(row) for row in rows} == {frozenset({"id", "aviso", "hoja"})}


@pytest.mark.parametrize("task", [["extraction"], ["translation", "--languages", "aviso,hoja"]])
def test_blank_ids_are_made_and_repeated_ones_are_bad(here: Path, task: list[str]) -> None:
    table(here / "u.csv", ["" if k % 4 == 0 else "f9" if k in (9, 10) else f"f{k}" for k in range(30)], "id")
    assert main(["init", *task, "u.csv", "--no-measure"]) == 0
    _, rows = begun(here / "u")
    assert len(rows) == 29
    assert {"f9", "f11", "u-2", "u-6"} <= {row["id"] for row in rows}
    assert "already the id of line 11" in (here / "u/bad_rows.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", [["extraction"], ["translation", "--languages", "aviso,hoja"]])
def test_ids_that_tell_no_rows_apart(here: Path, capsys: Captured, task: list[str]) -> None:
    table(here / "w.csv", [f"c{k % 4}" for k in range(30)], "id")
    assert main(["init", *task, "w.csv", "--no-measure"]) == 0
    assert "'id' has 4 values for 30 rows, too few to tell rows apart" in capsys.readouterr().out
    settings, rows = begun(here / "w")
    assert settings["id_field"] == "row_id"
    assert len({row["row_id"] for row in rows}) == 30


@pytest.mark.parametrize(("step", "token"), [(8.0, 0.01), (8.0, 0.5), (0.4, 0.9)])
def test_a_first_run_ends_in_time(step: float, token: float) -> None:
    sizes, lengths, pace = {"train": 1600, "valid": 200}, Lengths([900], [300]), Pace(step, 2.0, token)
    whole = Budget(1024, 900, 320, 300, 8, 16, epochs=4, rows=1600)
    budget = within(whole, pace, sizes, lengths, 12)
    assert 0.5 * 720 < seconds(budget, pace, sizes, lengths) <= 720
    plan = Plan("extraction", [Path("a.csv")], "lit_llm.data.ExtractionData", {}, [], [], ["text"])
    trainer = yaml.safe_load(run_file(plan, Base("b", tiny=True, gpu=False, reason="r"), budget))["trainer"]
    assert trainer.get("max_steps", 0) == trainer.get("val_check_interval", 0) == budget.most_steps
    assert trainer.get("limit_val_batches", 0) == budget.answered
    assert bool(budget.most_steps) is (step > 1)
    assert within(whole, Pace(1e-3, 1e-3, 1e-5), sizes, lengths, 12) == whole


@pytest.mark.parametrize(("rows", "every"), [(20, 3), (800, 10)])
def test_the_log_fits_the_epoch(rows: int, every: int) -> None:
    assert Budget(96, 90, 32, 30, batch_size=8, rows=rows).log_every == every


def test_part_of_an_epoch_is_said() -> None:
    said = str(guide.Time(600.0, 70, 1, 200, test=61.0))
    assert "70 steps of the 200 of an epoch" in said and said.endswith("`test` and `predict` take about 1 minute each")


@pytest.mark.parametrize("task", [["extraction"], ["translation", "--languages", "aviso,hoja"]])
def test_the_steps_that_are_told_are_those_of_the_run(here: Path, capsys: Captured, task: list[str]) -> None:
    letters = random.Random(0)
    texts = [" ".join("".join(letters.choices("aeioltmnk", k=6)) for _ in range(8)) for _ in range(60)]
    second = ['"{""n"": 1}"'] * 30 if task == ["extraction"] else texts[30:]
    rows = [f"{one},{other}" for one, other in zip(texts, second, strict=False)]
    (here / "w.csv").write_text("\n".join(["aviso,hoja", *rows]), encoding="utf-8")
    assert main(["init", *task, "w.csv", "--no-measure"]) == 0
    told = int(re.search(r"([\d,]+) steps", capsys.readouterr().out)[1].replace(",", ""))  # type: ignore[index]
    config = yaml.safe_load((here / "w/run.yaml").read_text(encoding="utf-8"))
    kind, settings = config["data"]["class_path"].rpartition(".")[2], config["data"]["init_args"]
    files = {name: str(here / f"w/{name}.jsonl") for name in ("train", "valid")}
    own = {key: value for key, value in settings.items() if key not in ("test", "schema")}
    data = getattr(lit_llm.data, kind)(**own | files)
    data.tokenizer = CausalLM(backbone=config["model"]["init_args"]["backbone"]).tokenizer
    data.setup("fit")
    assert told == len(data.train_dataloader()) * config["trainer"]["max_epochs"]
