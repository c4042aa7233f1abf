"""The callbacks that make a run a run: they are there wherever the list of callbacks comes from."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch.callbacks import Callback

from lit_llm.callbacks.baselines import Baselines
from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.callbacks.interrupt import GracefulInterrupt
from lit_llm.callbacks.metrics_file import MetricsFile
from lit_llm.callbacks.predictions import PredictionWriter
from lit_llm.callbacks.progress_lines import ProgressLines
from lit_llm.callbacks.result_table import ResultTable
from lit_llm.callbacks.results import ResultsFile
from lit_llm.callbacks.summary import RunSummary

ESSENTIAL: tuple[type[Callback], ...] = (
    RunCheckpoint,
    GracefulInterrupt,
    MetricsFile,
    Baselines,
    ResultsFile,
    PredictionWriter,
    ProgressLines,
    ResultTable,
    RunSummary,
)
"""In the order in which they are added. Each has to work without arguments, for every verb."""


def complete(listed: Any, without: Sequence[type[Callback]] = ()) -> list[Any]:
    """Return the callbacks of a configuration with the essential ones that it lacks.

    One that is listed, or a subclass of it, takes the place of the default.

    Args:
        listed: ``trainer.callbacks`` as parsed: none, one, or a list of ``class_path`` and ``init_args``.
        without: essential classes that are not wanted.
    """
    entries = list(listed) if isinstance(listed, list) else [listed] if listed else []
    kinds = [kind for entry in entries if (kind := _kind(entry))]
    missing = [
        kind for kind in ESSENTIAL if kind not in without and not any(issubclass(other, kind) for other in kinds)
    ]
    return [*entries, *map(_default, missing)]


def _kind(entry: Any) -> type | None:
    home, _, name = str(entry["class_path"]).rpartition(".")
    kind = getattr(importlib.import_module(home), name, None)
    return kind if inspect.isclass(kind) else None


def _default(kind: type[Callback]) -> Namespace:
    arguments = inspect.signature(kind).parameters.values()
    # Under the name by which run files know it, not that of the module.
    defaults = Namespace(**{argument.name: argument.default for argument in arguments})  # type: ignore[no-untyped-call]
    return Namespace(class_path=f"lit_llm.callbacks.{kind.__name__}", init_args=defaults)  # type: ignore[no-untyped-call]
