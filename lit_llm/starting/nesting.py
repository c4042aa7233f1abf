"""Rows that are there, but not as a task needs them: what they are, and the command that makes them so."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lit_llm.data.records.shapes import rows_by, shape_of
from lit_llm.errors import DataError
from lit_llm.paths import interpreter
from lit_llm.starting.columns import has_words, json_columns, text_columns
from lit_llm.starting.tables import Table
from lit_llm.strict_json import dumps
from lit_llm.wording import listed, many

MOST = 0.9
_TURNS = (("role", "content"), ("from", "value"))
_ASKS, _ANSWERS = ("user", "human", "prompter", "question"), ("assistant", "gpt", "bot", "model", "answer")
_FREE = ("json", "answer", "respuesta", "json_value")


def refuse_nested(table: Table, *, texts: int, values: bool) -> None:
    """Refuse rows whose columns stand within another.

    Args:
        table: the file.
        texts: columns of text that the task needs.
        values: whether it needs JSON values too.

    Raises:
        DataError: naming the shape and the command that flattens it.
    """
    rows, is_json = table.sample(), table.path.suffix.lower() != ".parquet"
    only = next(iter(table.raw.values()))
    if len(table.raw) == 1 and is_json and (found := shape_of(only, table.path, alone=_has_text(only))):
        raise DataError(f"{table.path}: {found}")
    for column in table.columns:
        if turns := _conversations(rows, column):
            raise DataError(f"{table.path}: {_flat_turns(table, column, *turns)}")
    if sum(has_words(rows, column) for column in table.columns) >= texts:
        return
    for column in table.columns:
        inner = [row[column] for row in rows if isinstance(row.get(column), dict)]
        if len(inner) >= MOST * len(rows) and _would_do(inner, texts, values):
            program = f"{_each(table)}del(.[{dumps(column)}]) + .[{dumps(column)}]"
            names = listed(dict.fromkeys(name for row in inner for name in row))
            raise DataError(
                f"{table.path}: the columns ({names}) stand within {column!r}; take them out: "
                f"{rows_by(program, table.path)}"
            )


def without_values(table: Table, text: str | None, named: str | None) -> str:
    """Say that answers are no JSON objects or arrays, and how they become some.

    Args:
        table: the file.
        text: column of the text; by default guessed.
        named: column that a user takes for the answers, None where no column could be.
    """
    rows = table.sample()
    partly = [] if named else json_columns(rows, table.columns, least=0.0)
    if partly:
        return f"no column holds JSON objects or arrays in most rows, {partly[0]!r} in some: name it with --json"
    asked = text or next(iter(text_columns(rows, table.columns, [named or ""])), None)
    others = [name for name in table.columns if name != asked]
    label = named or next(iter(sorted(others, key=lambda name: _different(rows, name) or len(rows))), None)
    said = f"no column holds JSON objects or arrays (there are {listed(table.columns)})"
    if label is None:
        return f'{said}; write the answers as JSON, such as {{"clase": "queja"}}{unread(table)}'
    value = next((row[label] for row in rows if row.get(label) not in (None, "")), "queja")
    said = f"{named!r} holds {dumps(value)[:60]} and the like, not JSON objects or arrays" if named else said
    example = dumps({label: value})
    return f"{said}; write the answers as JSON, such as {example[:80]}{_with_values(table, label)}{unread(table)}"


def unread(table: Table) -> str:
    """Say how many rows could not be read, and why the first could not; nothing where all could."""
    if not table.faults:
        return ""
    first = table.faults[0]
    return f"; {many(len(table.faults), 'row')} cannot be read, the first in line {first.line}: {first.message}"


def _with_values(table: Table, label: str) -> str:
    name = next((name for name in _FREE if name not in table.columns), "json_of_answer")
    suffix = table.path.suffix.lower()
    if suffix == ".parquet":
        return ""
    if suffix in (".jsonl", ".ndjson", ".json"):
        program = f"{_each(table)}. + {{{dumps(name)}: {{{dumps(label)}: .[{dumps(label)}]}}}}"
        return f": {rows_by(program, table.path)}"
    layout = table.layout
    encoding = "utf-8-sig" if layout.is_utf8 else layout.encoding
    source = f"open({dumps(str(table.path))}, newline={dumps('')}, encoding={dumps(encoding)})"
    settings = f"delimiter={dumps(layout.separator(table.path))}"
    if layout.quoting == "none":
        settings += ", quoting=csv.QUOTE_NONE"
    if isinstance(layout.header, tuple):
        settings += f", fieldnames={dumps(list(layout.header))}"
    row = f"dict(r, {name}={{{dumps(label)}: r[{dumps(label)}]}})"
    read = f"csv.DictReader({source}, {settings})"
    code = f"import csv, json; [print(json.dumps({row}, ensure_ascii=False)) for r in {read}]"
    return f": {interpreter()} -X utf8 -c {shlex.quote(code)} > rows.jsonl"


def _each(table: Table) -> str:
    """Return what a program of jq begins with where the file is one array."""
    with table.path.open("rb") as file:
        return ".[] | " if file.read(1 << 12).lstrip().startswith(b"[") else ""


def _has_text(row: Mapping[str, Any]) -> bool:
    return any(isinstance(value, str) and value.strip() for value in row.values())


def _different(rows: Sequence[Mapping[str, Any]], column: str) -> int:
    return len({str(row[column]) for row in rows if row.get(column) not in (None, "")})


def _would_do(rows: Sequence[Mapping[str, Any]], texts: int, values: bool) -> bool:
    names = list(dict.fromkeys(name for row in rows for name in row))
    json = json_columns(rows, names) if values else []
    return len(text_columns(rows, names, json)) >= texts and bool(json or not values)


def _conversations(rows: Sequence[Mapping[str, Any]], column: str) -> tuple[str, str] | None:
    """Return the names of speaker and text where a column holds lists of turns."""
    filled = [row[column] for row in rows if row.get(column)]
    for who, what in _TURNS:
        whole = [turns for turns in filled if isinstance(turns, list) and all(map(_is_turn(who, what), turns))]
        speakers = {str(turn[who]) for turns in whole for turn in turns}
        # People who are listed in an answer have roles too, but others.
        if len(whole) == len(filled) and speakers & set(_ASKS) and speakers & set(_ANSWERS):
            return who, what
    return None


def _is_turn(who: str, what: str) -> Any:
    return lambda turn: isinstance(turn, dict) and who in turn and what in turn


def _flat_turns(table: Table, column: str, who: str, what: str) -> str:
    speakers = {str(turn[who]) for row in table.sample() for turn in row.get(column) or ()}
    asks = next(name for name in _ASKS if name in speakers)
    answers = next(name for name in _ANSWERS if name in speakers)
    parts = {name: f'(map(select(.{who} == "{role}"))[0].{what})' for name, role in (("text", asks), ("json", answers))}
    turns = ", ".join(f"{name}: {part}" for name, part in parts.items())
    program = f"{_each(table)}del(.[{dumps(column)}]) + (.[{dumps(column)}] | {{{turns}}})"
    return (
        f"{column!r} holds conversations, where a row has a column for what is asked and one for the answer; take the "
        f"first question and its answer out of each: {rows_by(program, table.path)}"
    )
