"""A JSON schema from values: what a grammar can hold answers to, and what all the values satisfy."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

ENOUGH = 30
"""Values that a field needs before what they never are is taken for what they cannot be."""

MOST_CHOICES = 20
PER_CHOICE = 10
LONGEST_CHOICE = 40
LONGEST_BOUND = 400
MOST_DECIMALS = 4
MAP_KEYS = 30
"""Different keys from which an object may be a map, whose keys are data."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_KINDS: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
}

Schema = dict[str, Any]


@dataclass(frozen=True)
class Bounds:
    """What a schema says beyond types and keys.

    Attributes:
        numbers: least and greatest number, and how many decimals.
        texts: longest text, days as ``format: date``, and longest array.
        choices: ``enum`` where few values come again and again.
    """

    numbers: bool = True
    texts: bool = True
    choices: bool = True


def looser(bounds: Bounds) -> Bounds | None:
    """Return bounds that say less; None where nothing is left to take away."""
    for name in ("numbers", "texts", "choices"):
        if getattr(bounds, name):
            return replace(bounds, **{name: False})
    return None


def infer(values: Sequence[Any], bounds: Bounds | None = None) -> Schema:
    """Return the schema (Draft 2020-12) of some JSON values; every one of them satisfies it.

    Properties come in the order that most objects have, a key is required that all of them have, and no other key is
    allowed. Lengths and numbers are bounded with room for longer ones, so that no answer runs on for ever; the sign of
    a number, the least length and an ``enum`` are taken from at least ``ENOUGH`` values.
    """
    return _node(list(values), bounds or Bounds())


def kind_of(value: Any) -> str:
    """Return what JSON schema calls the type of a value; ``integer`` and ``number`` are told apart."""
    # Booleans are whole numbers to Python, and numbers may be of a class that keeps their digits.
    return "null" if value is None else next(name for kind, name in _KINDS.items() if isinstance(value, kind))


def key_order(orders: Iterable[tuple[str, ...]]) -> list[str]:
    """Return all keys in the commonest order; one that this lacks stands behind the key that it commonly follows."""
    merged: list[str] = []
    for order, _ in Counter(orders).most_common():
        place = 0
        for key in order:
            if key not in merged:
                merged.insert(place, key)
            place = merged.index(key) + 1
    return merged


def _node(values: list[Any], bounds: Bounds) -> Schema:
    kinds = Counter(map(kind_of, values))
    if {"integer", "number"} <= set(kinds):
        kinds["number"] += kinds.pop("integer")
    parts = {kind: _of_kind(kind, values, bounds) for kind in kinds if kind != "null"}
    if not parts:
        return {"type": "null"} if kinds else {}
    branches = list(parts.values())
    if len(branches) > 1:
        return {"anyOf": [*branches, {"type": "null"}] if "null" in kinds else branches}
    only = branches[0]
    if "null" in kinds:
        only["type"] = [only["type"], "null"]
        if "enum" in only:
            only["enum"].append(None)
    return only


def _of_kind(kind: str, values: list[Any], bounds: Bounds) -> Schema:
    own = [value for value in values if kind_of(value) == kind or (kind == "number" and kind_of(value) == "integer")]
    if kind == "string":
        return _text(own, bounds)
    if kind in ("integer", "number"):
        return _number(kind, own, bounds)
    if kind == "array":
        return _array(own, bounds)
    return _object(own, bounds) if kind == "object" else {"type": kind}


def _text(values: list[str], bounds: Bounds) -> Schema:
    found: Schema = {"type": "string"}
    if bounds.texts and len(values) >= 3 and all(map(_is_day, values)):
        return found | {"format": "date"}
    if bounds.choices and (choices := _choices(values)):
        return found | {"enum": choices}
    longest = max(map(len, values))
    if bounds.texts and longest <= LONGEST_BOUND:
        if len(values) >= ENOUGH and all(value.strip() for value in values):
            found["minLength"] = 1
        found["maxLength"] = _rounded(2 * longest, 10, least=20)
    return found


def _choices(values: list[str]) -> list[str] | None:
    """Return the values if they are few and come so often that another one is not to be expected."""
    counts = Counter(values)
    few = len(counts) <= min(MOST_CHOICES, len(values) // PER_CHOICE)
    # By Good and Turing, what was seen once tells how much is still unseen.
    often = min(counts.values()) >= 3
    if not (len(values) >= ENOUGH and few and often and max(map(len, counts)) <= LONGEST_CHOICE):
        return None
    return None if any(map(_is_day, counts)) else sorted(counts)


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _number(kind: str, values: list[float], bounds: Bounds) -> Schema:
    found: Schema = {"type": kind}
    if not bounds.numbers:
        return found
    limit = 10 ** (len(str(int(max(map(abs, values))))) + 1) - 1
    if limit > 10**15:
        return found
    signless = len(values) >= ENOUGH and min(values) >= 0
    found |= {"minimum": 0 if signless else -limit, "maximum": limit}
    decimals = max(_decimals(value) for value in values)
    if kind == "number" and len(values) >= ENOUGH and 0 < decimals <= MOST_DECIMALS:
        found["multipleOf"] = float(f"1e-{max(2, decimals)}")
    return found


def _decimals(value: float) -> int:
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _array(values: list[list[Any]], bounds: Bounds) -> Schema:
    found: Schema = {"type": "array"}
    if bounds.texts:
        if len(values) >= ENOUGH and all(values):
            found["minItems"] = 1
        found["maxItems"] = _rounded(2 * max(map(len, values)), 1, least=4)
    items = [item for value in values for item in value]
    return found | {"items": _node(items, bounds)}


def _object(values: list[dict[str, Any]], bounds: Bounds) -> Schema:
    counts = Counter(key for value in values for key in value)
    if len(counts) >= MAP_KEYS and max(counts.values()) < 0.5 * len(values):
        held = [item for value in values for item in value.values()]
        return {"type": "object", "additionalProperties": _node(held, bounds)}
    order = key_order(tuple(value) for value in values)
    properties = {key: _node([value[key] for value in values if key in value], bounds) for key in order}
    found: Schema = {"type": "object", "properties": properties}
    if required := [key for key in order if counts[key] == len(values)]:
        found["required"] = required
    return found | {"additionalProperties": False}


def _rounded(value: int, step: int, least: int) -> int:
    return max(least, math.ceil(value / step) * step)
