"""How things are put in lines for people: counts, paths in commands, long sentences, and messages of one kind."""

from __future__ import annotations

import re
import shlex
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

PLAIN_WIDTH = 80
"""Characters of a line where there is no terminal to ask."""

SHOWN_NAMES = 8

_QUOTED = re.compile(r"""(?<!\w)…?(?:'(?:[^'\\]|\\.)*'(?!\w)|"(?:[^"\\]|\\.)*"(?!\w)|['"][^;]*?…)…?""")
_NUMBER = re.compile(r"\b0x[0-9a-f]+|\d[\d.,]*(?<=\d)|\d")
_VALUE = re.compile(r", got (?!null)[^;]*")


def many(count: int, name: str, plural: str = "") -> str:
    """Return a count with its noun: ``1 row``, ``1,200 rows``."""
    return f"{count:,} {name if count == 1 else plural or f'{name}s'}"


def typed(path: Path | str) -> str:
    """Return a path as one types it in a shell, such that no program takes it for an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def listed(names: Iterable[object], most: int = SHOWN_NAMES) -> str:
    """Return the first names of a list, quoted, and how many more there are."""
    shown = [repr(name) for name in names]
    more = f", … ({len(shown) - most:,} more)" if len(shown) > most else ""
    return (", ".join(shown[:most]) or "none") + more


def some(names: Sequence[str], most: int) -> str:
    """Return the first names of a list as they are, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def first_line(error: Exception, most: int = 200) -> str:
    """Return the first line of what an error says, up to a number of characters; of one that says nothing, its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def width() -> int:
    """Return the characters of a line of this terminal; 80 without one."""
    return max(20, shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns)


def wrapped(text: str, indent: str = "", first: str | None = None, columns: int | None = None) -> str:
    """Break a line between words where it is wider than the terminal.

    Args:
        text: the line.
        indent: what its second and further lines begin with.
        first: what the first begins with; by default ``indent``.
        columns: characters of a line; by default those of the terminal.
    """
    return textwrap.fill(
        text,
        columns or width(),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def kind_of_message(message: str) -> str:
    """Return a message without what differs from row to row: quoted parts, values and numbers."""
    return _NUMBER.sub("#", _QUOTED.sub("…", _VALUE.sub("", message)))
