"""The page of a run: one self-contained HTML file that people read."""

from lit_llm.report.page.writing import write_page

__all__ = ["write_page"]
