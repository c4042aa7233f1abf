"""Training, validation and test rows of a first run; what is alike or belongs together stays together."""

from __future__ import annotations

from collections.abc import Sequence

from lit_llm.data.hygiene.splitting import clusters, split
from lit_llm.errors import ConfigError, DataError
from lit_llm.starting.plan import Plan

SHARES = {"valid": 0.1, "test": 0.1}
FEWEST = 3
"""Rows without which there is nothing to divide."""


def divide(plan: Plan, seed: int) -> dict[str, list[int]]:
    """Return the places of the rows of each split, and add what was found to the plan.

    Raises:
        DataError: if fewer than three groups of rows are left.
    """
    sides = {name: [str(row.get(name) or "") for row in plan.rows] for name in plan.compared}
    together = [[str(row.get(name) or "") for row in plan.rows] for name in plan.together]
    found = clusters(sides or {"": ["" for _ in plan.rows]}, together)
    # Of ten rows, a tenth is one; of fewer, one is more than a tenth.
    shares = {name: max(share, 1 / len(plan.rows)) for name, share in SHARES.items()}
    try:
        dealt = split(found, shares, seed)
    except ConfigError:
        dealt = _by_clusters(found)
    largest = max(map(len, found))
    if largest > 1:
        plan.findings.append(
            f"{len(found):,} groups of rows that are alike or belong together, the largest of {largest:,}; each is in "
            "one split"
        )
    return dealt


def _by_clusters(found: Sequence[Sequence[int]]) -> dict[str, list[int]]:
    """Deal out the largest clusters to training and one of the smallest each to the other splits."""
    if len(found) < FEWEST:
        raise DataError(
            f"split: all rows form {len(found)} group{'s' * (len(found) > 1)} that are nearly the same or belong "
            "together; three are needed for training, validation and test: add rows that differ"
        )
    rising = sorted(found, key=len)
    train = sorted(place for cluster in rising[2:] for place in cluster)
    return {"train": train, "valid": sorted(rising[0]), "test": sorted(rising[1])}
