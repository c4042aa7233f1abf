"""Which loggers a run has: TensorBoard's events in its folder, and those that a run file names beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from lit_llm.callbacks.waiting import Events

RUN_NAME = {"WandbLogger": "name", "MLFlowLogger": "run_name"}
"""Which argument of a logger is the name of the run."""


def loggers_of(configured: Any, folder: str | None, verb: str) -> list[Logger]:
    """Return the loggers of a verb.

    Args:
        configured: ``trainer.logger`` as built: a logger, several, true or nothing for the default, false for none.
        folder: the run folder.
        verb: what runs; only ``fit`` writes to TensorBoard, which would show every other verb as one more run.
    """
    if configured is False:
        return []
    named = _listed(configured)
    if verb != "fit":
        return [logger for logger in named if not isinstance(logger, TensorBoardLogger)]
    if any(isinstance(logger, TensorBoardLogger) for logger in named):
        return named
    return [Events(folder or ".", name="", version=""), *named]


def name_runs(configured: Any, folder: str | None) -> None:
    """Let loggers that are still to be built call a run by its folder, unless they are told otherwise."""
    for entry in _listed(configured):
        argument = RUN_NAME.get(str(getattr(entry, "class_path", "")).rpartition(".")[2])
        own = getattr(entry, "init_args", None)
        if argument and own is not None and own.get(argument) is None:
            own[argument] = Path(folder or ".").resolve().name


def _listed(configured: Any) -> list[Any]:
    if isinstance(configured, bool) or configured is None:
        return []
    return list(configured) if isinstance(configured, list | tuple) else [configured]
