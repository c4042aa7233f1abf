"""Values that are unlike almost all others of their file: slips, most probably, which would loosen a schema."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from lit_llm.starting.schemas import kind_of

CROWD = 100
"""Values that a field needs before a few others are odd."""

RARE = 0.005
"""Most that odd values are of all, but for one, which may always be odd."""


def oddities(values: Sequence[Any]) -> dict[int, tuple[str, str]]:
    """Return field and reason by the place of a value that is odd.

    Odd is a field whose type hardly any other value has there, and a key that stands in one value alone while that
    lacks one which is written almost alike. Null is never odd.
    """
    kinds: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    keys: defaultdict[str, defaultdict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    lacking: dict[tuple[str, str, int], set[str]] = {}
    for place, value in enumerate(values):
        for path, node in _walk(value, ""):
            kinds[path][kind_of(node)].append(place)
            for key in node if isinstance(node, dict) else ():
                keys[path][key].append(place)
                lacking[path, key, place] = set(node)
    return _odd_keys(keys, lacking) | _odd_kinds(kinds)


def _walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, f"{path}[]")


def _odd_kinds(kinds: defaultdict[str, defaultdict[str, list[int]]]) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for path, by_kind in kinds.items():
        whole = _merged(by_kind)
        total = sum(map(len, whole.values()))
        common = max(whole, key=lambda kind: len(whole[kind]))
        for kind, places in whole.items():
            if kind not in ("null", common) and total >= CROWD and len(places) <= max(1, RARE * total):
                reason = f"is {_article(kind)}, where {len(whole[common]):,} others are {_article(common)}"
                found |= {place: (path, reason) for place in places}
    return found


def _merged(by_kind: dict[str, list[int]]) -> dict[str, list[int]]:
    """Return the places by kind, whole numbers among the numbers."""
    whole = {kind: places for kind, places in by_kind.items() if kind != "integer"}
    if "integer" in by_kind:
        whole["number"] = [*by_kind["integer"], *by_kind.get("number", [])]
    return whole


def _article(kind: str) -> str:
    return "null" if kind == "null" else f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def _odd_keys(
    keys: defaultdict[str, defaultdict[str, list[int]]], lacking: dict[tuple[str, str, int], set[str]]
) -> dict[int, tuple[str, str]]:
    found = {}
    for path, by_key in keys.items():
        common = [key for key, places in by_key.items() if len(places) >= CROWD]
        for key, places in by_key.items():
            near = get_close_matches(key, common, n=1, cutoff=0.75) if len(places) == 1 else []
            if near and near[0] not in lacking[path, key, places[0]]:
                where = f"{path}.{key}".lstrip(".")
                found[places[0]] = (where, f"stands in this row alone; did you mean {near[0]!r}?")
    return found
