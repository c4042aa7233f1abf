"""Looks at a file that somebody brings: how it is written, which columns it has, how long its texts are."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lit_llm.data.records.cells import csv_rows, plain_cells
from lit_llm.data.records.delimited import refuse_twins
from lit_llm.data.records.encodings import detect
from lit_llm.data.records.faults import Broken
from lit_llm.data.records.kinds import raw_rows
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import text_lines
from lit_llm.data.records.quoting import resolve
from lit_llm.errors import DataError
from lit_llm.strict_json import excerpt

LIMIT = 1 << 26
"""Longest line that is looked at; a file may name a lower one when it is read."""

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_RARE = {
    "^": "a caret",
    "~": "a tilde",
    "\x1f": "a unit separator",
    "\x01": "a control character (1)",
    "¦": "a broken bar",
    "§": "a section sign",
    "¬": "a not sign",
    "¤": "a currency sign",
    "$": "a dollar sign",
    "#": "a hash sign",
    "@": "an at sign",
    "!": "an exclamation mark",
    "%": "a percent sign",
    "&": "an ampersand",
    "*": "an asterisk",
    "+": "a plus sign",
    "=": "an equals sign",
    ":": "a colon",
    "/": "a slash",
    "\\": "a backslash",
}
_EVEN = 0.9
_SENTENCE = re.compile(r"[.!?;:,…»”]\s*$|\S+\s+\S+\s+\S+\s+\S+\s+\S+")
_NUMBER = re.compile(r"\s*[-+]?[\d.,]+\s*")
_LONGEST_NAME = 60


@dataclass
class Sizes:
    """Lengths of a column's values in characters; a value that is no text counts as the JSON that it is.

    Attributes:
        filled: rows with a value.
        shortest: of those.
        median: of those.
        longest: of those.
    """

    filled: int = 0
    shortest: int = 0
    median: int = 0
    longest: int = 0


@dataclass(frozen=True)
class Sniffed:
    """What a file is.

    Attributes:
        path: the file.
        kind: ``jsonl``, ``json``, ``csv`` (cells parted by whatever mark) or ``parquet``.
        layout: settings with which it is read.
        columns: their names.
        rows: how many there are, broken ones included.
        broken: how many cannot be read.
        lengths: of each column's values.
        findings: what was found, a line each, with what was guessed and by what.
    """

    path: Path
    kind: str
    layout: Layout
    columns: list[str]
    rows: int
    broken: int
    lengths: dict[str, Sizes]
    findings: list[str] = field(default_factory=list)


def sniff(path: str | Path, layout: Layout | None = None, *, guess_encoding: bool = True) -> Sniffed:
    """Look at a file of rows, whole.

    Args:
        path: a ``.jsonl``, ``.ndjson``, ``.json``, ``.parquet`` file, or any other as cells parted by a mark.
        layout: what is known already; parts of it that are as by default are found out.
        guess_encoding: whether UTF-8 is the default of ``layout``, rather than what somebody says.

    Raises:
        DataError: if it cannot be told how the file is written, with the setting that says it.
    """
    file, known = Path(path), layout or Layout()
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        return _described(file, "parquet", known, [])
    guess = guess_encoding and known.encoding == "utf-8"
    encoding, said = detect(file) if guess else (known.encoding, f"{known.encoding}, as told")
    known = replace(known, encoding=encoding)
    findings = [f"encoding: {said}"]
    if suffix in (".jsonl", ".ndjson", ".json"):
        return _described(file, suffix[1:].replace("ndjson", "jsonl"), known, findings)
    mark, said = _delimiter(file, known)
    findings.append(f"delimiter: {said}")
    known = replace(known, delimiter=mark, quoting="csv" if known.quoting == "auto" and mark != "\t" else known.quoting)
    quoting = resolve(file, LIMIT, known, strict=True)
    findings.append(f"quoting: {_QUOTES[quoting]}")
    known = replace(known, quoting=quoting)
    known, columns, said = _header(file, known)
    findings.append(f"header: {said}")
    default = "," if suffix == ".csv" else "\t" if suffix == ".tsv" else None
    shown = replace(known, delimiter=None) if mark == default else known
    return _described(file, "csv", shown, findings, columns)


_QUOTES = {"csv": "quotes stand around cells, as in CSV", "none": "a quote is a letter like others"}


def _delimiter(path: Path, layout: Layout) -> tuple[str, str]:
    default = "\t" if path.suffix.lower() == ".tsv" else ","
    if layout.delimiter:
        return layout.delimiter, f"{_DELIMITERS.get(layout.delimiter, repr(layout.delimiter))}, as told"
    first = _first_line(path, layout)
    widths = {mark: len(_split(first, mark)) for mark in _DELIMITERS}
    able = [mark for mark, width in widths.items() if width > 1]
    if not able and (rare := _rare(path, layout, first)):
        return rare
    if not able:
        return default, f"none in the first row, so the file has one column ({excerpt(first.strip())})"
    shares = {mark: _even_share(path, replace(layout, delimiter=mark), widths[mark]) for mark in able}
    best = max(shares.values())
    alike = [mark for mark in able if shares[mark] == best]
    mark = default if default in alike else alike[0]
    if len(alike) > 1 and default not in alike:
        raise DataError(
            f"{path}:1: {' and '.join(_DELIMITERS[one] for one in alike)} part the rows equally well: say which in "
            "data.init_args.delimiter"
        )
    return mark, f"{_DELIMITERS[mark]}; {shares[mark]:.1%} of the rows have {widths[mark]} cells, as the first has"


def _rare(path: Path, layout: Layout, first: str) -> tuple[str, str] | None:
    """Return a mark that hardly any program parts cells by, where it parts names and nearly all rows alike."""
    for mark, name in _RARE.items():
        cells = _split(first, mark)
        if len(cells) < 2 or not all(cell.strip() for cell in cells) or _no_names(cells):
            continue
        share = _even_share(path, replace(layout, delimiter=mark), len(cells))
        if share >= _EVEN:
            return mark, f"{name}; {share:.1%} of the rows have {len(cells)} cells, as the first has (--delimiter)"
    return None


def _first_line(path: Path, layout: Layout) -> str:
    for _, text in text_lines(path, LIMIT, layout):
        if isinstance(text, Broken):
            raise DataError(f"{path}:1: {text.message}")
        if text.strip():
            return text.rstrip("\r\n")
    raise DataError(f"{path}: holds no records; is it the right file, and was it written to the end?")


def _split(text: str, mark: str) -> list[str]:
    try:
        return next(csv.reader([text], delimiter=mark), [])
    except csv.Error:
        return text.split(mark)


def _even_share(path: Path, layout: Layout, width: int) -> float:
    rows = [cells for _, cells, _ in csv_rows(path, LIMIT, layout)]
    if layout.delimiter == "\t" and any(isinstance(cells, Broken) for cells in rows):
        rows = [cells for _, cells in plain_cells(path, LIMIT, layout)]
    full = [cells for cells in rows if cells != []]
    return sum(isinstance(cells, list) and len(cells) == width for cells in full) / max(1, len(full))


def _header(path: Path, layout: Layout) -> tuple[Layout, list[str], str]:
    """Tell whether the first row names the columns; it does unless it looks like no name."""
    first = next(cells for cells in _rows(path, layout) if cells)
    if isinstance(first, Broken):
        raise DataError(f"{path}:1: {first.message}")
    names = [f"column_{place + 1}" for place in range(len(first))]
    if layout.header is not True:
        return layout, list(layout.header or names), "names of the columns as told"
    if reason := _no_names([cell for cell in first if cell.strip()]):
        said = f"none: in the first row {reason}; columns are {', '.join(names)}"
        return replace(layout, header=tuple(names)), names, said
    refuse_twins(path, 1, first)
    return layout, first, f"the first row, taken for names: {', '.join(first)}"


def _rows(path: Path, layout: Layout) -> Iterator[list[str] | Broken]:
    if layout.quoting == "csv":
        yield from (cells for _, cells, _ in csv_rows(path, LIMIT, layout))
    else:
        yield from (cells for _, cells in plain_cells(path, LIMIT, layout))


def _no_names(cells: Sequence[str]) -> str:
    """Return why cells name no columns; nothing where they may. A blank one may stand above pandas' index."""
    for cell in cells:
        if _NUMBER.fullmatch(cell):
            return f"{excerpt(cell)} is a number"
        if cell.lstrip()[0] in "{[¿¡":
            return f"{excerpt(cell)} is a value"
        if len(cell) > _LONGEST_NAME or _SENTENCE.search(cell):
            return f"{excerpt(cell)} is a sentence"
    return ""


def _described(path: Path, kind: str, layout: Layout, findings: list[str], columns: Sequence[str] = ()) -> Sniffed:
    rows = broken = 0
    sizes: dict[str, list[int]] = {name: [] for name in columns}
    for _, row in raw_rows(path, layout, LIMIT):
        rows += 1
        if isinstance(row, Broken):
            broken += 1
            continue
        for name, value in row.items():
            lengths = sizes.setdefault(name, [])
            if value is not None and value != "":
                lengths.append(len(_written(value)))
    if not rows:
        raise DataError(f"{path}: holds no records; is it the right file, and was it written to the end?")
    found = {name: _sizes(lengths) for name, lengths in sizes.items()}
    said = f", of which {broken:,} cannot be read" if broken else ""
    findings = [*findings, f"columns: {', '.join(found)}", f"rows: {rows:,}{said}"]
    return Sniffed(path, kind, layout, list(found), rows, broken, found, findings)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _sizes(lengths: list[int]) -> Sizes:
    if not lengths:
        return Sizes()
    ordered = sorted(lengths)
    return Sizes(len(ordered), ordered[0], ordered[len(ordered) // 2], ordered[-1])
