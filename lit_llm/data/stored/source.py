"""What a data module has to offer so that its rows can be kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from lit_llm.data.records.faults import Fault
from lit_llm.data.tokens.dataset import Example, Row
from lit_llm.data.tokens.prompting import ChatFormat


class RowSource(Protocol):
    """Reads and encodes the rows of files; see ``LMData``."""

    cache: bool | None
    reads_texts: bool
    lenient: bool
    prefix: str
    files: dict[str, str | None]
    test_files: dict[str, str]
    counts: Counter[str]
    skipped: dict[str, list[Fault]]

    @property
    def encodes_one_by_one(self) -> bool:
        """Whether ``encoded`` gives what a split holds."""
        ...

    @property
    def format(self) -> ChatFormat:
        """How rows are written."""
        ...

    def chosen_one_by_one(self, name: str, path: Path) -> Iterator[Example]:
        """Yield the records of a file that a split uses."""
        ...

    def encoded(self, name: str, examples: Iterable[Example]) -> Iterator[Row | None]:
        """Yield examples with their tokens."""
        ...

    def variants(self, name: str) -> tuple[Callable[[Example, int, int, int], Row | None] | None, int]:
        """Return what makes variants of a split's rows, and how many rows an example gives."""
        ...

    def row_facts(self) -> dict[str, Any]:
        """Return what else decides the rows."""
        ...

    def files_at(self, path: Path) -> list[Path]:
        """Return the files that a setting names."""
        ...

    def id_prefix(self, path: Path) -> str:
        """Return what ids begin with that a file does not give itself."""
        ...
