"""Finding where texts and figures of a trainer are shown, and writing them as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lit_llm.callbacks.pages import pages_of, shows_pages
from lit_llm.callbacks.waiting import Waiting

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

SCREEN_DPI = 200
"""Dots per inch of figures: TensorBoard shows them enlarged, where fewer are blurred."""


def writers(trainer: Trainer) -> list[Any]:
    """Return what shows texts and figures for each logger that can; none on processes other than the first."""
    if not trainer.is_global_zero:
        return []
    # What is drawn before the first step waits for it.
    waiting = [logger.experiment for logger in trainer.loggers if isinstance(logger, Waiting) and logger.draws]
    return waiting + [pages_of(logger) for logger in trainer.loggers if shows_pages(logger)]


def cell(text: str, limit: int = 400) -> str:
    """Return text as the content of a cell of a Markdown table, cut to ``limit`` characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    for mark in "\\`*_~|<[]>":
        cut = cut.replace(mark, f"&#{ord(mark)};")
    return cut.replace("\r", "").replace("\n", "<br>") or "·"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table of cells that are already escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
