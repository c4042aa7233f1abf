"""Tables that are one JSON value, but no list of rows, and the command that makes rows of each."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lit_llm.strict_json import dumps
from lit_llm.wording import listed, typed

DEEPEST = 3
_NAMED = "transpose | map({key: .[0], value: .[1]}) | from_entries"


def rows_by(program: str, path: Path, name: str = "rows.jsonl") -> str:
    """Return the command that writes what a program of jq makes of a file."""
    return f"jq -c {shlex.quote(program)} {typed(path)} > {name}"


def shape_of(whole: Mapping[str, Any], path: Path, *, alone: bool = False) -> str | None:
    """Say what a table is that is written as one object, and how rows are made of it.

    Args:
        whole: the object.
        path: its file.
        alone: whether it may also be a row, so that only what no row looks like is taken for a table.

    Returns:
        None where it is none that is known.
    """
    for look in (_split, _columns_of_lists, _objects_of_objects):
        if found := look(whole, alone):
            said, program = found
            return f"{said}; make a row of each: {rows_by(program, path)}"
    return _lists(whole, path, 1 if alone else DEEPEST)


def arrays(first: Sequence[Any], path: Path) -> str:
    """Return the command for a list of lists, by the first of them."""
    if first and all(isinstance(cell, str) and cell.isidentifier() for cell in first):
        return rows_by(f".[0] as $names | .[1:][] | [$names, .] | {_NAMED}", path)
    cells = ", ".join(f'"column_{k + 1}": .[{k}]' for k in range(len(first)))
    return rows_by(f".[] | {{{cells}}}", path)


def _split(whole: Mapping[str, Any], alone: bool) -> tuple[str, str] | None:
    names, data = whole.get("columns"), whole.get("data")
    if not (isinstance(names, list) and isinstance(data, list) and data and isinstance(data[0], list)):
        return None
    return (
        f"holds names of columns and lists of cells ({listed(names)})",
        f".columns as $names | .data[] | [$names, .] | {_NAMED}",
    )


def _columns_of_lists(whole: Mapping[str, Any], alone: bool) -> tuple[str, str] | None:
    values = list(whole.values())
    if len(values) < 2 or not all(isinstance(value, list) and len(value) > 1 for value in values):
        return None
    if len({len(value) for value in values}) > 1 or all(is_table(value) for value in values):
        return None
    first = dumps(next(iter(whole)))
    said = f"holds a list for each column ({listed(whole)})"
    return said, f". as $all | range($all[{first}] | length) as $k | map_values(.[$k])"


def _objects_of_objects(whole: Mapping[str, Any], alone: bool) -> tuple[str, str] | None:
    values = list(whole.values())
    if not values or not all(isinstance(value, dict) and value for value in values):
        return None
    outer, inner = _numbers(whole), all(_numbers(value) and len(value) > 1 for value in values)
    if not outer and not inner and (alone or len(values) < 2 or any(set(v) != set(values[0]) for v in values)):
        return None
    if inner or (not outer and len(values[0]) > len(values)):
        first = dumps(next(iter(whole)))
        said = f"holds an object for each column ({listed(whole)}), with its cells by row"
        return said, f". as $all | ($all[{first}] | keys_unsorted[]) as $k | map_values(.[$k])"
    return f"holds rows by name ({listed(whole, 3)})", ".[]"


def _lists(whole: Mapping[str, Any], path: Path, deepest: int) -> str | None:
    found = list(_tables(whole, (), deepest))
    # Descriptions of columns are lists of objects too.
    found = [place for place in found if place[-1] not in ("features", "fields", "schema")] or found
    if not found or (deepest == 1 and len(found) > 1):
        return None
    place = found[0]
    program = "".join(f"[{dumps(name)}]" for name in place)
    rows: Any = whole
    for name in place:
        rows = rows[name]
    wrapped = all(set(row) >= {"row"} and isinstance(row["row"], dict) for row in rows)
    names = ".".join(place)
    around = f"the list {names!r}" if len(found) == 1 else f"lists ({listed('.'.join(name) for name in found)})"
    return f"is an object around {around}; take the list out: " + (
        rows_by(f".{program}[].row", path) if wrapped else f"jq {shlex.quote('.' + program)} {typed(path)} > rows.json"
    )


def _tables(value: Any, place: tuple[str, ...], deepest: int) -> Iterator[tuple[str, ...]]:
    if is_table(value):
        yield place
    elif isinstance(value, dict) and len(place) < deepest:
        for name, part in value.items():
            yield from _tables(part, (*place, name), deepest)


def is_table(value: Any) -> bool:
    """Return whether a value is a list of objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _numbers(names: Mapping[str, Any]) -> bool:
    return all(name.isdecimal() for name in names)
