"""What makes a run a run is there wherever the list of callbacks comes from, and a listed one takes its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main
from lit_llm.callbacks import RunCheckpoint
from lit_llm.callbacks.essential import ESSENTIAL, complete
from lit_llm.report.predictions import read_predictions
from lit_llm.results import content_hash, read_results

NAMES = {kind.__name__ for kind in ESSENTIAL}


class OwnCheckpoint(RunCheckpoint):
    """A subclass, as a user may write it."""


def names(callbacks: list[Any]) -> list[str]:
    return [entry["class_path"].rpartition(".")[2] for entry in callbacks]


@pytest.mark.parametrize("listed", [None, [], {"class_path": "lit_llm.callbacks.Throughput"}])
def test_all_are_added_to_whatever_is_listed(listed: Any) -> None:
    found = names(complete(listed))
    assert set(found) >= NAMES
    assert len(found) == len(ESSENTIAL) + isinstance(listed, dict)


@pytest.mark.parametrize(
    "path",
    ["lit_llm.callbacks.RunCheckpoint", "lit_llm.callbacks.checkpoint.RunCheckpoint", f"{__name__}.OwnCheckpoint"],
)
def test_a_listed_one_or_a_subclass_takes_the_place_of_the_default(path: str) -> None:
    found = complete([{"class_path": path, "init_args": {"every_n_steps": 7}}])
    assert found[0]["init_args"]["every_n_steps"] == 7
    assert len(found) == len(ESSENTIAL)


def test_what_is_not_wanted_stays_out() -> None:
    assert "RunCheckpoint" not in names(complete(None, without=[RunCheckpoint]))


@pytest.fixture(scope="module")
def bare(short_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose file says nothing of callbacks, with a validation split and two tests."""
    folder = tmp_path_factory.mktemp("bare")
    settings = json.loads((short_runs / "plain.yaml").read_text())
    rows = str(short_runs / "rows.jsonl")
    del settings["trainer"]["callbacks"]
    settings["trainer"] |= {"default_root_dir": str(folder / "run"), "max_steps": 2, "logger": True}
    settings["data"]["init_args"] |= {"valid": rows, "test": {"one": rows, "two": rows}}
    settings["model"]["init_args"]["metrics"] = [{"class_path": "lit_llm.metrics.ExtractionMetrics"}]
    settings["model"]["init_args"]["generator"]["init_args"]["max_new_tokens"] = 4
    (folder / "run.yaml").write_text(json.dumps(settings))
    assert main(["fit", "--config", str(folder / "run.yaml")]) == 0
    return folder / "run"


@pytest.mark.slow
def test_a_run_file_without_callbacks_makes_a_whole_run(bare: Path, tmp_path: Path) -> None:
    present = {path.name for path in bare.iterdir()}
    assert {"config.yaml", "best.ckpt", "last.ckpt", "adapter", "metrics.csv"} <= present
    assert not any(path.suffix == ".ckpt" for path in bare.rglob("*/*")), "Lightning's own checkpoint stands beside it"
    saved = yaml.safe_load((bare / "config.yaml").read_text())["trainer"]["callbacks"]
    assert set(names(saved)) == NAMES
    target = tmp_path / "out.csv"
    rows = yaml.safe_load((bare / "config.yaml").read_text())["data"]["init_args"]["train"]
    answered = ["--data.predict", rows, "--predictions", str(target)]
    assert main(["predict", "--config", str(bare.with_suffix(".yaml")), *answered]) == 0
    assert len(read_predictions(target)) == 8


def test_results_of_validate_and_test_have_a_file_of_their_own(bare: Path) -> None:
    before = {path: path.read_bytes() for path in bare.iterdir() if path.is_file()}
    for verb in ("validate", "test"):
        assert main([verb, "--config", str(bare / "config.yaml")]) == 0
    assert main(["test", "--config", str(bare / "config.yaml"), "--ckpt_path", "none"]) == 0
    assert {path: path.read_bytes() for path in bare.iterdir() if path.is_file()} == before, "metrics, events, config"
    validated, tested, base = read_results(bare)
    assert (validated.verb, tested.verb, base.checkpoint) == ("validate", "test", None)
    assert tested.checkpoint is not None
    assert tested.checkpoint["sha256"] == content_hash(bare / "best.ckpt")
    assert (tested.checkpoint["name"], tested.checkpoint["step"]) == ("best", 2)
    assert set(validated.scores) == {"valid"}
    assert set(tested.scores) == {"one", "two"}
    assert {"loss", "perplexity", "field_f1", "exact_match"} <= set(tested.scores["one"])
    assert tested.scores["one"] == tested.scores["two"]
    assert {name: entry["rows"] for name, entry in tested.data.items()} == {"one": 8, "two": 8}
    assert tested.data["one"]["sha256"] == content_hash(Path(tested.data["one"]["path"]))
    assert tested.statuses["two"] == {"length": 8}
    assert [row["support"] for row in tested.fields["one"]] == [8]
    assert tested.versions["torch"]
