"""PredictionWriter: the file is the same however often the run was killed."""

from __future__ import annotations

import csv
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lit_llm.callbacks.prediction_file import COLUMNS, partial_path

SCRIPT = Path(__file__).with_name("predict_script.py")
ROWS = 20


def start(root, delay=0.0, *pairs, rows=ROWS):
    command = [sys.executable, str(SCRIPT), str(root), str(delay), str(rows), *pairs]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True)


@pytest.fixture(scope="module")
def toy():
    """The script's classes, for runs in this process."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def predict(tiny, toy, tmp_path):
    """Predict in this process; returns the file's bytes."""
    from lit_llm.callbacks import PredictionWriter

    def run(rows=ROWS, path=None, options=None, root=tmp_path, delay=0.0, **settings):
        trainer = tiny.trainer(root, [PredictionWriter(path)], **(options or {}))
        trainer.predict(toy["Model"](delay, settings), toy["Data"](rows), return_predictions=False)
        target = Path(path) if path else root / "predictions.csv"
        return target.read_bytes() if target.exists() else None

    return run


def test_the_file_holds_every_row_in_input_order(predict, tmp_path):
    content = predict()
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == [f"row {i}" for i in range(ROWS)]
    assert rows[4] == {
        "id": "row 4",
        "text": 'línea 4\nsegunda, "con comillas"\r\ny una tercera; ""',
        "prediction": '{"n":4}',
        "reference": r"\ud800",
        "status": "error",
        "error": "out of memory",
        "raw": "xxxx",
        "new_tokens": "4",
        "score": "-0.571429",
        "meta": '{"a":"ñ","b":1}',
    }
    assert content.startswith(b'"id","text"')
    assert rows[0]["score"] == "0.000000"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["predictions.csv", "predictions.csv.run.json"]


def wait_for_rows(part, number, alive):
    while not part.exists() or part.read_bytes().count(b'"row ') < number:
        assert alive()
        time.sleep(0.005)


def test_killed_at_several_moments_it_ends_with_the_same_bytes(predict, tiny, tmp_path):
    whole = predict(root=tmp_path / "whole")
    root = tmp_path / "killed"
    part = partial_path(root / "predictions.csv")
    kept = []
    for rows_before in (1, 5, 9, 13, 17):
        child = tiny.forked(lambda: predict(root=root, delay=0.1))
        wait_for_rows(part, rows_before, lambda child=child: os.waitpid(child, os.WNOHANG) == (0, 0))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert not (root / "predictions.csv").exists()
        kept.append(part.read_bytes().count(b'"row '))
    assert kept == sorted(kept)
    assert 0 < kept[0] < kept[-1] < ROWS
    assert predict(root=root) == whole
    assert not part.exists()


def cuts(content):
    """Every kind of place to be cut at: in the header, at newlines in and between cells, amid a character."""
    newlines = [i for i, byte in enumerate(content) if byte == 10]
    accent = content.index("í".encode()) + 1
    return [0, 3, newlines[0], newlines[0] + 1, accent, *newlines[1:9], len(content) - 1, len(content)]


def test_a_tail_cut_anywhere_is_mended(predict, tmp_path):
    whole = predict()
    target = tmp_path / "predictions.csv"
    for cut in cuts(whole):
        target.unlink()
        partial_path(target).write_bytes(whole[:cut])
        assert predict() == whole, f"cut at byte {cut}"


def test_a_zeroed_tail_is_mended(predict, tmp_path):
    whole = predict()
    (tmp_path / "predictions.csv").unlink()
    partial_path(tmp_path / "predictions.csv").write_bytes(whole[:300] + b"\0" * 512)
    assert predict() == whole


def test_killed_between_the_last_row_and_the_end_it_needs_no_model(predict, tmp_path, toy, monkeypatch):
    whole = predict()
    target = tmp_path / "predictions.csv"
    target.rename(partial_path(target))
    monkeypatch.setattr(toy["Model"], "predict_step", lambda *_: pytest.fail("a finished row was predicted again"))
    assert predict() == whole
    # The same with the file in place and its partial one not yet removed.
    partial_path(target).write_bytes(whole)
    assert predict() == whole
    assert not partial_path(target).exists()


def test_a_complete_file_is_left_alone_and_said_to_be_complete(predict, tmp_path, caplog):
    whole = predict()
    before = (tmp_path / "predictions.csv").stat().st_mtime_ns
    assert predict() == whole
    assert (tmp_path / "predictions.csv").stat().st_mtime_ns == before
    assert "nothing to do" in caplog.text


@pytest.mark.parametrize("complete", [True, False])
def test_another_configuration_is_refused_with_the_differing_key(predict, tmp_path, complete):
    from lit_llm.errors import ConfigError

    predict(beams="1", seed="3", options={} if complete else {"limit_predict_batches": 2})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=r"model\.beams: was 1, is 4.*delete.*--predictions OTHER") as caught:
        predict(beams="4", seed="3")
    assert "seed" not in str(caught.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert predict(beams="4", seed="3", path=str(tmp_path / "deep" / "other.csv"))


def test_other_rows_are_refused(predict):
    from lit_llm.errors import ConfigError

    predict()
    with pytest.raises(ConfigError, match="rows: was"):
        predict(rows=ROWS + 1)


def test_a_file_that_predict_did_not_write_is_refused(predict, tmp_path):
    from lit_llm.errors import ConfigError

    (tmp_path / "mine.csv").write_text("a,b\n")
    with pytest.raises(ConfigError, match=r"mine\.csv exists"):
        predict(path=str(tmp_path / "mine.csv"))
    with pytest.raises(ConfigError, match="is a folder"):
        predict(path=str(tmp_path))


def test_a_limit_on_batches_leaves_a_partial_file_to_go_on_from(predict, caplog, tmp_path):
    assert predict(options={"limit_predict_batches": 2}) is None
    assert "14 of 20 rows are not predicted yet" in caplog.text
    assert predict() == predict(root=tmp_path / "whole")


def test_repeated_ids_are_refused(predict, toy, monkeypatch):
    from lit_llm.errors import ConfigError

    monkeypatch.setattr(toy["Data"], "row_order", lambda self: ["a", "b", "a"])
    with pytest.raises(ConfigError, match="row id 'a' occurs twice"):
        predict()


@pytest.mark.slow
def test_two_processes_write_the_same_file_and_one_can_finish_it(predict, tmp_path):
    whole = predict(root=tmp_path / "whole")
    process = start(tmp_path / "two", 0.0, "--two")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert (tmp_path / "two" / "predictions.csv").read_bytes() == whole
    root = tmp_path / "killed"
    process = start(root, 0.3, "--two")
    part = partial_path(root / "predictions.csv", 1)
    wait_for_rows(part, 1, lambda: process.poll() is None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert predict(root=root) == whole
    assert not part.exists()
