"""Rows become a batch of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from lit_llm.batch import FILLER, IGNORE, Batch, Features, Prompt

if TYPE_CHECKING:
    from torch import Tensor

    from lit_llm.data.tokens.dataset import Row


def collate(
    rows: Sequence[Row],
    split: str,
    task: str,
    pad: int,
    multiple: int = 1,
    *,
    generate: bool = False,
    downsample: int = 0,
) -> Batch:
    """Join rows into a batch, padded on the right; with ``generate`` also their prompts, padded on the left.

    Args:
        rows: encoded rows; one without an example carries no labels and the id ``FILLER``.
        split: what the batch calls its split.
        task: of the rows.
        pad: id of the padding token.
        multiple: the width ``T`` is a multiple of this.
        generate: whether prompts are needed.
        downsample: how many frames of a row's features a position stands for; 0 where rows are text alone.

    Rows that cannot be answered are never joined with others: they have neither a prompt nor features.
    """
    failed = [row.example.error for row in rows if row.example and row.example.error]
    if failed:
        generate, downsample = False, 0
    slotted = not failed and any(row.encoded.slots is not None for row in rows)
    longest = max(len(row.encoded.input_ids) for row in rows)
    width = -(-longest // multiple) * multiple
    real = [row.example for row in rows]
    return Batch(
        ids=[e.id if e else FILLER for e in real],
        split=split,
        task=task,
        input_ids=padded([row.encoded.input_ids for row in rows], width, pad),
        attention_mask=padded([[1] * len(row.encoded.input_ids) for row in rows], width, 0),
        # A row that only fills a batch must not move the loss.
        labels=padded([row.encoded.labels if row.example else [] for row in rows], width, IGNORE),
        features=_features(rows, downsample) if downsample else None,
        slots=_slots(rows, width) if slotted else None,
        prompt=_prompt(rows, pad, slotted=slotted) if generate else None,
        texts=[e.text if e else "" for e in real],
        references=[e.reference if e else None for e in real],
        meta=[_meta(row) for row in rows],
        failed=[row.example.error if row.example else "" for row in rows] if failed else [],
    )


def pack(rows: Sequence[Row], split: str, task: str, pad: int, multiple: int = 1) -> Batch:
    """Join rows of text into one row ``[1, T]``, each behind the other, whose positions begin anew with each of them.

    Args:
        rows: encoded rows; one without an example carries no labels.
        split: what the batch calls its split.
        task: of the rows.
        pad: id of the padding token, which fills the end alone.
        multiple: the width ``T`` is a multiple of this.
    """
    ids: list[int] = []
    labels: list[int] = []
    places: list[int] = []
    for row in rows:
        own = row.encoded.input_ids
        ids += own
        # Nothing stands before a row's first token that it could be predicted from.
        labels += [IGNORE, *(row.encoded.labels[1:] if row.example else [IGNORE] * (len(own) - 1))]
        places += range(len(own))
    width = -(-len(ids) // multiple) * multiple
    # Padding goes on as the last row: a row of its own would be one that attends to nothing.
    places += range(places[-1] + 1, places[-1] + 1 + width - len(ids))
    real = [row.example for row in rows]
    return Batch(
        ids=[e.id if e else FILLER for e in real],
        split=split,
        task=task,
        input_ids=padded([ids], width, pad),
        attention_mask=padded([[1] * len(ids)], width, 0),
        labels=padded([labels], width, IGNORE),
        position_ids=torch.tensor([places]),
        texts=[e.text if e else "" for e in real],
        references=[e.reference if e else None for e in real],
        meta=[_meta(row) for row in rows],
    )


def _meta(row: Row) -> dict[str, Any]:
    cut = {"truncated": True} if row.encoded.truncated else {}
    return row.example.meta | cut if row.example else {}


def _prompt(rows: Sequence[Row], pad: int, *, slotted: bool) -> Prompt:
    prompts = [row.encoded.prompt_ids for row in rows]
    width = max(map(len, prompts))
    lengths = [row.encoded.prompt_length for row in rows]
    return Prompt(
        input_ids=padded(prompts, width, pad, left=True),
        attention_mask=padded([[1] * length for length in lengths], width, 0, left=True),
        slots=_slots(rows, width, lengths) if slotted else None,
    )


def _features(rows: Sequence[Row], downsample: int) -> Features:
    frames = [torch.from_numpy(row.features) for row in rows]
    values = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True)
    mask = torch.arange(values.shape[1]) < torch.tensor([[len(row)] for row in frames])
    return Features(values, mask, downsample)


def _slots(rows: Sequence[Row], width: int, lengths: Sequence[int] | None = None) -> Tensor:
    """Mark the positions that vectors fill; with lengths, in sequences so long that are padded on the left."""
    slots = torch.zeros(len(rows), width, dtype=torch.bool)
    for at, row in enumerate(rows):
        start = width - lengths[at] if lengths else 0
        slots[at, [start + place for place in row.encoded.slots or []]] = True
    return slots


def padded(rows: list[list[int]], width: int, value: int, *, left: bool = False) -> Tensor:
    """Return rows of numbers as one tensor ``[B, width]``, filled up behind, or before, with a value."""
    filled = [[value] * (width - len(r)) + r if left else r + [value] * (width - len(r)) for r in rows]
    return torch.tensor(filled, dtype=torch.long)
