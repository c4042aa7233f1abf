"""Text files line by line, with errors that name the place."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from lit_llm.errors import DataError
from lit_llm.strict_json import excerpt

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
"""Kinds of files that records are read from."""


def text_lines(path: Path, limit: int) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers and line ends, a byte order mark taken off."""
    if not path.exists():
        raise DataError(f"{path}: no such file{files_like(path.name, path.parent)}")
    with path.open("rb") as file:
        number, start = 0, 0
        while raw := file.readline(limit + 1):
            number += 1
            if len(raw) > limit and len(raw.rstrip(b"\r\n")) > limit:
                remedy = "split the record or raise data.init_args.max_line_bytes"
                fail(path, number, "", f"is longer than {limit:,} bytes; {remedy}")
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            yield number, _decode(path, number, start, raw)
            start = file.tell()


def _decode(path: Path, line: int, start: int, raw: bytes) -> str:
    if line == 1 and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        fail(path, line, "", f"is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {path.name}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"byte {error.start + 1} of the line (offset {start + error.start:,} in the file)"
        remedy = f"convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 {path.name}"
        fail(path, line, "", f"is not UTF-8: 0x{raw[error.start]:02x} at {place}; {remedy}")
    if "\0" in text:
        fail(path, line, "", f"holds a NUL at column {text.index(chr(0)) + 1}; remove it: tr -d '\\000' < {path.name}")
    return text


def fail(path: Path, line: int, name: str, message: str) -> NoReturn:
    """Raise a DataError that names the place."""
    about = f"field {excerpt(name)}: " if name else ""
    raise DataError(f"{path}:{line}: {about}{message}") from None


def files_like(name: str, folder: Path) -> str:
    """Name up to three files of ``folder`` that can be read, nearest to ``name`` first."""
    if not folder.is_dir():
        return f"; its folder {folder} does not exist either"
    readable = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    near = difflib.get_close_matches(name, readable, n=3, cutoff=0.4) or readable[:3]
    return f": {folder} has {', '.join(near)}" if near else f"; {folder} has none that can be read"
