"""Why rows are left out: which field is at fault, in words of this command, and each kind of fault once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lit_llm.data.records.faults import Fault
from lit_llm.starting.plan import Plan
from lit_llm.strict_json import dumps
from lit_llm.wording import kind_of_message, many, wrapped

SHOWN = 8
_TOKEN = re.compile(r"control token '((?:[^'\\]|\\.)*)'")
_NAMED = re.compile(r"field '((?:[^'\\]|\\.)*)'")
_OPTION = re.compile(r"data\.init_args\.(delimiter|encoding|quoting|header)")
_NO_OPTION = re.compile(r" or raise data\.init_args\.max_line_bytes|;? ?raise data\.init_args\.max_line_bytes")


def as_options(text: str) -> str:
    """Return what is said of settings of a run file with the options that are typed here in their place."""
    return _OPTION.sub(r"--\1", _NO_OPTION.sub("", text))


def told(faults: Iterable[Fault]) -> list[Fault]:
    """Return faults whose remedies can be typed here."""
    return [replace(fault, message=as_options(fault.message)) for fault in faults]


def field_of(plan: Plan, row: dict[str, Any], fault: str) -> str:
    """Return the column that a fault of a row is about: the one it names, that holds its token, or the longest."""
    if named := _NAMED.search(fault):
        return named[1]
    texts = {name: value if isinstance(value, str) else dumps(value) for name, value in row.items()}
    if token := _TOKEN.search(fault):
        holding = [name for name, text in texts.items() if token[1] in text]
        if holding:
            return holding[0]
    own = [*plan.compared, plan.settings.get("json_field", "")]
    return max((name for name in own if name in texts), key=lambda name: len(texts[name]), default="text")


def by_kind(faults: Sequence[Fault]) -> list[list[Fault]]:
    """Return faults in groups that differ in values alone, the largest group first."""
    groups: defaultdict[tuple[str, str], list[Fault]] = defaultdict(list)
    for fault in faults:
        groups[_column(fault), kind_of_message(fault.message)].append(fault)
    return sorted(groups.values(), key=len, reverse=True)


def lines_of(faults: Sequence[Fault], most: int = SHOWN) -> list[str]:
    """Return a line or more for each kind of fault: how many there are, and the first of them in full."""
    groups = by_kind(faults)
    lines = []
    for group in groups[:most]:
        first = min(group, key=lambda fault: fault.line)
        about = f"{_column(first)}: " if first.field else ""
        where = "line" if len(group) == 1 else "first in line"
        said = f"{about}{first.message} ({where} {first.line:,})"
        lines.append(wrapped(said, indent=" " * 9, first=f"  {len(group):>5,}  "))
    if left := len(groups) - most:
        lines += [f"         and {many(left, 'other kind')}"] * (left > 0)
    return lines


def _column(fault: Fault) -> str:
    """Return the column of a fault, without the path within its value."""
    return re.split(r"[.\[]", fault.field)[0] or fault.field
