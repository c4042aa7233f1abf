"""What is shown of the data before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lit_llm.data.dataset import Split


@dataclass
class AuditReport:
    """What the label audit shows before the first step.

    Attributes:
        counts: rows per split, truncated, dropped and zero-label rows, duplicates and overlaps, by name.
        samples: for a few rows, its tokens as text and whether each is learned.
        notes: lines to print, such as the plan of a mixture.
    """

    counts: dict[str, int]
    samples: list[list[tuple[str, bool]]]
    notes: list[str] = field(default_factory=list)


def repeated_texts(splits: Mapping[str, Split]) -> dict[str, int]:
    """Count texts that training repeats, and those that validation shares with it."""
    texts = {name: [e.text.casefold().strip() for e in split.examples] for name, split in splits.items()}
    train = texts["train"]
    found = {"duplicate texts in train": len(train) - len(set(train))}
    if "valid" in texts:
        known = set(train)
        found["valid texts also in train"] = sum(text in known for text in texts["valid"])
    return found
