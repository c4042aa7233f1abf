"""Every logged number in one CSV file."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from lit_llm.storage import write_atomically

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

UNWRITTEN = "lit_llm_unwritten"
"""The key of a checkpoint that holds the numbers of its last step, where they are logged after it is written."""

HEAD = ["step", "epoch", "name", "value"]


class MetricsFile(Callback):
    """Appends everything that is logged to ``metrics.csv`` in the run folder, one number per line.

    The columns are ``step,epoch,name,value``; a step is the number of optimizer steps done before the one that is
    logged, as in TensorBoard. A new run starts the file anew, a resumed one drops what was logged after its
    checkpoint. Only ``fit`` writes it: what the other verbs find goes to ``results/``. Signatures of metrics, such as
    sacrebleu's, go to ``signatures.json``.

    Args:
        name: of the file.
    """

    def __init__(self, name: str = "metrics.csv") -> None:
        self.name = name
        self._unwritten: tuple[int, dict[str, float]] | None = None
        self._validates_again = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Join the trainer's loggers, which is where all numbers come by."""
        if stage != "fit" or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = Path(trainer.default_root_dir) / self.name
        if not any(isinstance(logger, CsvLogger) for logger in trainer.loggers):
            trainer.loggers = [*trainer.loggers, CsvLogger(path)]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add what will be logged of the step that has just been done: a process may be killed in between."""
        connector, step = trainer._logger_connector, trainer.fit_loop.epoch_loop._batches_that_stepped
        amid_batch = trainer.training and connector._first_loop_iter is not None
        if amid_batch and connector.should_update_logs and step + 1 == trainer.global_step:
            row = {name: float(value) for name, value in connector.metrics["log"].items()}
            checkpoint[UNWRITTEN] = {"step": step, "row": {"epoch": float(trainer.current_epoch)} | row}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take up what was not logged yet, and whether a validation that may be logged is done again."""
        validation = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]["total"]
        self._validates_again = validation["ready"] > validation["completed"]
        if found := checkpoint.get(UNWRITTEN):
            self._unwritten = found["step"], found["row"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Drop the rows of steps that will be done again, and add what a killed process has not written."""
        for logger in trainer.loggers:
            if isinstance(logger, CsvLogger) and trainer.is_global_zero:
                kept = logger.rewind(trainer.global_step, self._validates_again)
                if self._unwritten and (str(self._unwritten[0]), "train/loss") not in kept:
                    step, row = self._unwritten
                    trainer._logger_connector.log_metrics({name: torch.tensor(x) for name, x in row.items()}, step)
        self._unwritten, self._validates_again = None, False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the signatures of the metrics."""
        if trainer.state.fn == "fit":
            self._keep_signatures(trainer, pl_module)

    @rank_zero_only
    def _keep_signatures(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = Path(trainer.default_root_dir) / "signatures.json"
        model: Any = pl_module
        signatures = model.signatures() if hasattr(model, "signatures") else {}
        content = (json.dumps(signatures, indent=1) + "\n").encode()
        if signatures and not trainer.sanity_checking and not (path.exists() and path.read_bytes() == content):
            write_atomically(path, content)


class CsvLogger(Logger):
    """A Lightning logger that appends to a file in long format.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        """What Lightning calls this logger."""
        return "metrics"

    @property
    def version(self) -> str:
        """Always empty: one file serves all verbs of a run."""
        return ""

    @property
    def root_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a line for each number; they are on the disk when this returns."""
        epoch = str(int(metrics.get("epoch", 0)))
        rows = [[str(step or 0), epoch, name, repr(float(v))] for name, v in metrics.items() if name != "epoch"]
        if not rows:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = not self.path.exists()
        with self.path.open("ab") as file:
            file.write(_encode([HEAD, *rows] if new else rows))
            file.flush()
            os.fsync(file.fileno())

    def rewind(self, step: int, validation: bool = False) -> set[tuple[str, str]]:
        """Drop the rows of what is about to be done again, and a last line that was cut.

        Args:
            step: that comes next.
            validation: whether the validation after the last step comes first.

        Returns:
            Step and name of the rows that are left.
        """
        if not self.path.exists():
            return set()
        lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)[1:]
        rows = [row for row in csv.reader(line for line in lines if line.endswith("\n")) if len(row) == len(HEAD)]
        again = str(step - 1) if validation else ""
        rows = [row for row in rows if int(row[0]) < step and not (row[0] == again and row[2].startswith("val/"))]
        content = _encode([HEAD, *rows])
        if content != self.path.read_bytes():
            write_atomically(self.path, content)
        return {(row[0], row[2]) for row in rows}


def _encode(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()
