"""Rows of JSON files: an object on each line, or one array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lit_llm.data.records.faults import Broken
from lit_llm.data.records.layout import Layout
from lit_llm.data.records.lines import amid, fail, text_lines
from lit_llm.data.records.shapes import arrays, rows_by, shape_of
from lit_llm.errors import DataError
from lit_llm.strict_json import JSONError, excerpt, json_type, loads
from lit_llm.wording import typed

Rows = Iterator[tuple[int, dict[str, Any] | Broken]]

_CHUNK = 1 << 16
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[\]{},]', re.S)


def jsonl_rows(path: Path, limit: int, layout: Layout) -> Rows:
    """Yield the objects of a file that has one on each line; blank lines are passed over.

    Raises:
        DataError: if the file is one array, or an object over several lines.
    """
    started = False
    for line, text in text_lines(path, limit, layout):
        if isinstance(text, Broken):
            yield line, text
            continue
        if not text.strip():
            continue
        if not started:
            _refuse_other_json(path, line, text)
        started = True
        yield line, _object(path, text)


def _object(path: Path, text: str) -> dict[str, Any] | Broken:
    try:
        row = loads(text.rstrip("\r\n"))
    except JSONError as error:
        remedy = _several(path, text, error) or single_quotes(text)
        return amid(text, path) or Broken(error.message + remedy, text.rstrip("\r\n"), error.where)
    if not isinstance(row, dict):
        return Broken(f"must be a JSON object, got {json_type(row)} {excerpt(row)}", text.rstrip("\r\n"))
    return row


def _several(path: Path, text: str, error: JSONError) -> str:
    """Return the remedy for objects that stand one after another on a line; nothing for another fault."""
    if "Extra data" not in error.message:
        return ""
    try:
        _, end = json.JSONDecoder().raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return ""
    rest = text.lstrip()[end:].strip()
    if rest.startswith("{"):
        return f"; several objects stand on this line: write one per line: {rows_by('.', path)}"
    if rest == ",":
        return f"; a comma follows the object: remove it: sed 's/,[[:space:]]*$//' {typed(path)} > rows.jsonl"
    if rest.startswith(","):
        whole = f"(echo '['; cat {typed(path)}; echo ']') > rows.json"
        return f"; commas part the objects, as in an array: write brackets around them: {whole}"
    return ""


def _refuse_other_json(path: Path, line: int, text: str) -> None:
    begin = text.strip()
    if begin.startswith("["):
        flat = f"jq -c '.[]' {typed(path)} > rows.jsonl"
        fail(path, line, "", f"is a JSON array; name the file .json, or write one object per line: {flat}")
    if begin == "{" or (begin.startswith("{") and begin.endswith((",", "{", "[")) and not _is_whole(begin[:-1])):
        flat = f"jq -c . {typed(path)} > rows.jsonl"
        fail(path, line, "", f"is not JSON on one line: an object begins here that goes on below; flatten it: {flat}")


def _is_whole(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def single_quotes(text: str) -> str:
    """Return the remedy for text that is a Python value or escaped rather than JSON; nothing for other text."""
    import ast

    if '\\"' in text and _is_whole(text.replace('\\"', '"')):
        return "; a backslash stands before its quotes: leave it out"
    if "'" not in text or len(text) > 1 << 16:
        return ""
    try:
        value = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    if not isinstance(value, dict | list):
        return ""
    return "; it is a Python value with single quotes: write it as json.dumps(ast.literal_eval(text))"


def json_rows(path: Path, limit: int, layout: Layout) -> Rows:
    """Yield the objects of a ``.json`` file: of one array, as a stream, numbered from 1; or of one on each line.

    Raises:
        DataError: if the file is an object around a list, or its array does not end.
    """
    begin = _begin(path, layout)
    if begin.startswith("["):
        yield from array_rows(path, limit, layout)
        return
    _refuse_wrapped(path, layout)
    yield from jsonl_rows(path, limit, layout)


def array_rows(path: Path, limit: int, layout: Layout) -> Rows:
    """Yield the elements of an array, numbered from 1."""
    row = 0
    for row, text in enumerate(_elements(path, layout), start=1):
        if row == 1 and text.startswith("["):
            _refuse_arrays(path, text)
        if len(text) > limit:
            message = f"is longer than {limit:,} letters; split the record or raise data.init_args.max_line_bytes"
            yield row, Broken(message, text[:200])
        else:
            yield row, _object(path, text)


def _refuse_arrays(path: Path, text: str) -> None:
    """Refuse rows that are lists of cells, by the first of them."""
    try:
        cells = loads(text)
    except JSONError:
        return
    raise DataError(f"{path}: is a list of lists, whose cells have no names; give them names: {arrays(cells, path)}")


def _elements(path: Path, layout: Layout) -> Iterator[str]:
    """Yield the texts of an array's elements; commas and brackets within strings part nothing."""
    chunks = _chunks(path, layout)
    buffer = next(chunks, "").lstrip()[1:]
    start = at = depth = count = 0
    while True:
        match = _TOKEN.search(buffer, at)
        if match is None or (match[0][0] == '"' and match.end() == len(buffer)):
            more = next(chunks, None)
            if more is None:
                fail(path, count + 1, "", "is cut: the array does not end; was the file written to the end?")
            at = match.start() if match else len(buffer)
            buffer, at, start = buffer[start:] + more, at - start, 0
            continue
        at, mark = match.end(), match[0]
        if mark[0] == '"':
            continue
        if depth == 0 and mark in ",]":
            text = buffer[start : match.start()].strip()
            if text or mark == ",":
                count += 1
                yield text
            start = at
            if mark == "]":
                _refuse_more(path, buffer[at:], chunks)
                return
        else:
            depth += (mark in "[{") - (mark in "]}")


def _refuse_more(path: Path, rest: str, chunks: Iterator[str]) -> None:
    while not rest.strip():
        following = next(chunks, None)
        if following is None:
            return
        rest = following
    raise DataError(f"{path}: something follows the end of its array: {excerpt(rest.strip())}; remove it")


def _chunks(path: Path, layout: Layout) -> Iterator[str]:
    encoding = "utf-8-sig" if layout.is_utf8 else layout.encoding
    try:
        with path.open(encoding=encoding, newline="") as file:
            while text := file.read(_CHUNK):
                yield text
    except UnicodeError as error:
        remedy = "set data.init_args.encoding to windows-1252, or what it is"
        raise DataError(f"{path}: is not {layout.encoding}: {error}; {remedy}") from error


def _begin(path: Path, layout: Layout) -> str:
    """Return the text from the first letter on that is no white space, at least one line of it."""
    return next((text.lstrip() for text in _chunks(path, layout) if text.strip()), "")


def _refuse_wrapped(path: Path, layout: Layout) -> None:
    """Refuse an object that is the whole file, unless it is a row on its only line."""
    lines = (text for _, text in text_lines(path, 1 << 40, layout) if isinstance(text, str) and text.strip())
    first, alone = next(lines, ""), next(lines, None) is None
    try:
        whole, on_one_line = json.loads(first), True
    except ValueError:
        whole, on_one_line = _whole(path, layout), False
    if not isinstance(whole, dict) or (on_one_line and not alone):
        return
    # On one line an object with a text of its own is a row, whatever lists it has.
    row = on_one_line and any(isinstance(value, str) for value in whole.values())
    if found := shape_of(whole, path, alone=row):
        raise DataError(f"{path}: {found}")
    if not on_one_line:
        flat = f"jq -c . {typed(path)} > rows.jsonl"
        raise DataError(f"{path}: is one object, not a list of them; where it is a row: {flat}")


def _whole(path: Path, layout: Layout) -> Any:
    try:
        return json.loads("".join(_chunks(path, layout)))
    except (ValueError, RecursionError):
        return None
