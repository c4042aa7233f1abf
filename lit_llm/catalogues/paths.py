"""Names of fields, such as ``purchases[].product_name``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from lit_llm.errors import ConfigError

FieldPath: TypeAlias = tuple[str | None, ...]
"""Keys, and None for any item of a list."""

Place: TypeAlias = tuple[str | int, ...]
"""Keys, and positions in lists: where one value stands."""

_PLAIN_KEY = re.compile(r"[^\s.\[\]\"]+")
_PART = re.compile(r'\.?([^\s.\[\]"]+)|\[(\s*|"(?:[^"\\]|\\.)*")\]')


def field_path(name: str, setting: str) -> FieldPath:
    """Read the name of a field as reports write it: ``a.b[].c``, and ``["a key"]`` where a key is no plain word.

    Args:
        name: of the field.
        setting: where it was named, for the error.

    Raises:
        ConfigError: if it is no such name.
    """
    path: list[str | None] = []
    place = 0
    while match := _PART.match(name, place):
        key, item = match.groups()
        path.append(key if key is not None else json.loads(item) if item.strip() else None)
        place = match.end()
    if place != len(name) or not path:
        raise ConfigError(
            f"{setting}: {name!r} is no name of a field: write keys with dots and [] for the items of a list, "
            "such as purchases[].product_name"
        )
    return tuple(path)


def path_name(path: Place, field: bool = False) -> str:
    """Write a path as ``items[0].price``, or as the field ``items[].price``; the root is ``$``."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += "[]" if field else f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            name += f".{part}" if name else part
        else:
            name += f"[{json.dumps(part, ensure_ascii=False)}]"
    return name or "$"


def changed_at(value: Any, path: FieldPath, change: Callable[[str, Place], Any], place: Place = ()) -> Any:
    """Return a JSON value with what a function makes of each text at a field; all else is as it was.

    Args:
        value: the whole value.
        path: of the field.
        change: takes a text and where it stands.
        place: of the value itself.
    """
    if not path:
        return change(value, place) if isinstance(value, str) else value
    first, *rest = path
    if first is None and isinstance(value, list):
        return [changed_at(item, tuple(rest), change, (*place, at)) for at, item in enumerate(value)]
    if first is not None and isinstance(value, dict) and first in value:
        return value | {first: changed_at(value[first], tuple(rest), change, (*place, first))}
    return value
