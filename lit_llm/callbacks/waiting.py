"""Loggers that write nothing until a run has really begun."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from lit_llm.callbacks.pages import pages_of, shows_pages

if TYPE_CHECKING:
    from lightning.pytorch import Trainer


class Events(TensorBoardLogger):
    """TensorBoard's events in a run folder, and nothing else."""

    def save(self) -> None:
        """Write no ``hparams.yaml``: ``config.yaml`` holds the settings."""


class Waiting(Logger):
    """Stands for a logger whose files, or whose run on a server, must not exist before the first step.

    Args:
        logger: the one that waits.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self.logger = logger
        self.experiment = _Recorder()

    @property
    def name(self) -> str:
        """What Lightning calls this logger."""
        return "waiting"

    @property
    def version(self) -> str:
        """Always empty."""
        return ""

    @property
    def draws(self) -> bool:
        """Whether texts and figures can be written to it."""
        return shows_pages(self.logger)

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        """Do nothing: no number is logged before the first step."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml holds them."""

    def released(self, step: int) -> Logger:
        """Return the logger itself, with what was written to this one.

        Args:
            step: from which on TensorBoard forgets what an earlier process of this run wrote.
        """
        if step and isinstance(self.logger, TensorBoardLogger):
            self.logger._kwargs.setdefault("purge_step", step)
        for name, args, kwargs in self.experiment.calls:
            getattr(pages_of(self.logger), name)(*args, **kwargs)
        return self.logger


class _Recorder:
    """Notes calls, to be made later."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def hold_back(trainer: Trainer) -> None:
    """Let all loggers of a trainer wait."""
    trainer.loggers = [Waiting(logger) for logger in trainer.loggers]


def release(trainer: Trainer, step: int = 0) -> None:
    """Let the loggers of a trainer begin."""
    trainer.loggers = [x.released(step) if isinstance(x, Waiting) else x for x in trainer.loggers]
