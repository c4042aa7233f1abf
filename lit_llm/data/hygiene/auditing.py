"""What is shown of the data before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.dataset import Split

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


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


def shown_rows(split: Split, tokenizer: PreTrainedTokenizerBase, count: int) -> list[list[tuple[str, bool]]]:
    """Return a few rows from all over a split, as text of each token and whether it is learned."""
    every = max(1, len(split.rows) // count)
    rows = [split.rows[at] for at in range(0, len(split.rows), every)[:count]]
    return [
        [
            (str(tokenizer.decode([token])), label != IGNORE)
            for token, label in zip(row.encoded.input_ids, row.encoded.labels, strict=True)
        ]
        for row in rows
    ]


def row_counts(split: Split) -> dict[str, int]:
    """Count the rows of a split, and those that were dropped, cut, or teach nothing."""
    name = split.name
    counts = {f"{name} rows": len(split.rows), f"{name} dropped": split.dropped}
    counts[f"{name} truncated"] = split.truncated
    if trimmed := split.trimmed:
        counts[f"{name} texts whose outer white space the template drops"] = trimmed
    if name == "train":
        counts["zero-label rows"] = split.unlabelled[0]
    return counts


def repeated_texts(splits: Mapping[str, Split]) -> dict[str, int]:
    """Count texts that training repeats, and those that validation shares with it."""
    train = splits["train"].text_keys()
    known = np.unique(train)
    found = {"duplicate texts in train": len(train) - len(known)}
    if "valid" in splits:
        found["valid texts also in train"] = int(np.isin(splits["valid"].text_keys(), known).sum())
    return found
