"""Text files line by line, with errors that name the place."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from lit_llm.data.records.faults import Broken
from lit_llm.data.records.layout import Layout
from lit_llm.errors import DataError
from lit_llm.strict_json import excerpt
from lit_llm.wording import typed

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
"""Kinds of files that records are read from."""

MAX_LINE_BYTES = 1 << 20
"""Longest line that is read unless told otherwise: one forgotten newline must not fill the memory."""

_MARKS = {codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
_CHUNK = 1 << 20


def text_lines(path: Path, limit: int, layout: Layout | None = None) -> Iterator[tuple[int, str | Broken]]:
    """Yield the lines of a text file with their numbers and line ends, a byte order mark taken off.

    Args:
        path: the file.
        limit: most bytes of a line; letters where the encoding is UTF-16 or UTF-32.
        layout: of which the encoding is used.

    Yields:
        The number of a line from 1, and its text, or why it is none.

    Raises:
        DataError: if the whole file is not text of this encoding, or its lines end in carriage returns alone.
    """
    layout = layout or Layout()
    if not path.exists():
        raise DataError(f"{path}: no such file{files_like(path.name, path.parent)}")
    if layout.is_wide:
        yield from _wide_lines(path, limit, layout)
        return
    if not layout.is_utf8:
        _refuse_utf8(path, layout)
    with path.open("rb") as file:
        number, start = 0, 0
        while raw := file.readline(limit + 1):
            number += 1
            if number == 1:
                _check_start(path, raw, layout)
                raw = raw.removeprefix(codecs.BOM_UTF8)
            yield number, _too_long(file, raw, limit) or _decode(path, start, raw, layout)
            start = file.tell()


def _too_long(file: object, raw: bytes, limit: int) -> Broken | None:
    if len(raw) <= limit or len(raw.rstrip(b"\r\n")) <= limit:
        return None
    rest = raw
    while rest and not rest.endswith(b"\n"):
        rest = file.readline(_CHUNK)  # type: ignore[attr-defined]
    remedy = "split the record or raise data.init_args.max_line_bytes"
    return Broken(f"is longer than {limit:,} bytes; {remedy}", raw[:200].decode("utf-8", "replace"))


def _check_start(path: Path, raw: bytes, layout: Layout) -> None:
    if layout.is_utf8 and (mark := _MARKS.get(raw[:2])):
        remedy = f"set data.init_args.encoding to {mark.lower()}, or convert it: {_recoded(path, mark)}"
        fail(path, 1, "", f"is {mark}; {remedy}")
    if layout.is_utf8 and b"\0" in raw[:2]:
        name = "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"
        fail(path, 1, "", f"is UTF-16 without a byte order mark; set data.init_args.encoding to {name}")
    body = raw.rstrip(b"\r\n")
    if not raw.endswith(b"\n") and b"\r" in body:
        fail(path, 1, "", f"its lines end in carriage returns alone, as on old Macs; convert it: {_unmac(path)}")


def _unmac(path: Path) -> str:
    return f"tr '\\r' '\\n' < {typed(path)} > converted{path.suffix}"


def _recoded(path: Path, encoding: str) -> str:
    return f"iconv -f {encoding} -t UTF-8 {typed(path)} > converted{path.suffix}"


def amid(text: str, path: Path) -> Broken | None:
    """Return what to say of a line with a carriage return that does not end it, if there is one."""
    column = text.rstrip("\r\n").find("\r")
    if column < 0:
        return None
    blank = f"tr -d '\\r' < {typed(path)} > converted{path.suffix}"
    message = f"holds a carriage return amid the line, at column {column + 1}; where it ends lines: {_unmac(path)}"
    return Broken(f"{message}; elsewhere: {blank}", text)


def _decode(path: Path, start: int, raw: bytes, layout: Layout) -> str | Broken:
    try:
        text = raw.decode(layout.encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if layout.is_utf8 else layout.encoding
        place = f"byte {error.start + 1} of the line (offset {start + error.start:,} in the file)"
        remedy = "set data.init_args.encoding to windows-1252, if it is that, or convert the file: " + _recoded(
            path, "WINDOWS-1252"
        )
        remedy = remedy if layout.is_utf8 else "is data.init_args.encoding right?"
        said = f"is not {name}: 0x{raw[error.start]:02x} at {place}; {remedy}"
        return Broken(said, raw.decode("utf-8", "backslashreplace"))
    if "\0" in text:
        remedy = f"remove it: tr -d '\\000' < {typed(path)} > converted{path.suffix}"
        return Broken(f"holds a NUL at column {text.index(chr(0)) + 1}; {remedy}", text)
    return text


def _wide_lines(path: Path, limit: int, layout: Layout) -> Iterator[tuple[int, str | Broken]]:
    number = 0
    try:
        with path.open(encoding=layout.encoding, newline="\n") as file:
            while text := file.readline(limit + 1):
                number += 1
                text = text.removeprefix("\ufeff") if number == 1 else text
                if len(text) > limit and not text.endswith("\n"):
                    fail(path, number, "", f"is longer than {limit:,} letters; split the record")
                yield number, Broken("holds a NUL; is data.init_args.encoding right?", text) if "\0" in text else text
    except UnicodeError as error:
        fail(path, number + 1, "", f"is not {layout.encoding}: {error}; is data.init_args.encoding right?")


def _refuse_utf8(path: Path, layout: Layout) -> None:
    """Refuse to read UTF-8 as something else: nearly every byte means some letter there, a wrong one."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    plain, sample = True, b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            if plain and not chunk.isascii():
                at = next(place for place, byte in enumerate(chunk) if byte > 127)
                plain, sample = False, chunk[at : at + 2]
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return
    if not plain:
        wrong = sample.decode(layout.encoding, "replace")
        raise DataError(
            f"{path}: is UTF-8, which read as {layout.encoding} shows {wrong!r} for one letter: leave "
            "data.init_args.encoding out"
        )


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
