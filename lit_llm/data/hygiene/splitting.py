"""Training, validation and test splits that share nothing: neither twins nor documents are torn apart."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

from lit_llm.data.hygiene.duplicates import NEAR, Folded, linked
from lit_llm.errors import ConfigError


def clusters(
    sides: Mapping[str, Sequence[str]], together: Sequence[Sequence[str]] = (), near: float = NEAR
) -> list[list[int]]:
    """Return the places of rows that have to stay in one split, each row in one cluster.

    Args:
        sides: ``[N]`` texts of each side; rows are linked whose texts of one side are exact or near duplicates.
        together: ``[N]`` values each, such as documents; rows with the same value are linked, blank ones are not.
        near: least similarity of near duplicates.
    """
    count = len(next(iter(sides.values())))
    groups = [[place] for place in range(count)]
    for texts in sides.values():
        folded = Folded(texts)
        groups += folded.clusters(folded.twins(near))
    for values in together:
        same: defaultdict[str, list[int]] = defaultdict(list)
        for place, value in enumerate(values):
            if value.strip():
                same[value].append(place)
        groups += same.values()
    return linked(groups)


def split(found: Sequence[Sequence[int]], parts: Mapping[str, float], seed: int = 0) -> dict[str, list[int]]:
    """Deal clusters out to splits.

    Clusters come in random order. Each goes to the first part that has room for all of it, else to ``train``, so that a
    part never holds more than its share, and falls short of it by less than the largest cluster that it turned away.

    Args:
        found: places of rows, by cluster.
        parts: share of the rows that each split besides ``train`` gets; one with 0 is left out.
        seed: of the order.

    Returns:
        The places of each split, ``train`` first, in rising order.

    Raises:
        ConfigError: if the shares leave nothing to train on, or a split stays empty.
    """
    parts = {name: share for name, share in parts.items() if share}
    if not parts or min(parts.values()) < 0 or sum(parts.values()) >= 1:
        raise ConfigError(f"split: shares {dict(parts)} must be above 0, and below 1 together")
    rows = sum(map(len, found))
    # Small clusters could be drawn first to meet the shares exactly, but tests would then lack what has variants.
    room = {name: round(share * rows) for name, share in parts.items()}
    dealt: dict[str, list[int]] = {"train": [], **{name: [] for name in parts}}
    for cluster in random.Random(seed).sample(list(found), len(found)):
        name = next((name for name, left in room.items() if len(cluster) <= left), "train")
        dealt[name] += cluster
        if name in room:
            room[name] -= len(cluster)
    if empty := [name for name, places in dealt.items() if not places]:
        largest = max(map(len, found))
        raise ConfigError(
            f"split: {empty[0]} stays empty: {rows} rows form {len(found)} clusters, the largest of {largest} rows; "
            "raise its share, raise --near, or keep fewer rows together"
        )
    return {name: sorted(places) for name, places in dealt.items()}
