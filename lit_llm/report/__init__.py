"""Reads finished runs."""

from lit_llm.report.runs import Run, open_run

__all__ = ["Run", "open_run"]
