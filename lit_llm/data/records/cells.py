"""Rows of delimited files: where they begin and what their cells are."""

from __future__ import annotations

import csv
import re
import shlex
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from lit_llm.data.records.faults import Broken
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import amid, text_lines
from lit_llm.paths import interpreter
from lit_llm.strict_json import dumps
from lit_llm.wording import typed

Cells = tuple[int, list[str] | Broken]
"""The line on which a row begins, and its cells, or why it has none."""

_Line = tuple[int, str | Broken]

_ESCAPED = re.compile(r'\\"(?!")')


class LineEnds:
    """Sees that all rows of a file end alike: else a carriage return may be the last letter of a cell."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: bool | None = None

    def fault(self, text: str) -> Broken | None:
        """Return what is wrong with the end of a row, if anything."""
        if not text.endswith("\n"):
            # A file may end amid its last row, and then with what may be half of a line end.
            return Broken(self._said("CR alone"), text) if text.endswith("\r") else None
        windows = text.endswith("\r\n")
        if self._first is None:
            self._first = windows
        return Broken(self._said("CR LF" if windows else "LF alone"), text) if windows != self._first else None

    def _said(self, this: str) -> str:
        others = "CR LF" if self._first else "LF alone"
        alike = f"sed -i 's/\\r$//' {typed(self._path)}"
        return f"the row ends in {this}, those before it in {others}; make all alike: {alike}"


def plain_cells(path: Path, limit: int, layout: Layout) -> Iterator[Cells]:
    """Yield the rows of a file in which separators and line ends always part, and quotes are letters."""
    mark, ends = layout.separator(path), LineEnds(path)
    for line, text in text_lines(path, limit, layout):
        if isinstance(text, Broken):
            yield line, text
        elif broken := ends.fault(text) or amid(text, path):
            yield line, broken
        else:
            body = text.rstrip("\r\n")
            yield line, body.split(mark) if body else []


def quoted_cells(path: Path, limit: int, layout: Layout) -> Iterator[Cells]:
    """Yield the rows of a CSV file (RFC 4180); after one that is broken it goes on with the next line."""
    yield from ((line, cells) for line, cells, _ in csv_rows(path, limit, layout))


def csv_rows(path: Path, limit: int, layout: Layout) -> Iterator[tuple[int, list[str] | Broken, str]]:
    """Yield the rows of a CSV file as :func:`quoted_cells` does, each with its text."""
    before = csv.field_size_limit()
    # The csv module's own limit is one for the whole process and lower than ours.
    csv.field_size_limit(max(limit, before))
    mark, ends = layout.separator(path), LineEnds(path)
    source = _Lines(text_lines(path, limit, layout))
    try:
        while (first := source.take()) is not None:
            yield _row(first, source, limit, mark, ends, path, layout.encoding)
    finally:
        csv.field_size_limit(before)


def _row(
    first: _Line, source: _Lines, limit: int, mark: str, ends: LineEnds, path: Path, encoding: str
) -> tuple[int, list[str] | Broken, str]:
    line, text = first
    if isinstance(text, Broken):
        return line, text, ""
    body = text.rstrip("\r\n")
    if '"' not in body:
        cells = body.split(mark) if body else []
        return line, ends.fault(text) or amid(text, path) or cells, text
    taken = [first]
    try:
        cells = next(csv.reader(_lines_of(taken, source, limit), delimiter=mark, strict=True))
    except csv.Error as error:
        # A quote left open takes the rows behind it along: they are read again, each from its own line.
        source.give_back(taken[1:])
        return line, _broken(error, text, path, mark, encoding), text
    return line, ends.fault(str(taken[-1][1])) or cells, "".join(str(part) for _, part in taken)


def _lines_of(taken: list[_Line], source: _Lines, limit: int) -> Iterator[str]:
    """Yield a row's lines, as many as the csv module asks for."""
    size, text = 0, taken[0][1]
    while isinstance(text, str):
        size += len(text)
        if size > limit and len(taken) > 1:
            raise csv.Error("a quoted cell is longer than a record may be")
        yield text
        following = source.take()
        if following is None:
            return
        taken.append(following)
        text = following[1]
    raise csv.Error("a line within a quoted cell cannot be read")


def _unescaped(path: Path, mark: str, encoding: str) -> str:
    """Return the remedy for a file of a program that writes a backslash before a quote, where CSV doubles it."""
    source = f"open({dumps(str(path))}, newline={dumps('')}, encoding={dumps(encoding)})"
    rows = f"csv.reader({source}, delimiter={dumps(mark)}, doublequote=False, escapechar=chr(92))"
    code = f"import csv, sys; csv.writer(sys.stdout, lineterminator=chr(10)).writerows({rows})"
    return (
        "a backslash stands before its quotes, where CSV writes a quote twice; write the file so: "
        f"{interpreter()} -X utf8 -c {shlex.quote(code)} > converted.csv"
    )


def _broken(error: csv.Error, text: str, path: Path, mark: str, encoding: str) -> Broken:
    if "new-line character" in str(error) and (found := amid(text, path)):
        return found
    if _ESCAPED.search(text):
        return Broken(f"is not CSV: {error}; {_unescaped(path, mark, encoding)}", text)
    remedy = "is a quote left open in this row? Where quotes are letters: data.init_args.quoting none"
    if "expected after" in str(error):
        remedy = "write a quote within a quoted cell twice; where quotes are letters: data.init_args.quoting none"
    return Broken(f"is not CSV: {error}; {remedy}", text)


class _Lines:
    """Lines that can be given back."""

    def __init__(self, lines: Iterator[_Line]) -> None:
        self._lines = lines
        self._back: deque[_Line] = deque()

    def take(self) -> _Line | None:
        """Return the next line; None at the end."""
        return self._back.popleft() if self._back else next(self._lines, None)

    def give_back(self, lines: list[_Line]) -> None:
        """Let lines be taken again."""
        self._back.extendleft(reversed(lines))
