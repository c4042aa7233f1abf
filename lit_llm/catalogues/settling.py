"""What becomes of the values of an answer that should be names of a catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from lit_llm.catalogues.catalogue import Catalogue
from lit_llm.catalogues.paths import FieldPath, Place, changed_at, field_path, path_name

Missing: TypeAlias = Literal["keep", "nearest"] | None
"""What becomes of a value that is no name of its catalogue: None makes null of it."""


class Rule(NamedTuple):
    """Where the names of a catalogue stand in an answer, and what becomes of others.

    Attributes:
        path: of the names.
        catalogue: what has them.
        missing: what becomes of others.
        most_distance: from which ``nearest`` takes a name.
    """

    path: FieldPath
    catalogue: Catalogue
    missing: Missing
    most_distance: float = 1.0

    def is_at(self, where: str) -> bool:
        """Whether a path such as ``purchases[0].product_name`` is one of this field."""
        items = re.sub(r'("(?:[^"\\]|\\.)*")|\[\d+\]', lambda match: match[1] or "[]", where)
        return field_path(items, "where") == self.path


def rules_of(meta: Mapping[str, Any]) -> list[Rule]:
    """Return the rules of a row: its meta has them under ``catalogues``, by the name of a field."""
    return [
        Rule(field_path(name, "catalogues"), Catalogue.opened(own["folder"]), own["missing"], own["most_distance"])
        for name, own in (meta.get("catalogues") or {}).items()
    ]


class Settled(NamedTuple):
    """What became of a value that was no name of its catalogue, to the letter.

    Attributes:
        where: its path in the answer, such as ``purchases[0].product_name``.
        written: the value that the model wrote.
        name: what stands in the answer now; None for null.
        known: whether the catalogue has it but for case and white space.
        nearest: the name that is most like it; None where nothing is alike.
        distance: of that name, from 0 to 1; see ``Near``.
    """

    where: str
    written: str
    name: str | None
    known: bool
    nearest: str | None
    distance: float | None

    def note(self) -> dict[str, Any]:
        """Return it as ``predictions.csv`` has it."""
        return {name: value for name, value in self._asdict().items() if name != "where"}


def settle(value: Any, rules: list[Rule]) -> tuple[Any, list[Settled]]:
    """Return an answer whose names are those of their catalogues, as far as the rules say, and what was changed or not.

    A name that the catalogue has but for case and white space is written as it has it. Of others, ``nearest`` makes the
    nearest name (null where none is near enough), ``keep`` leaves what was written, and None makes null.
    """
    found: list[Settled] = []
    for rule in rules:
        change = partial(_name, rule, found)
        value = changed_at(value, rule.path, change)
    return value, found


def _name(rule: Rule, found: list[Settled], written: str, place: Place) -> str | None:
    where, known = path_name(place), rule.catalogue.known(written)
    if known == written:
        return written
    if known is not None:
        found.append(Settled(where, written, known, True, known, 0.0))
        return known
    near = rule.catalogue.nearest(written)
    nearest, distance = near or (None, None)
    is_near = distance is not None and distance <= rule.most_distance
    name = written if rule.missing == "keep" else nearest if rule.missing == "nearest" and is_near else None
    found.append(Settled(where, written, name, False, nearest, distance))
    return name


def names_at(value: Any, path: FieldPath) -> list[str]:
    """Return the names that stand at a path of an answer, in order."""
    found: list[str] = []
    changed_at(value, path, lambda name, place: found.append(name))
    return found
