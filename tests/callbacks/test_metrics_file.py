from __future__ import annotations

import csv

import pytest
from lightning.pytorch.callbacks import Callback

from lit_llm.callbacks import MetricsFile, RunCheckpoint
from lit_llm.callbacks.metrics_file import CsvLogger


def fit(tiny, root, epochs, ckpt=None):
    callbacks = [MetricsFile(), RunCheckpoint("val/score", every_n_steps=0)]
    trainer = tiny.trainer(root, callbacks, max_epochs=epochs, log_every_n_steps=1)
    trainer.fit(tiny.Net(), tiny.Data(3), ckpt_path=ckpt)


def rows(root):
    with (root / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_holds_what_was_logged_in_long_format(tiny, tmp_path):
    fit(tiny, tmp_path, 2)
    found = rows(tmp_path)
    assert list(found[0]) == ["step", "epoch", "name", "value"]
    assert [(r["step"], r["epoch"]) for r in found if r["name"] == "train/loss"] == [
        (str(step), str(step // 3)) for step in range(6)
    ]
    assert [r["step"] for r in found if r["name"] == "val/score"] == ["2", "5"]
    assert all(isinstance(float(r["value"]), float) for r in found)


def test_a_resumed_run_ends_with_the_same_file(tiny, tmp_path):
    fit(tiny, tmp_path / "whole", 3)
    fit(tiny, tmp_path / "run", 2)
    # Rows that a killed run wrote after its last checkpoint, the last of them cut.
    with (tmp_path / "run" / "metrics.csv").open("a") as file:
        file.write("6,2,train/loss,99.0\n7,2,train/l")
    fit(tiny, tmp_path / "run", 3, ckpt="last")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


def test_a_new_run_starts_the_file_anew(tiny, tmp_path):
    fit(tiny, tmp_path, 1)
    first = rows(tmp_path)
    fit(tiny, tmp_path, 1)
    assert rows(tmp_path) == first


def test_other_verbs_leave_it_alone(tiny, tmp_path):
    fit(tiny, tmp_path, 1)
    first = (tmp_path / "metrics.csv").read_bytes()
    trainer = tiny.trainer(tmp_path, [MetricsFile()])
    trainer.validate(tiny.Net(), tiny.Data(3), verbose=False)
    assert (tmp_path / "metrics.csv").read_bytes() == first


@pytest.mark.parametrize("value", [1 / 3, 1e-12, float("nan")])
def test_numbers_keep_all_their_digits(tmp_path, value):
    CsvLogger(tmp_path / "metrics.csv").log_metrics({"x": value, "epoch": 2}, step=5)
    [row] = rows(tmp_path)
    assert repr(float(row["value"])) == repr(value)
    assert (row["step"], row["epoch"]) == ("5", "2")


def test_a_step_that_was_saved_but_not_yet_logged_is_not_lost(tiny, tmp_path):
    fit(tiny, tmp_path / "whole", 2)
    stopped = [MetricsFile(), RunCheckpoint("val/score", every_n_steps=1)]
    options = {"max_epochs": -1, "max_steps": 2, "log_every_n_steps": 1}
    tiny.trainer(tmp_path / "run", stopped, **options).fit(tiny.Net(), tiny.Data(3))
    lines = (tmp_path / "run/metrics.csv").read_text().splitlines(keepends=True)
    (tmp_path / "run/metrics.csv").write_text("".join(line for line in lines if not line.startswith("1,")))
    fit(tiny, tmp_path / "run", 2, ckpt="last")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


def test_a_validation_that_is_done_again_is_logged_once(tiny, tmp_path):
    class Killed(Callback):
        def on_validation_end(self, trainer, pl_module):
            if not trainer.sanity_checking:
                raise KeyError("after its numbers were logged, before the checkpoint")

    fit(tiny, tmp_path / "whole", 2)
    callbacks = [MetricsFile(), Killed(), RunCheckpoint("val/score", every_n_steps=3)]
    with pytest.raises(KeyError):
        tiny.trainer(tmp_path / "run", callbacks, log_every_n_steps=1).fit(tiny.Net(), tiny.Data(3))
    assert "val/score" in (tmp_path / "run/metrics.csv").read_text()
    fit(tiny, tmp_path / "run", 2, ckpt="last")
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
