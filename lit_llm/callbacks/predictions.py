"""Streams predictions to a CSV file that survives being killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from lit_llm.callbacks.prediction_file import PartialFile, assemble, partial_files, partial_path, read_ids, repair
from lit_llm.callbacks.spreadsheet import write_copy
from lit_llm.errors import ConfigError
from lit_llm.results import CHECKPOINT, weights_mark
from lit_llm.storage import write_atomically

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

REMEDY = "delete {path} and what stands beside it under that name, or name another file with --predictions OTHER.csv"


class PredictionWriter(Callback):
    """Writes ``predictions.csv`` batch by batch during ``predict``.

    Rows go to ``FILE.partial`` (``FILE.partial.1``, … for further processes) as they are made; when all are there,
    ``FILE`` is written at once in input order. Started again after a kill, it goes on where it was, and
    the file's bytes are those of a run that was never killed. ``FILE.run.json`` records what the rows were made with;
    a run that would make other rows is refused.

    Args:
        path: the file to write; by default ``predictions.csv`` in the run folder.
        flat: also write ``predictions.flat.csv``, with a column for each fact of ``meta``.
        excel: also write ``predictions.excel.csv``, which spreadsheets show as it is; with ``flat``, in such columns.
    """

    def __init__(self, path: str | None = None, flat: bool = False, excel: bool = False) -> None:
        self.predictions_path = path
        self.flat, self.excel = flat, excel
        self._target = Path()
        self._order: list[str] = []
        self._fingerprint: dict[str, str] = {}
        self._partial: PartialFile | None = None
        self._done = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell the data module which rows are finished; nothing is written before the weights are known.

        Raises:
            ConfigError: if the file was made with another configuration, or not by ``predict`` at all.
        """
        if stage != "predict":
            return
        self._target = (
            Path(self.predictions_path) if self.predictions_path else Path(trainer.default_root_dir) / "predictions.csv"
        )
        if self._target.is_dir():
            raise ConfigError(f"--predictions: {self._target} is a folder: name a file")
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        self._order = list(data.row_order())
        self._check_ids()
        self._fingerprint = _fingerprint(pl_module, data, self._order)
        self._check_fingerprint(self._fingerprint)
        data.finished_ids = self._finished()
        self._done = False
        if data.finished_ids:
            rank_zero_info(f"{self._target}: {len(data.finished_ids)} of {len(self._order)} rows are already there")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Mend what a killed run left and open the partial file, now that the weights are known."""
        self._check_weights(trainer)
        trainer.strategy.barrier("PredictionWriter.check")
        if trainer.is_global_zero:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            for part in partial_files(self._target):
                repair(part)
        if trainer.is_global_zero and not self._sidecar.exists():
            record = json.dumps({"fingerprint": self._fingerprint}, ensure_ascii=False, indent=1, sort_keys=True)
            write_atomically(self._sidecar, record.encode())
        trainer.strategy.barrier("PredictionWriter.start")
        self._partial = PartialFile(partial_path(self._target, trainer.global_rank), self._finished())

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Append the batch's rows."""
        if self._partial is not None:
            self._partial.write(outputs or [])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file itself if every row is there."""
        self._close()
        self._finish(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Say how to go on."""
        if self._partial is not None:
            self._close()
            rank_zero_info(
                f"{len(self._finished())} of {len(self._order)} rows are in {partial_path(self._target)}; "
                "the same command goes on from there"
            )

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finish a file that had no batches left to make, for which Lightning calls no other hook."""
        if stage == "predict" and not self._done and self._finished() >= set(self._order):
            self._check_weights(trainer)
            self._finish(trainer)

    @property
    def target(self) -> Path:
        """The file that is written."""
        return self._target

    @property
    def _sidecar(self) -> Path:
        return self._target.with_name(f"{self._target.name}.run.json")

    def _finish(self, trainer: Trainer) -> None:
        trainer.strategy.barrier("PredictionWriter.rows")
        missing = len(set(self._order) - self._finished())
        # The first process takes the parts away, and others still count what stands in them.
        trainer.strategy.barrier("PredictionWriter.counted")
        if missing:
            rank_zero_info(
                f"{missing} of {len(self._order)} rows are not predicted yet: {partial_path(self._target)} holds the "
                "others, and the same command without a limit on batches goes on from there"
            )
        elif trainer.is_global_zero and self._target.exists():
            rank_zero_info(f"{self._target} is complete: nothing to do")
            for part in partial_files(self._target):
                part.unlink()
        elif trainer.is_global_zero:
            assemble(self._target, self._order)
            rank_zero_info(f"{self._target}: {len(self._order)} rows")
        if not missing and trainer.is_global_zero:
            self._write_copies()
        trainer.strategy.barrier("PredictionWriter.finish")
        self._done = True

    def _write_copies(self) -> None:
        kinds = [False, True] if self.flat and self.excel else [True] if self.excel else [False] if self.flat else []
        for excel in kinds:
            copy, long = write_copy(self._target, flat=self.flat, excel=excel)
            rank_zero_info(
                f"{copy}: the same rows" + (f"; {long} cells are too long for a spreadsheet" if long else "")
            )

    def _finished(self) -> set[str]:
        files = [self._target] if self._target.exists() else partial_files(self._target)
        return {name for file in files for name in read_ids(file)}

    def _close(self) -> None:
        if self._partial is not None:
            self._partial.close()
            self._partial = None

    def _check_ids(self) -> None:
        seen: set[str] = set()
        for name in self._order:
            if name in seen or not name:
                raise ConfigError(
                    f"data: row id {name!r} occurs twice or is empty among the rows to predict, and {self._target} "
                    "can hold each id once: predict the files one by one"
                )
            seen.add(name)

    def _check_weights(self, trainer: Trainer) -> None:
        self._fingerprint[CHECKPOINT] = weights_mark(trainer.ckpt_path)
        self._check_fingerprint(self._fingerprint)

    def _check_fingerprint(self, mine: dict[str, str]) -> None:
        remedy = REMEDY.format(path=self._target)
        if not self._sidecar.exists():
            present = [p for p in (self._target, *partial_files(self._target)) if p.exists()]
            if present:
                raise ConfigError(f"{present[0]} exists, but {self._sidecar.name} does not say what made it: {remedy}")
            return
        theirs = _read_sidecar(self._sidecar, remedy)
        differing = sorted(k for k in mine.keys() | (theirs.keys() - {CHECKPOINT}) if mine.get(k) != theirs.get(k))
        if differing:
            changes = "; ".join(f"{k}: was {theirs.get(k, 'unset')}, is {mine.get(k, 'unset')}" for k in differing)
            raise ConfigError(f"{self._target} was begun with another configuration ({changes}): {remedy}")


def _fingerprint(module: Any, data: Any, order: Iterable[str]) -> dict[str, str]:
    """Return what decides the rows, by readable key; ``fingerprint()`` of model and data adds theirs."""
    found = {"rows": hashlib.sha256("\n".join(order).encode("utf-8", "backslashreplace")).hexdigest()[:16]}
    for prefix, owner in (("model", module), ("data", data)):
        own = owner.fingerprint() if hasattr(owner, "fingerprint") else {}
        found |= {f"{prefix}.{key}": str(value) for key, value in own.items()}
    return found


def _read_sidecar(path: Path, remedy: str) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text())["fingerprint"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): {remedy}") from None
