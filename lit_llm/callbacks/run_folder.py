"""Begins a run: until its first step nothing on disk has changed, and from then on all files are of one run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info

from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.callbacks.lock import FolderLock, marks
from lit_llm.callbacks.monitors import check_monitors
from lit_llm.callbacks.replacing import HISTORY, ahead, remove_traces, run_files, set_aside
from lit_llm.callbacks.resumable import Stopping, check_callbacks, end_epoch, write_again
from lit_llm.callbacks.resumed import OptimizerSettings, check_optimizers
from lit_llm.callbacks.waiting import release
from lit_llm.errors import UserError
from lit_llm.models.pace import Pace, last_step
from lit_llm.storage import recover, write_atomically

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

RUN_ALONE = {"ckpt_path": None, "overwrite": False, "predictions": None, "flat": False, "excel": False}
"""Options of one command, which a saved configuration must not repeat."""


@dataclass
class Resumption:
    """A run that goes on in its own folder.

    Attributes:
        checkpoint: that it goes on from.
        changed: settings that are other than those of the run so far, as key, old value and new value.
    """

    checkpoint: Path
    changed: Sequence[tuple[str, Any, Any]] = field(default_factory=list)


class RunFolder(SaveConfigCallback):
    """Writes ``config.yaml`` and ``history.jsonl``, and keeps what a run folder holds together.

    A command that is refused, or fails before its first step, has changed nothing. A new run sets the files of an
    earlier one aside first, its weights before all others. A resumed run sets aside the checkpoints that it has not
    come to, applies the optimizer's settings of its configuration, and writes that with its first checkpoint. The
    folder is held from before the model is loaded to the end, so that no other process trains in it.
    """

    resumption: Resumption | None = None
    seen: dict[str, tuple[int, int]] | None = None
    """What ``marks`` said when it was decided that this run may use its folder."""

    _lock: FolderLock | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse what is waited for in vain, before the model is loaded; write nothing."""
        if stage != "fit":
            return
        check_callbacks(trainer)
        check_monitors(trainer, pl_module)
        self._hold(trainer)
        self._stopping = Stopping(trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the optimizer's settings before those of a checkpoint take their place."""
        check_monitors(trainer, pl_module)
        check_optimizers(trainer, pl_module)
        self._settings = OptimizerSettings(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin: everything that can be refused has been looked at.

        Raises:
            UserError: if another process trains in the folder, or has done so since this command was begun.
        """
        if isinstance(pace := getattr(pl_module, "pace", None), Pace):
            pace.follow(trainer)
        if trainer.is_global_zero:
            folder = Path(trainer.default_root_dir)
            folder.mkdir(parents=True, exist_ok=True)
            self._hold(trainer)
            for name in ("best.ckpt", "last.ckpt", "adapter", "model"):
                recover(folder / name)
            remove_traces(folder)
            if self.resumption:
                self._go_on(trainer, folder, self.resumption)
            else:
                self._begin(trainer, folder)
        trainer.strategy.barrier("RunFolder.begin")
        if trainer.ckpt_path:
            self._settings.apply(trainer)
            self._stopping.apply(trainer)
            end_epoch(trainer)
            write_again(trainer)
        if trainer.global_step < last_step(trainer):
            release(trainer, trainer.global_step if self.resumption else 0)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the loggers of ``validate`` begin."""
        if trainer.state.fn == "validate":
            release(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the loggers of ``test`` begin."""
        release(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Let others have the folder."""
        self._let_go()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Let others have the folder."""
        self._let_go()

    def _hold(self, trainer: Trainer) -> None:
        folder = Path(trainer.default_root_dir)
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._lock = self._lock or FolderLock()
        self._lock.take(folder)
        if self.seen is not None and marks(folder) != self.seen:
            raise UserError(
                f"trainer.default_root_dir: another process has trained in {folder} since this command was begun: look "
                "at what it has left, then go on with --ckpt_path last, or name another folder"
            )

    def _let_go(self) -> None:
        if self._lock:
            self._lock.release()

    def _begin(self, trainer: Trainer, folder: Path) -> None:
        if (folder / "config.yaml").exists() or (folder / "metrics.csv").exists() or (folder / "last.ckpt").exists():
            target = set_aside(folder, run_files(folder))
            rank_zero_info(f"the earlier run is in {target}: delete it when you need it no longer")
        note = {"from": str(trainer.ckpt_path)} if trainer.ckpt_path else {}
        self._write(folder, trainer.global_step, note)

    def _go_on(self, trainer: Trainer, folder: Path, resumption: Resumption) -> None:
        weights = str(getattr(getattr(trainer.lightning_module, "adapter", None), "folder", "adapter"))
        if left := set_aside(folder, ahead(folder, resumption.checkpoint, weights)):
            rank_zero_info(f"checkpoints that this run has not come to are in {left}")
        step, changed = trainer.global_step, resumption.changed
        total = last_step(trainer)
        rank_zero_info(f"going on from {resumption.checkpoint} after step {step} of {total:.0f}")
        if step >= total:
            rank_zero_info("  no step is left: raise trainer.max_epochs or trainer.max_steps to train longer")
        for key, old, new in changed:
            rank_zero_info(f"  {key}: {_said(old, new)}")
        note = {"from": resumption.checkpoint.name, "changed": {key: [old, new] for key, old, new in changed}}
        checkpoint = next((c for c in trainer.checkpoint_callbacks if isinstance(c, RunCheckpoint)), None)
        if checkpoint:
            # What a checkpoint was made with is on the disk when the checkpoint is, and not before.
            checkpoint.with_next = lambda: self._write(folder, step, note)
        else:
            self._write(folder, step, note)

    def _write(self, folder: Path, step: int, note: dict[str, Any]) -> None:
        """Write the configuration where it has changed, and a line of what happened."""
        history, config = folder / HISTORY, folder / "config.yaml"
        line = {"time": f"{datetime.now(UTC).isoformat(timespec='seconds')}", "step": step} | note
        before = history.read_bytes() if history.exists() else b""
        write_atomically(history, before + (json.dumps(line, ensure_ascii=False, default=str) + "\n").encode())
        saved = self.config.clone()
        for key, value in RUN_ALONE.items():
            if key in saved:
                saved[key] = value
        with TemporaryDirectory() as elsewhere:
            new = Path(elsewhere) / config.name
            # One file: a run must not depend on fragments that may change later.
            self.parser.save(saved, new, multifile=False, skip_unset=False)
            content = new.read_bytes()
        if not config.exists() or config.read_bytes() != content:
            write_atomically(config, content)


def _said(old: Any, new: Any) -> str:
    """Return a change in words; of lists of classes, those that come and go."""
    before, now = _classes(old), _classes(new)
    if before and now and set(before) != set(now):
        gone = [f"without {name}" for name in before if name not in now]
        return ", ".join([*gone, *(f"with {name}" for name in now if name not in before)])
    return f"{json.dumps(old, ensure_ascii=False, default=str)} → {json.dumps(new, ensure_ascii=False, default=str)}"


def _classes(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else []
    return [e["class_path"].rpartition(".")[2] for e in entries if isinstance(e, dict) and "class_path" in e]
