"""Writes what ``validate`` and ``test`` found to a file of its own."""

from __future__ import annotations

import math
import os
import platform
from collections import Counter, defaultdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from lit_llm.batch import FILLER
from lit_llm.callbacks.replacing import recorded
from lit_llm.results import Result, as_rows, content_hash, place, write_result
from lit_llm.sharing.card import NAME as CARD
from lit_llm.sharing.card import renew_scores
from lit_llm.version import __version__

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

PACKAGES = ("torch", "lightning", "transformers", "peft", "sacrebleu", "llguidance", "jsonschema")
"""What scores may depend on, where it is installed."""


class ResultsFile(Callback):
    """Writes one JSON file into ``results/`` of the run folder for every ``validate`` and ``test``.

    It names the checkpoint, its step and the data files, each with the hash of its content, and holds all scores, those
    of each field, and how many rows have which status. The validations of ``fit`` go to ``metrics.csv``.

    Attributes:
        result: what is to be written; a callback that stands earlier in the list may add to it in its own
            ``on_test_end`` or ``on_validation_end``.
    """

    def __init__(self) -> None:
        self.result: Result | None = None
        self._rows: Counter[str] = Counter()
        self._statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what was measured before."""
        self._rows, self._statuses = Counter(), defaultdict(Counter)

    on_test_start = on_validation_start

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Count rows and statuses."""
        split = getattr(batch, "split", "")
        self._rows[split] += sum(row_id != FILLER for row_id in getattr(batch, "ids", []))
        if isinstance(outputs, list):
            self._statuses[split].update(getattr(row, "status", "ok") for row in outputs)

    on_test_batch_end = on_validation_batch_end

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the result of ``validate``."""
        if trainer.state.fn == "validate":
            self.result = self._gather(trainer, pl_module, "validate")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Gather the result of ``test``."""
        self.result = self._gather(trainer, pl_module, "test")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the result of ``validate``."""
        if trainer.state.fn == "validate":
            self._write(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the result of ``test``."""
        self._write(trainer, pl_module)

    def _gather(self, trainer: Trainer, module: Any, verb: str) -> Result:
        rows, statuses = _everywhere(self._rows, dict(self._statuses))
        datamodule: Any = getattr(trainer, "datamodule", None)
        files = datamodule.labelled_files(verb) if hasattr(datamodule, "labelled_files") else {}
        # Counts of fields are gathered in here, so every process has to come by.
        per_field = module.per_field() if hasattr(module, "per_field") else {}
        return Result(
            verb,
            data={name: _file(path) | {"rows": rows[name]} for name, path in files.items()},
            versions=_versions(),
            fields={name: as_rows(scores) for name, scores in per_field.items() if scores and name in rows},
            statuses={name: dict(counts) for name, counts in statuses.items() if counts},
            signatures=module.signatures() if hasattr(module, "signatures") else {},
            mains=[metric.main for metric in getattr(module, "metrics", []) if metric.main],
        )

    def _write(self, trainer: Trainer, module: Any) -> None:
        if self.result is None or trainer.fast_dev_run or not trainer.is_global_zero:  # type: ignore[attr-defined]
            return
        prefix = "val" if self.result.verb == "validate" else "test"
        self.result.scores = _by_test(trainer.callback_metrics, prefix, list(self._rows) or ["valid"])
        self.result.checkpoint = _checkpoint(trainer.ckpt_path)
        folder = Path(trainer.default_root_dir)
        path = write_result(self.result, folder)
        rank_zero_info(f"results: {path}")
        for part in ("adapter", "model"):
            renew_scores(folder / part / CARD, folder)


def _by_test(logged: Any, prefix: str, splits: list[str]) -> dict[str, dict[str, float]]:
    """Return logged numbers by split and metric; the loss of a whole mixture stands under ``valid``."""
    # The longest first: the numbers of all parts of a mixture begin as those of the whole do.
    starts = {split: "/".join(place(prefix, split)) + "/" for split in splits}
    if prefix == "val":
        starts.setdefault("valid", "val/")
    found: dict[str, dict[str, float]] = {}
    for name, value in logged.items():
        owners = [split for split, start in starts.items() if name.startswith(start)]
        if owners:
            owner = max(owners, key=lambda split: len(starts[split]))
            number = float(value)
            found.setdefault(owner, {})[name.removeprefix(starts[owner])] = number if math.isfinite(number) else None  # type: ignore[assignment]
    return found


def _checkpoint(path: Any) -> dict[str, Any] | None:
    if not path:
        return None
    path = Path(path)
    then, where = recorded(path), os.path.abspath(path)
    return {
        "name": path.stem,
        "path": where,
        "sha256": content_hash(path),
        "step": then["step"],
        "epoch": then["epoch"],
    }


def _file(path: str) -> dict[str, Any]:
    return {"path": os.path.abspath(path), "sha256": content_hash(Path(path))}


def _versions() -> dict[str, str]:
    found = {"lit_llm": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _everywhere(rows: Counter[str], statuses: dict[str, Counter[str]]) -> tuple[Counter[str], dict[str, Counter[str]]]:
    """Return counts added up over all processes."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows, statuses
    everyone: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(everyone, (rows, statuses))
    total: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _, theirs in everyone:
        for split, counts in theirs.items():
            total[split].update(counts)
    return sum((theirs for theirs, _ in everyone), Counter()), dict(total)
