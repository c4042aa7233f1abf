"""Names of fields, such as ``purchases[].product_name``."""

from __future__ import annotations

import json
import re
from typing import TypeAlias

from lit_llm.errors import ConfigError

FieldPath: TypeAlias = tuple[str | None, ...]
"""Keys, and None for any item of a list."""

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
