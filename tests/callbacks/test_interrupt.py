"""GracefulInterrupt: what a signal leaves behind, wherever it arrives."""

from __future__ import annotations

import os
import shlex
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lit_llm.callbacks import GracefulInterrupt, RunCheckpoint
from lit_llm.callbacks.interrupt import _advice

OPTIONS = {"accumulate_grad_batches": 2, "val_check_interval": 3, "max_epochs": 2}
"""Epochs of 7 batches: steps end at batches 1, 3, 5, 6; validations stand after batches 2 (amid a step) and 5."""


@pytest.fixture(autouse=True)
def handlers():
    """Leave the signals as they were."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def fit(tiny, root, when=None, number=signal.SIGINT, times=1, ckpt=None, callbacks=(GracefulInterrupt,)):
    class Interrupted(tiny.Net):
        """Gets the signal while it computes the ``when``-th entry of its trace."""

        def note(self, *entry):
            super().note(*entry)
            if len(self.trace) - 1 == when:
                for _ in range(times):
                    signal.raise_signal(number)

    net = Interrupted()
    callbacks = [*(make() for make in callbacks), RunCheckpoint("val/score", every_n_steps=0)]
    trainer = tiny.trainer(root, callbacks, **OPTIONS)
    try:
        trainer.fit(net, tiny.Data(7), ckpt_path=ckpt, weights_only=True)
    except SystemExit as stop:
        return net, stop.code
    return net, 0


@pytest.fixture(scope="module")
def uninterrupted():
    """A place to keep the run that the others are compared with."""
    return {}


@pytest.mark.parametrize("when", range(0, 20))
def test_a_run_stopped_anywhere_goes_on_as_if_it_never_was(tiny, tmp_path, when, capfd, uninterrupted):
    whole = uninterrupted.setdefault("run", uninterrupted.get("run") or fit(tiny, tmp_path / "whole")[0])
    stopped, code = fit(tiny, tmp_path / "run", when)
    assert code == 130
    assert "--ckpt_path last" in capfd.readouterr().err
    seen = [entry for entry in stopped.trace if entry[0] == "train"]
    # Accumulation windows of 2 end at batches 2, 4, 6 and 7 of an epoch.
    assert len(seen) % 7 in (0, 2, 4, 6)
    assert len(stopped.trace) - when <= 5, "it went on for longer than a step and a validation"
    resumed, _ = fit(tiny, tmp_path / "run", ckpt="last")
    trained = [entry for entry in resumed.trace if entry[0] == "train"]
    assert seen + trained == [entry for entry in whole.trace if entry[0] == "train"]
    # A validation that was stopped is done again from its start; no other is repeated or left out.
    validations = [entry[1] for entry in stopped.trace + resumed.trace if entry[0] == "valid" and entry[2] == 1]
    assert validations == [entry[1] for entry in whole.trace if entry[0] == "valid" and entry[2] == 1]
    assert torch.equal(resumed.layer.weight, whole.layer.weight)


def test_sigterm_is_heeded_too(tiny, tmp_path):
    stopped, code = fit(tiny, tmp_path, 4, signal.SIGTERM)
    assert code == 143
    assert (tmp_path / "last.ckpt").exists()
    assert len([entry for entry in stopped.trace if entry[0] == "train"]) == 4


def test_the_second_signal_stops_at_once(tiny, tmp_path, capfd):
    stopped, code = fit(tiny, tmp_path, 0, times=2)
    assert code == 130
    assert len(stopped.trace) == 1
    assert not (tmp_path / "last.ckpt").exists()


def test_the_signals_are_given_back(tiny, tmp_path):
    fit(tiny, tmp_path, 1)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    fit(tiny, tmp_path)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_without_a_checkpoint_it_says_so(tiny, tmp_path, capfd):
    trainer = tiny.trainer(tmp_path, [GracefulInterrupt()], enable_checkpointing=False)

    class Interrupted(tiny.Net):
        def note(self, *entry):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(SystemExit):
        trainer.fit(Interrupted(), tiny.Data(3))
    assert "before any checkpoint" in capfd.readouterr().err


def test_loader_processes_outlive_ctrl_c_until_the_step_is_done(tiny, tmp_path):
    class Served(tiny.Data):
        def train_dataloader(self):
            return torch.utils.data.DataLoader(range(40), batch_size=2, num_workers=1, collate_fn=tiny.batch)

    class Slow(tiny.Net):
        def training_step(self, batch, index):
            time.sleep(0.03)
            return super().training_step(batch, index)

    def work():
        callbacks = [GracefulInterrupt(), RunCheckpoint("val/score")]
        trainer = tiny.trainer(tmp_path, callbacks, accumulate_grad_batches=10)
        trainer.fit(Slow(tmp_path / "trace"), Served())

    child = tiny.forked(work)
    while not (tmp_path / "trace").exists():
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
        time.sleep(0.01)
    os.killpg(child, signal.SIGINT)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 1


@pytest.mark.parametrize("name", ["mi carpeta", "años (2)", "it's", "$HOME", "plain"])
def test_the_command_that_is_printed_can_be_typed(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "last.ckpt").touch()
    trainer: Any = SimpleNamespace(default_root_dir=str(folder), checkpoint_callbacks=[RunCheckpoint()], global_step=3)
    said, command = _advice(trainer).splitlines()
    assert "after step 3" in said
    words = shlex.split(command)
    assert words[words.index("--config") + 1] == str(folder / "config.yaml")
    assert words[-2:] == ["--ckpt_path", "last"]
