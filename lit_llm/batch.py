"""The one contract between data and models: what a batch holds, with names, shapes and dtypes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lit_llm.strict_json import dumps

if TYPE_CHECKING:
    import torch
    from torch import Tensor

STATUSES = ("ok", "length", "invalid", "error")
"""What became of an answer; see ``Prediction``."""

IGNORE = -100
"""Label of a position that nothing is learned from (the convention of torch and transformers)."""

FILLER = ""
"""Id of a row that only evens out the batches of several processes: it carries no labels and is never counted."""


class _Movable:
    """Moves every tensor among a dataclass's fields, nested ones included."""

    def to(self, device: torch.device | str, **kwargs: Any) -> Any:
        """Return a copy on ``device``; keyword arguments are those of ``Tensor.to``."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **{k: v.to(device, **kwargs) for k, v in moved.items() if hasattr(v, "to")})  # type: ignore[type-var]


@dataclass
class Prompt(_Movable):
    """What generation starts from: the conversation up to the answer, padded on the left.

    Attributes:
        attention_mask: ``[B, P]`` int64, 0 on padding.
        input_ids: ``[B, P]`` int64, or None where ``inputs_embeds`` is given.
        inputs_embeds: ``[B, P, D]`` float, for prompts that are not text alone.
        slots: ``[B, P]`` bool, the positions that features or passages fill; None without either.
    """

    attention_mask: Tensor
    input_ids: Tensor | None = None
    inputs_embeds: Tensor | None = None
    slots: Tensor | None = None


@dataclass
class Features(_Movable):
    """Inputs that are not text: frames of clips, padded behind.

    Attributes:
        values: ``[B, F, C]`` float.
        mask: ``[B, F]`` bool, False on padding.
        downsample: how many frames, rounded up, one position of ``slots`` stands for.
    """

    values: Tensor
    mask: Tensor
    downsample: int


@dataclass
class Passages(_Movable):
    """Texts that rows are answered from, each held once, padded on the right.

    Attributes:
        input_ids: ``[N, T]`` int64.
        attention_mask: ``[N, T]`` int64, 0 on padding.
        rows: ``[B, D]`` int64, which of the ``N`` a row may be answered from, in their order; -1 where it has fewer.
        positives: ``[B, D]`` bool, which of those are known to hold the answer.
        question_ids: ``[B, Q]`` int64, the question alone, padded on the right.
        question_mask: ``[B, Q]`` int64, 0 on padding.
        reads: how many of its passages an answer is read from; 0 for all.
        keys: a name for the content of each of the ``N``.
        index: folder of an index in which the passages are looked for; then ``N`` and ``D`` are 0.
        blank: whether their vectors are to be zeros, to see what an answer owes to them.
    """

    input_ids: Tensor
    attention_mask: Tensor
    rows: Tensor
    positives: Tensor
    question_ids: Tensor
    question_mask: Tensor
    reads: int = 0
    keys: list[str] = field(default_factory=list)
    index: str = ""
    blank: bool = False


@dataclass
class Batch(_Movable):
    """Rows of one split, padded on the right.

    Attributes:
        ids: row ids, ``FILLER`` for rows that are not real.
        split: the name of the file group the rows come from: ``train``, ``valid``, ``known``, …
        task: the kind of task, such as ``extraction``; metrics are reported per task.
        attention_mask: ``[B, T]`` int64, 0 on padding.
        labels: ``[B, T]`` int64, the token at that position where it is learned, else ``IGNORE`` (not shifted).
        input_ids: ``[B, T]`` int64, or None where ``inputs_embeds`` is given.
        inputs_embeds: ``[B, T, D]`` float.
        position_ids: ``[B, T]`` int64 where rows are packed, else None.
        features: inputs that are not text; None where there are none.
        passages: texts that rows are answered from; None where there are none.
        slots: ``[B, T]`` bool, the positions of ``input_ids`` that features or passages fill, in order.
        prompt: what generation starts from; None in training batches.
        texts: the source text of each row, for people (a clip's id where the source is not text).
        references: what metrics compare with: a parsed JSON value for extraction, a string for translation.
        meta: a dict per row (schema, direction, dialect, …), written to predictions.csv as JSON.
        failed: why each row cannot be answered, in a batch of such rows, which has no prompt; else empty.
    """

    ids: list[str]
    split: str
    task: str
    attention_mask: Tensor
    labels: Tensor
    input_ids: Tensor | None = None
    inputs_embeds: Tensor | None = None
    position_ids: Tensor | None = None
    features: Features | None = None
    passages: Passages | None = None
    slots: Tensor | None = None
    prompt: Prompt | None = None
    texts: list[str] = field(default_factory=list)
    references: list[Any] = field(default_factory=list)
    meta: list[dict[str, Any]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def token_counts(self) -> Tensor:
        """``[3]``: tokens, learned tokens and positions, on the batch's device; counted once for all who ask."""
        import torch

        tokens = self.attention_mask.sum()
        # The first position of a row has nothing before it to be predicted from.
        learned = (self.labels[:, 1:] != IGNORE).sum()
        return torch.stack([tokens, learned, torch.full_like(tokens, self.attention_mask.numel())])


@dataclass
class Prediction:
    """One row of predictions.csv.

    Attributes:
        id: the row's id.
        text: its source text.
        prediction: the answer in its final form; empty where ``status`` is ``invalid`` or ``error``.
        reference: the expected answer as text; empty where there is none.
        status: ``ok``, ``length`` (stopped by the token limit), ``invalid`` (not of the task's form) or ``error``.
        error: why the row is not ``ok``.
        raw: the generated text as it came, but for what data settle, such as names of a catalogue.
        new_tokens: generated tokens, the stop token included.
        score: mean log-probability of the generated tokens.
        meta: the row's meta.
    """

    id: str
    text: str
    prediction: str
    reference: str
    status: str = "ok"
    error: str = ""
    raw: str = ""
    new_tokens: int = 0
    score: float = 0.0
    meta: dict[str, Any] = field(default_factory=dict)


def as_text(value: Any) -> str:
    """Return a reference as it is written: a string as it is, None as nothing, anything else as compact JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return dumps(value)
