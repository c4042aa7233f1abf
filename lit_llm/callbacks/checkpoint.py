"""The run folder's two checkpoints: the best by a metric, and the last to resume from."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn

from lit_llm.errors import ConfigError
from lit_llm.storage import present, recover, swap_into_place

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


LOGGED = "lit_llm_logged"
"""The key of a checkpoint that holds the numbers last logged."""

LOSS = "val/loss"
"""What decides where a model names no main metric; of it, less is better."""


class RunCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt`` and ``last.ckpt`` in the run folder, and the best weights in their own format.

    A checkpoint is written only where a resumed run neither repeats nor skips a batch or a validation: after an
    optimizer step that no validation follows and that does not end an epoch, before a validation, or after one.
    Files and folders are replaced in one step: a crash leaves the old one or the new one.

    Attributes:
        with_next: called once, on the first process, when the next checkpoint is about to take its place.

    Args:
        monitor: name of the logged metric that decides which checkpoint is best; by default the model's main one, such
            as ``val/field_f1`` or ``val/chrfpp``, and ``val/loss`` where several tasks are mixed.
        mode: whether the best is the largest (``max``) or the smallest (``min``); by default ``min`` for a loss.
        every_n_steps: optimizer steps between two writings of ``last.ckpt``, besides those at every validation;
            0 writes it at validations and at the end only.
        strict: whether it is an error that a validation ends before ``monitor`` was ever logged; set it to false
            where the first validations do not log it.
    """

    def __init__(
        self,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
        every_n_steps: int = 100,
        strict: bool = True,
    ) -> None:
        if every_n_steps < 0:
            raise ConfigError(f"RunCheckpoint.every_n_steps is {every_n_steps}: use 0 or more")
        super().__init__(
            monitor=monitor or LOSS, mode=mode or "min", save_top_k=1, save_last=True, enable_version_counter=False
        )
        self._asked = (monitor, mode)
        self.every_n_steps = every_n_steps
        self.strict = strict
        self.with_next: Callable[[], None] | None = None
        self._due = False
        self._validation_pending = False
        self._saving = False
        self._unmeasured = self._trains = False
        self._logged: dict[str, torch.Tensor] = {}

    @property
    def state_key(self) -> str:
        """The same under every configuration, so that a resumed run finds its best score."""
        return "RunCheckpoint"

    @property
    def saved(self) -> bool:
        """Whether nothing that was asked for is still to be written."""
        return not self._due

    def request(self) -> None:
        """Ask for ``last.ckpt`` at the next moment from which a run can be resumed exactly."""
        self._due = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find both files in the run folder; nothing is written yet."""
        folder = Path(trainer.default_root_dir)
        self.dirpath, self._trains = str(folder), stage == "fit"
        monitor, mode = self._asked
        self.monitor = monitor or str(getattr(pl_module, "main_metric", LOSS))
        self.mode = mode or ("min" if self.monitor.endswith("loss") else "max")
        if stage != "fit" or _dry(trainer):
            return
        # Without its file the best is unknown: it would be lost to a later, worse one.
        self.best_model_path = str(folder / "best.ckpt") if present(folder / "best.ckpt") else ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mend what a crash left in the run folder, and count the steps to the next checkpoint from here."""
        if trainer.is_global_zero and not _dry(trainer):
            folder = Path(trainer.default_root_dir)
            folder.mkdir(parents=True, exist_ok=True)
            for name in ("best.ckpt", "last.ckpt", _weights_folder(pl_module)):
                recover(folder / name)
        trainer.strategy.barrier("RunCheckpoint.start")
        if not (self.best_model_path and Path(self.best_model_path).exists()):
            # It has been set aside, as that of another run.
            self.best_model_path, self.best_model_score = "", None
        self._last_global_step_saved = trainer.global_step
        trainer._logger_connector._callback_metrics.update(self._logged)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write ``last.ckpt`` when it is due and this is a moment to resume from."""
        step = trainer.global_step
        if _dry(trainer) or self._inside_step(trainer):
            return
        if self.every_n_steps and step - self._last_global_step_saved >= self.every_n_steps:
            self._due = True
        if (self._due or _final(trainer)) and not _followed_by_more(trainer):
            self.write_last(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``last.ckpt`` if it is due, so that a run killed in this validation repeats it alone."""
        if self._due:
            self.write_before_validation(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write ``best.ckpt`` and its weights if the metric has improved, then ``last.ckpt``."""
        if self._idle(trainer):
            return
        score = self._score(trainer)
        if score is not None and self._improves(trainer, score):
            self._keep_best(trainer, pl_module, score)
        if self._inside_step(trainer):
            self._due = True
        else:
            self.write_last(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do nothing: the counters saved here would not start the next epoch at its first batch."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is not yet written; without any validation, the last weights are the best."""
        if self._idle(trainer):
            return
        if not self.best_model_path or (self._unmeasured and self.best_model_score is None):
            rank_zero_info(f"RunCheckpoint: {self.monitor!r} was never measured, so the last weights are kept as best")
            self._keep_best(trainer, pl_module, None)
        if self._due or self._last_global_step_saved != trainer.global_step:
            self.write_last(trainer)

    def write_last(self, trainer: Trainer) -> None:
        """Write ``last.ckpt`` now; every process must call it."""
        self._save(trainer, "last.ckpt")
        self._last_global_step_saved = trainer.global_step
        self.last_model_path = self._last_checkpoint_saved = str(Path(self.dirpath or "") / "last.ckpt")
        self._due = False

    def write_before_validation(self, trainer: Trainer) -> bool:
        """Write a ``last.ckpt`` whose resumed run begins with the validation that is under way.

        Returns:
            False if that cannot be: the validation is amid the batches of one optimizer step, or after the last
            of ``max_steps``, where a resumed run would stop at once.
        """
        if self._idle(trainer) or self._inside_step(trainer) or _final(trainer):
            return False
        self._validation_pending = True
        try:
            self.write_last(trainer)
        finally:
            self._validation_pending = False
        return True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """State plainly whether the validation of this moment is done; Lightning's counters drift over resumes."""
        if not self._saving:
            return
        # What waits for a number at the end of the epoch, as early stopping does, finds it in a resumed run too.
        checkpoint[LOGGED] = {name: value.detach().cpu() for name, value in trainer.callback_metrics.items()}
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
        done = 0 if self._validation_pending else progress["total"]["completed"]
        begun = done + 1 if self._validation_pending else done
        for counter in (progress["total"], progress["current"]):
            counter.update(ready=begun, started=begun, processed=done, completed=done)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take over the numbers that were last logged."""
        self._logged = {name: torch.as_tensor(value) for name, value in checkpoint.get(LOGGED, {}).items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the best score and what it measures."""
        return {"monitor": self.monitor, "mode": self.mode, "best_model_score": self.best_model_score}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the best score if it measures the same."""
        if (state_dict["monitor"], state_dict["mode"]) == (self.monitor, self.mode):
            self.best_model_score = state_dict["best_model_score"] if self.best_model_path else None
            self._unmeasured = state_dict["best_model_score"] is None
        elif self._trains:
            rank_zero_warn(
                f"RunCheckpoint: the best so far was by {state_dict['mode']} {state_dict['monitor']!r}, now it is by "
                f"{self.mode} {self.monitor!r}: the next validation replaces best.ckpt"
            )

    def _find_last_checkpoints(self, trainer: Trainer) -> set[str]:
        last = present(Path(trainer.default_root_dir) / "last.ckpt")
        return {str(last)} if last else set()

    def _idle(self, trainer: Trainer) -> bool:
        return _dry(trainer) or trainer.sanity_checking or trainer.state.fn != "fit"

    @staticmethod
    def _inside_step(trainer: Trainer) -> bool:
        return bool(trainer.fit_loop.epoch_loop._should_accumulate())

    def _score(self, trainer: Trainer) -> torch.Tensor | None:
        name = str(self.monitor)
        score = trainer.callback_metrics.get(name)
        if score is not None:
            return score.detach().cpu()
        if self.strict and self.best_model_score is None:
            logged = ", ".join(sorted(k for k in trainer.callback_metrics if k.startswith("val"))) or "nothing"
            raise ConfigError(
                f"RunCheckpoint.monitor is {name!r}, which this validation did not log; it logged: {logged}. "
                "Name one of these, or set RunCheckpoint.strict to false if only later validations log it"
            )
        return None

    def _improves(self, trainer: Trainer, score: torch.Tensor) -> bool:
        new, best = float(score), self.best_model_score
        if best is None or math.isnan(new):
            better = not math.isnan(new)
        else:
            better = new > float(best) if self.mode == "max" else new < float(best)
        # One process decides, or ranks whose scores differ in the last bit would wait for each other for ever.
        return bool(trainer.strategy.broadcast(better))

    def _keep_best(self, trainer: Trainer, module: Any, score: torch.Tensor | None) -> None:
        self.best_model_score = self.current_score = score
        self.best_model_path = str(Path(self.dirpath or "") / "best.ckpt")
        weights = None
        if trainer.is_global_zero and hasattr(module, "save_adapter"):
            weights = Path(self.dirpath or "") / _weights_folder(module)
            new = _new(weights)
            shutil.rmtree(new, ignore_errors=True)
            module.save_adapter(new)
            _sign(new, trainer.global_step)
        # Both are whole before either takes its place, so that a crash hardly ever comes between them.
        self._save(trainer, "best.ckpt", weights)

    def _save(self, trainer: Trainer, name: str, weights: Path | None = None) -> None:
        final = Path(self.dirpath or "") / name
        self._saving = True
        try:
            trainer.save_checkpoint(_new(final), weights_only=False)
        finally:
            self._saving = False
        if trainer.is_global_zero:
            if self.with_next:
                self.with_next()
            for path in [final, *([weights] if weights else [])]:
                swap_into_place(_new(path), path)
        self.with_next = None
        trainer.strategy.barrier(f"RunCheckpoint {name}")


def _new(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _sign(weights: Path, step: int) -> None:
    """Note in a folder of weights at which step they were written."""
    record = weights / "lit_llm.json"
    if record.exists():
        facts = json.loads(record.read_text(encoding="utf-8"))
        record.write_text(json.dumps(facts | {"step": step}, indent=2) + "\n", encoding="utf-8")


def _followed_by_more(trainer: Trainer) -> bool:
    """Whether a validation or the end of the epoch belongs to the batch that just ended.

    Lightning's counters cannot say "batch done, validation still to come": a run resumed from there skips it.
    """
    loop = trainer.fit_loop.epoch_loop
    fetcher = trainer.fit_loop._data_fetcher
    ends = loop._num_ready_batches_reached()
    return bool(ends or (fetcher is not None and loop._should_check_val_fx(fetcher)))


def _final(trainer: Trainer) -> bool:
    return trainer.global_step >= trainer.max_steps >= 0


def _dry(trainer: Trainer) -> bool:
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def _weights_folder(module: LightningModule) -> str:
    return str(getattr(getattr(module, "adapter", None), "folder", "adapter"))
