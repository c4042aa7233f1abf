"""Texts and figures for whatever shows a run: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from matplotlib.figure import Figure


class Pages(Protocol):
    """What texts and figures are written to: the two methods of TensorBoard's ``SummaryWriter``."""

    def add_text(self, tag: str, text: str, global_step: int | None = None) -> None:
        """Show Markdown."""

    def add_figure(self, tag: str, figure: Figure, global_step: int | None = None) -> None:
        """Show a figure of matplotlib."""


class WandbPages:
    """Shows texts as tables, and figures as images, in Weights & Biases."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def add_text(self, tag: str, text: str, global_step: int | None = None) -> None:
        """Show a Markdown table as a table, and any other text as the one cell of one."""
        head, *rows = _cells(text)
        self.logger.log_table(tag, head, rows, step=global_step or 0)

    def add_figure(self, tag: str, figure: Figure, global_step: int | None = None) -> None:
        """Show a figure."""
        self.logger.log_image(tag, [figure], step=global_step or 0)


class MLflowPages:
    """Keeps texts and figures as artifacts of a run of MLflow, one file for every step."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def add_text(self, tag: str, text: str, global_step: int | None = None) -> None:
        """Keep a text as Markdown."""
        self.logger.experiment.log_text(self.logger.run_id, text, _artifact(tag, global_step, "md"))

    def add_figure(self, tag: str, figure: Figure, global_step: int | None = None) -> None:
        """Keep a figure as PNG."""
        self.logger.experiment.log_figure(self.logger.run_id, figure, _artifact(tag, global_step, "png"))


def shows_pages(logger: Logger) -> bool:
    """Whether texts and figures can be written to a logger; it is not started by this."""
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

    return isinstance(logger, TensorBoardLogger | WandbLogger | MLFlowLogger)


def pages_of(logger: Any) -> Pages:
    """Return what writes texts and figures to a logger that ``shows_pages``."""
    from lightning.pytorch.loggers import MLFlowLogger, WandbLogger

    if isinstance(logger, WandbLogger):
        return WandbPages(logger)
    if isinstance(logger, MLFlowLogger):
        return MLflowPages(logger)
    writer: Pages = logger.experiment
    return writer


def _cells(text: str) -> list[list[str]]:
    """Return the cells of a Markdown table, its head first; of other texts one cell under ``text``."""
    lines = text.splitlines()
    if len(lines) < 2 or not re.fullmatch(r"\|( --- \|)+", lines[1]):
        return [["text"], [_plain(text)]]
    rows = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in [lines[0], *lines[2:]]]
    return [[_plain(cell) for cell in row] for row in rows]


def _plain(markdown: str) -> str:
    """Return a text without what keeps it whole in Markdown."""
    return html.unescape(markdown.replace("<br>", "\n"))


def _artifact(tag: str, step: int | None, kind: str) -> str:
    return f"{re.sub(r'[^/ .=()+-]', lambda c: c[0] if c[0].isalnum() else '_', tag)}/{step or 0:08}.{kind}"
