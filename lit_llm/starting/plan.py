"""What `init` has found out about a file, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.starting.schemas import Schema

if TYPE_CHECKING:
    from lit_llm.data.base import LMData
    from lit_llm.data.records.faults import Fault


@dataclass
class Plan:
    """How a person's file becomes the data of a run.

    Attributes:
        task: ``extraction``, ``translation`` or ``sign``.
        sources: the files that were read.
        data_class: path of the data module.
        settings: its arguments besides files, lengths and batch sizes.
        rows: good rows as they will be written, each with an id.
        lines: the line of each in its source.
        compared: names of the texts by which rows count as twins, each by itself.
        together: names of columns whose equal values stay in one split.
        schema: of the answers, where they are JSON.
        faults: the bad rows.
        findings: what was seen and guessed, a line each.
        example: a text to ask for; None where none can be typed.
        each: examples that a row gives, such as one for each direction of a pair.
    """

    task: str
    sources: Sequence[Path]
    data_class: str
    settings: dict[str, Any]
    rows: list[dict[str, Any]]
    lines: list[int]
    compared: list[str]
    together: list[str] = field(default_factory=list)
    schema: Schema | None = None
    faults: list[Fault] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    example: str | None = None
    each: int = 1

    def data(self, **more: Any) -> LMData:
        """Return the data module, with further arguments."""
        import lit_llm.data

        kind = getattr(lit_llm.data, self.data_class.rpartition(".")[2])
        module: LMData = kind(**self.settings, **more)
        return module

    def drop(self, reasons: dict[int, Fault]) -> None:
        """Take rows out, by their place, and note why."""
        self.faults += reasons.values()
        kept = [place for place in range(len(self.rows)) if place not in reasons]
        self.rows = [self.rows[place] for place in kept]
        self.lines = [self.lines[place] for place in kept]
