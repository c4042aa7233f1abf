"""Whether quotes in a file of tabs quote, or are letters.

Text files of two languages hold quotes as letters; pandas, Excel and pyarrow write quotes around cells. Which it is, is
decided by the whole file and only where one of the readings can be ruled out: as letters, every line has to be a row
of as many cells as the first; as CSV, every row has to be one that some program would write: quotes around whole
cells, doubled within, and either around everything or only where they are needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lit_llm.data.records.cells import csv_rows, plain_cells
from lit_llm.data.records.faults import Broken
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import fail, text_lines

_OPENS = re.compile(r'(?:^|\t)"')
_CELL = re.compile(r'"((?:[^"]|"")*)"(?=\t|\Z)|([^\t]*)')
_PHRASE = re.compile(r'""\w{2,}[^"]*""')
_JSON = re.compile(r'\s*[{\[]\s*""')


@dataclass
class _Evidence:
    """What the cells of a file look like when it is read as CSV.

    Attributes:
        rows: how many there are.
        first: line of the first cell whose readings differ.
        header: whether the whole first row is quoted.
        needed: cells that every program would quote.
        commas: cells that only Excel would quote, for a comma.
        against: what no program would write: needless quotes, or a quote in a cell without quotes.
        bare_comma: whether a cell without quotes holds a comma.
        both: whether a cell holds a line end and a tab, as rows that are swallowed do.
        json: whether a cell is a JSON object once its quotes are undone.
        phrases: cells in which words stand between doubled quotes, as programs write a cell with a quotation.
        quoted: columns with quoted cells.
        bare: columns with others.
    """

    rows: int = 0
    first: int = 0
    header: bool = False
    needed: int = 0
    commas: int = 0
    against: bool = False
    bare_comma: bool = False
    both: bool = False
    json: bool = False
    phrases: int = 0
    quoted: set[int] = field(default_factory=set)
    bare: set[int] = field(default_factory=set)

    def add(self, line: int, cells: list[tuple[str | None, str]]) -> None:
        """Note a row: what is within the quotes of each cell, or None, and the cell as it is without any."""
        self.rows += 1
        count = sum(inner is not None for inner, _ in cells)
        if count and not self.first:
            self.first = line
        if self.rows == 1:
            self.header = count == len(cells)
        for column, (inner, bare) in enumerate(cells):
            if inner is not None:
                self.quoted.add(column)
                self._note(inner, alone=len(cells) == 1)
            elif bare:
                self.bare.add(column)
                self.against |= '"' in bare
                self.bare_comma |= "," in bare

    def _note(self, inner: str, *, alone: bool) -> None:
        needed = any(mark in inner for mark in '"\t\n\r') or (alone and not inner)
        comma = not needed and "," in inner
        self.needed += needed
        self.commas += comma
        self.against |= not needed and not comma
        self.both |= "\t" in inner and "\n" in inner
        self.phrases += bool(_PHRASE.search(inner))
        self.json |= bool(_JSON.match(inner))


def resolve(path: Path, limit: int, layout: Layout, *, strict: bool = False) -> Literal["csv", "none"]:
    """Return what quotes mean in a delimited file.

    Args:
        path: the file.
        limit: longest line.
        layout: how it is written; ``auto`` is decided here.
        strict: refuse also where lines are rows of equal length only if a quoted cell swallows whole ones.

    Raises:
        DataError: if both readings are possible and differ, naming the first place.
    """
    if layout.quoting != "auto":
        return layout.quoting
    if layout.separator(path) != "\t":
        return "csv"
    if not any(isinstance(text, str) and _OPENS.search(text) for _, text in text_lines(path, limit, layout)):
        return "none"
    evidence = _gather(path, limit, layout)
    if evidence is None:
        return "none"
    named = layout.header is True
    if (named and evidence.header and evidence.rows > 1) or evidence.json:
        return "csv"
    if not named and not evidence.quoted & evidence.bare:
        _refuse(path, evidence.first)
    if evidence.against or (evidence.bare_comma and evidence.commas):
        return "none"
    if evidence.phrases > 1 and not evidence.both:
        return "csv"
    letters = _even(plain_cells(path, limit, layout))
    if letters and evidence.both and not strict:
        return "none"
    if letters or evidence.both:
        _refuse(path, evidence.first)
    return "csv"


def _gather(path: Path, limit: int, layout: Layout) -> _Evidence | None:
    """Return what is seen in the file read as CSV; None if it cannot be read so."""
    evidence, count = _Evidence(), 0
    for line, cells, text in csv_rows(path, limit, layout):
        count = count or len(cells) if not isinstance(cells, Broken) else count
        if isinstance(cells, Broken) or (cells and len(cells) != count):
            return None
        if cells:
            evidence.add(line, [(match[1], match[2] or "") for match in _parts(text)])
    return evidence


def _parts(text: str) -> Iterator[re.Match[str]]:
    """Yield the cells of a row of CSV as they are written."""
    body, at = text.rstrip("\r\n"), 0
    while at <= len(body) and (match := _CELL.match(body, at)):
        yield match
        at = match.end() + 1


def _even(rows: Iterator[tuple[int, list[str] | Broken]]) -> bool:
    """Whether every row that is not blank has as many cells as the first."""
    count = 0
    for _, cells in rows:
        if isinstance(cells, Broken):
            return False
        count = count or len(cells)
        if cells and len(cells) != count:
            return False
    return True


def _refuse(path: Path, line: int) -> None:
    message = (
        "begins a cell with a quote, and the file can be read in two ways: set data.init_args.quoting to none where "
        "quotes are letters, to csv where a program such as pandas or Excel put them around cells"
    )
    fail(path, line, "", message)
