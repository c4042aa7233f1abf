"""What is shown of the data before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.dataset import Row, Split

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
    rows = split.rows[:: max(1, len(split.rows) // count)][:count]
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
    counts[f"{name} truncated"] = sum(row.encoded.truncated for row in split.rows)
    if trimmed := sum(row.encoded.trimmed for row in split.rows):
        counts[f"{name} texts whose outer white space the template drops"] = trimmed
    if name == "train":
        counts["zero-label rows"] = len(unlabelled(split))
    return counts


def unlabelled(split: Split) -> list[Row]:
    """Return the rows of which no token is learned."""
    return [row for row in split.rows if row.encoded.labels.count(IGNORE) == len(row.encoded.labels)]


def repeated_texts(splits: Mapping[str, Split]) -> dict[str, int]:
    """Count texts that training repeats, and those that validation shares with it."""
    texts = {name: [e.text.casefold().strip() for e in split.examples] for name, split in splits.items()}
    train = texts["train"]
    found = {"duplicate texts in train": len(train) - len(set(train))}
    if "valid" in texts:
        known = set(train)
        found["valid texts also in train"] = sum(text in known for text in texts["valid"])
    return found
