"""What stands in the log of a run that nobody watches in a terminal, and what a training ends with."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_llm.__main__ import main
from lit_llm.callbacks import ProgressLines, RunCheckpoint, RunSummary
from lit_llm.callbacks.progress_lines import RowCount, rows_of, span
from lit_llm.errors import ConfigError


def lines(tiny: Any, folder: Path, capsys: pytest.CaptureFixture[str], seconds: float, **options: Any) -> list[str]:
    """Train the toy, and return what was printed of it."""
    capsys.readouterr()
    tiny.trainer(folder, [ProgressLines(seconds)], **{"log_every_n_steps": 1, **options}).fit(tiny.Net(), tiny.Data(6))
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith(("training", "step", "valid"))]


def test_a_line_tells_step_loss_rate_speed_and_time_left(tiny: Any, tmp_path: Path, capsys: Any) -> None:
    found = lines(tiny, tmp_path, capsys, 1e-9, max_epochs=2)
    assert found[0] == "training: 12 of 12 steps; a line every 1e-09 s"
    steps = [line for line in found if line.startswith("step")]
    assert [line.partition(",")[0] for line in steps] == [f"step {n} of 12" for n in range(1, 13)]
    form = r"step 7 of 12, epoch 2 of 2, loss \d+\.\d{4}, [\d,]+ target tokens/s, \d+ s left"
    assert re.fullmatch(form, steps[6]), steps[6]
    assert steps[11].endswith(" 0 s left")


def test_accumulated_batches_are_one_step_and_count_all_their_tokens(tiny: Any, tmp_path: Path, capsys: Any) -> None:
    found = lines(tiny, tmp_path, capsys, 1e-9, max_epochs=1, accumulate_grad_batches=3)
    assert [line.partition(",")[0] for line in found if line.startswith("step")] == ["step 1 of 2", "step 2 of 2"]


def test_a_long_interval_and_no_interval(tiny: Any, tmp_path: Path, capsys: Any) -> None:
    assert not [line for line in lines(tiny, tmp_path, capsys, 3600) if line.startswith("step")]
    assert lines(tiny, tmp_path, capsys, 0) == []
    with pytest.raises(ConfigError, match=r"ProgressLines\.seconds is -1"):
        ProgressLines(-1)


@pytest.mark.parametrize("terminal", [True, False])
def test_either_a_bar_or_lines(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, terminal: bool
) -> None:
    from lightning.pytorch import Trainer
    from lightning.pytorch.callbacks import RichProgressBar

    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    bar = RichProgressBar()
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "max_epochs": 1, "num_sanity_val_steps": 0}
    trainer = Trainer(default_root_dir=tmp_path, callbacks=[bar, ProgressLines(1e-9)], **options)
    trainer.fit(tiny.Net(), tiny.Data(2))
    assert bar.is_enabled == terminal
    assert ("step 1 of 2" in capsys.readouterr().err) != terminal


def test_rows_that_are_done() -> None:
    class Loader:
        batches = staticmethod(lambda epoch: [[3, 1], [0, 2], [4, -1]])

    class Batch:
        def __init__(self, *ids: str) -> None:
            self.ids = list(ids)

    mine = rows_of([Loader(), Loader()], [3, 1])
    assert mine == 7 and rows_of(Loader(), [2]) == 4 and rows_of([Loader(), object()], [3, 3]) == 0
    count = RowCount("predict", mine, 7)
    assert count.line() == "predict: 7 rows"
    count.add(Batch("a", "b"))
    count.add(Batch("c", ""))
    assert re.fullmatch(r"predict: 3 of 7 rows, \d+ s left", count.line())
    # Of three processes, this one is three sevenths through its share.
    count.total = 21
    assert count.line().startswith("predict: 9 of 21 rows, ")
    unknown = RowCount("test", 0, 0)
    unknown.add(Batch("a", "b"))
    assert unknown.line() == "test: 2 rows"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (125, "2 min 05 s"), (12_000, "3 h 20 min")],
)
def test_spans_of_time(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_the_end_names_the_best_score_its_step_and_the_weights(tiny: Any, tmp_path: Path, capsys: Any) -> None:
    class Falling(tiny.Net):
        def validation_step(self, batch: Any, index: int) -> list[Any]:
            self.log("val/score", 100.0 - abs(self.trainer.global_step - 6))
            return []

    checkpoint = RunCheckpoint("val/score", mode="max")
    tiny.trainer(tmp_path, [checkpoint, RunSummary()], max_epochs=3).fit(Falling(), tiny.Data(3))
    shown = capsys.readouterr().out
    assert "trained  9 steps in" in shown
    assert "best     val/score 100 at step 6" in shown
    assert str(tmp_path / "adapter") in shown and (tmp_path / "adapter").is_dir()
    assert "next" not in shown, "without a config.yaml there is no command that works"


def test_the_commands_at_the_end_of_fit_work(
    short_runs: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "with a blank"
    copied = ["--config", str(short_runs / "plain.yaml"), "--trainer.default_root_dir", str(folder)]
    assert main(["fit", *copied, "--trainer.max_steps", "1"]) == 0
    shown = capsys.readouterr().out
    commands = [shlex.split(line)[3:] for line in shown.splitlines() if " -m lit_llm " in line]
    assert [command[0] for command in commands] == ["test", "predict", "ask"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("quiero 3 panes\n"))
    assert main(commands[2]) == 0
    for command in commands[:2]:
        assert main([*command, "--trainer.limit_test_batches=1", "--trainer.limit_predict_batches=1"]) == 0
