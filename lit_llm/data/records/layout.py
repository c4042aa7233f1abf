"""How a file is written: what separates its cells, how letters are bytes, what quotes mean, what the columns are."""

from __future__ import annotations

import codecs
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lit_llm.errors import ConfigError

Quoting = Literal["auto", "csv", "none"]
"""``csv``: a cell that begins with a quote ends with one, and may hold separators and line ends; ``none``: quotes are
letters; ``auto``: ``csv``, but for cells parted by tabs, where the whole file decides."""

_NAMED = {"\\t": "\t", "tab": "\t", "semicolon": ";", "comma": ","}
_COMMON = ("utf-8", "utf-16", "windows-1252", "iso-8859-1", "cp850", "mac_roman")


@dataclass(frozen=True)
class Layout:
    """How the text files of a data module are written; the same settings serve all of its files.

    Attributes:
        delimiter: what separates cells; None for a comma in ``.csv`` and a tab in ``.tsv``.
        encoding: how letters are written as bytes, by Python's name for it.
        quoting: what quotes mean, see :data:`Quoting`.
        header: whether the first row names the columns; names of the columns where no row does; False calls them
            ``column_1``, ``column_2``, ….

    Raises:
        ConfigError: if a setting is not possible, naming its key.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    quoting: Quoting = "auto"
    header: bool | tuple[str, ...] = True

    def __post_init__(self) -> None:
        mark = _NAMED.get(self.delimiter or "", self.delimiter)
        object.__setattr__(self, "delimiter", mark)
        if mark is not None and (len(mark) != 1 or mark in '"\r\n\0' or mark.isalnum()):
            raise ConfigError(f"data.init_args.delimiter: {mark!r} is not one mark such as ',', ';', '|' or '\\t'")
        if self.quoting not in ("auto", "csv", "none"):
            raise ConfigError(f"data.init_args.quoting: {self.quoting!r} is not auto, csv or none")
        _check_encoding(self.encoding)
        names = self.header if isinstance(self.header, tuple) else ()
        if self.header == () or not all(isinstance(name, str) and name.strip() for name in names):
            raise ConfigError(f"data.init_args.header: {list(names)}: give each column of the file a name")
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"data.init_args.header: {twice[0]!r} names two columns")

    def separator(self, path: Path) -> str:
        """Return what separates the cells of a file."""
        return self.delimiter or ("," if path.suffix.lower() == ".csv" else "\t")

    @property
    def is_utf8(self) -> bool:
        """Whether text is UTF-8."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")

    @property
    def is_wide(self) -> bool:
        """Whether letters are units of two or four bytes, so that a line end is no single byte."""
        return codecs.lookup(self.encoding).name.startswith(("utf-16", "utf-32"))


def _check_encoding(name: str) -> None:
    try:
        "a".encode(name)
    except LookupError:
        near = difflib.get_close_matches(name.lower(), _COMMON, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"some are {', '.join(_COMMON)}"
        raise ConfigError(f"data.init_args.encoding: there is no text encoding {name!r}; {hint}") from None
