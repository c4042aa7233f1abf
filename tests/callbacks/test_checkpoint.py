"""RunCheckpoint: what it writes, and that every state it writes resumes exactly."""

from __future__ import annotations

import shutil

import pytest
import torch

from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.errors import ConfigError


class Recorder(RunCheckpoint):
    """Keeps a copy of every last.ckpt, with the length of the trace when it was written."""

    def write_last(self, trainer):
        super().write_last(trainer)
        net = trainer.lightning_module
        target = net.keep / f"{len(net.copies)}.ckpt"
        shutil.copy(f"{trainer.default_root_dir}/last.ckpt", target)
        net.copies.append((target, len(net.trace)))


STEPS = {"max_epochs": -1}
SCHEDULES = {
    "validation at epoch ends": {},
    "accumulation, short last window": {"accumulate_grad_batches": 2},
    "validation amid epochs": {"val_check_interval": 3},
    "validation amid epochs and windows": {"val_check_interval": 3, "accumulate_grad_batches": 2},
    "every second epoch": {"check_val_every_n_epoch": 2},
    "no validation": {"limit_val_batches": 0},
    "steps": STEPS | {"max_steps": 7},
    "steps, validation by steps": STEPS
    | {"max_steps": 5, "check_val_every_n_epoch": None, "val_check_interval": 3, "accumulate_grad_batches": 2},
    "steps, no validation": STEPS | {"max_steps": 7, "limit_val_batches": 0},
    "steps to an epoch's end": STEPS | {"max_steps": 8, "limit_val_batches": 0},
}


def recorded(tiny, root, options, every=1, ckpt=None):
    net = tiny.Net()
    net.copies, net.keep = [], root
    root.mkdir(exist_ok=True)
    checkpoint = Recorder("val/score", every_n_steps=every)
    trainer = tiny.trainer(root, [checkpoint], **({"max_epochs": 2} | options))
    trainer.fit(net, tiny.Data(4), ckpt_path=ckpt, weights_only=True)
    return net, checkpoint


@pytest.mark.parametrize("options", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_every_checkpoint_resumes_exactly(tiny, tmp_path, options):
    whole, best = recorded(tiny, tmp_path / "whole", options)
    assert len(whole.copies) > 2
    middle = len(whole.copies) // 2
    for number, (ckpt, seen) in enumerate(whole.copies):
        root = tmp_path / f"resumed{number}"
        root.mkdir()
        shutil.copy(tmp_path / "whole" / "best.ckpt", root)
        resumed, again = recorded(tiny, root, options, ckpt=ckpt)
        assert resumed.trace == whole.trace[seen:], f"checkpoint {number}"
        assert torch.equal(resumed.layer.weight, whole.layer.weight)
        assert again.best_model_score == best.best_model_score
        # A resumed run's own checkpoints must be as good as those of a run that was never stopped.
        if number == middle and resumed.copies:
            second, at = resumed.copies[len(resumed.copies) // 2]
            twice, _ = recorded(tiny, tmp_path / "twice", options, ckpt=second)
            assert twice.trace == resumed.trace[at:]


@pytest.mark.parametrize(("every", "expected"), [(0, [4, 8]), (2, [2, 4, 6, 8]), (3, [3, 4, 7, 8])])
def test_last_is_written_every_n_steps_and_at_validations(tiny, tmp_path, every, expected):
    net, _ = recorded(tiny, tmp_path, {}, every)
    steps = [torch.load(path, weights_only=True)["global_step"] for path, _ in net.copies]
    assert sorted(set(steps)) == expected


def test_best_follows_the_metric_and_its_weights_stand_beside_it(tiny, tmp_path):
    class Scored(tiny.Net):
        scores = iter([0.5, 0.9, 0.7, float("nan")])

        def on_validation_epoch_end(self):
            if not self.trainer.sanity_checking:
                self.score = next(self.scores)
                self.log("val/f1", self.score)
                self.weights = {**getattr(self, "weights", {}), self.score: self.layer.weight.detach().clone()}

    net = Scored()
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "stale").touch()
    checkpoint = RunCheckpoint("val/f1")
    tiny.trainer(tmp_path, [checkpoint], max_epochs=4).fit(net, tiny.Data(3))
    assert checkpoint.best_model_score == pytest.approx(0.9)
    best = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert best["epoch"] == 1
    assert torch.equal(best["state_dict"]["layer.weight"], net.weights[0.9])
    assert torch.equal(torch.load(tmp_path / "adapter" / "weight.pt"), net.weights[0.9])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "best.ckpt", "last.ckpt"]
    assert [p.name for p in (tmp_path / "adapter").iterdir()] == ["weight.pt"]


def test_smaller_is_better_where_asked(tiny, tmp_path):
    best = {}
    for mode in ("min", "max"):
        checkpoint = RunCheckpoint("val/score", mode=mode)
        tiny.trainer(tmp_path / mode, [checkpoint]).fit(tiny.Net(), tiny.Data(3))
        best[mode] = checkpoint.best_model_score
    assert best["min"] < best["max"]


def test_without_validation_the_last_weights_are_kept_as_best(tiny, tmp_path):
    net = tiny.Net()
    tiny.trainer(tmp_path, [RunCheckpoint()], limit_val_batches=0, max_epochs=1).fit(net, tiny.Data(3))
    assert torch.equal(torch.load(tmp_path / "adapter" / "weight.pt"), net.layer.weight)
    assert (tmp_path / "best.ckpt").exists()


def test_a_metric_that_is_never_logged_is_an_error_that_lists_the_others(tiny, tmp_path):
    with pytest.raises(ConfigError, match=r"'val/feild_f1'.*it logged: val/score"):
        tiny.trainer(tmp_path, [RunCheckpoint("val/feild_f1")]).fit(tiny.Net(), tiny.Data(3))


def test_best_score_is_kept_if_the_run_folder_moves_but_not_if_the_metric_changes(tiny, tmp_path):
    _, checkpoint = recorded(tiny, tmp_path / "a", {})
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    ckpt = tmp_path / "b" / "last.ckpt"
    _, moved = recorded(tiny, tmp_path / "b", {}, ckpt=ckpt)
    assert moved.best_model_score == checkpoint.best_model_score
    assert moved.best_model_path == str(tmp_path / "b" / "best.ckpt")
    other = RunCheckpoint("val/score", mode="min")
    tiny.trainer(tmp_path / "b", [other], max_epochs=2).fit(tiny.Net(), tiny.Data(4), ckpt_path=ckpt)
    assert other.best_model_score is None


def test_last_is_found_by_lightnings_own_name(tiny, tmp_path):
    recorded(tiny, tmp_path, {})
    resumed = tiny.Net()
    tiny.trainer(tmp_path, [RunCheckpoint("val/score")], max_epochs=3).fit(resumed, tiny.Data(4), ckpt_path="last")
    assert [entry[1] for entry in resumed.trace if entry[0] == "train"] == [2] * 4


def test_negative_interval_is_refused():
    with pytest.raises(ConfigError, match="every_n_steps is -1"):
        RunCheckpoint(every_n_steps=-1)


@pytest.mark.parametrize(
    ("given", "main", "expected"),
    [
        ((), "val/chrfpp", ("val/chrfpp", "max")),
        ((), None, ("val/loss", "min")),
        (("val/ter", "min"), "val/chrfpp", ("val/ter", "min")),
        (("val/orders/loss",), "val/loss", ("val/orders/loss", "min")),
        (("val/field_f1",), None, ("val/field_f1", "max")),
    ],
)
def test_the_best_is_by_the_main_metric_unless_told_otherwise(tiny, tmp_path, given, main, expected):
    checkpoint, net = RunCheckpoint(*given), tiny.Net()
    if main:
        net.main_metric = main
    checkpoint.setup(tiny.trainer(tmp_path, [checkpoint]), net, "validate")
    assert (checkpoint.monitor, checkpoint.mode) == expected
