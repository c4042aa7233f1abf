"""How long rows, answers and a first run may be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lit_llm.starting.bases import Base
from lit_llm.starting.lengths import Lengths
from lit_llm.starting.measuring import Pace

FEW = 200
"""Rows below which scores say little."""

PRESENTED = 12_000
"""Rows that a tiny base has to see, each counted as often as it is learned from."""

MOST_EPOCHS = 30
VALIDATIONS = 6
VALIDATED = 0.2
"""Share of the time that validation may take where the time is too short for an epoch."""

FEWEST_STEPS = 10


@dataclass(frozen=True)
class Budget:
    """Lengths and times of a run.

    Attributes:
        max_length: most tokens of a row.
        longest: tokens of the longest row, for the comment.
        max_new_tokens: most tokens of an answer.
        longest_answer: tokens of the longest answer, for the comment.
        batch_size: rows of a step.
        eval_batch_size: rows answered together.
        epochs: times that each row is learned from.
        rows: of training; 0 where that is not known.
        most_steps: after which the run ends amid its first epoch; 0 for no such end.
        answered: batches of validation rows that are answered; 0 for all of them.
    """

    max_length: int
    longest: int
    max_new_tokens: int
    longest_answer: int
    batch_size: int = 8
    eval_batch_size: int = 32
    epochs: int = 1
    rows: int = 0
    most_steps: int = 0
    answered: int = 0

    @property
    def validations_every(self) -> int:
        """Epochs between two validations."""
        return math.ceil(self.epochs / VALIDATIONS)

    def steps(self, rows: int) -> int:
        """Return the optimizer steps over that many training rows."""
        return self.most_steps or self.epochs * math.ceil(rows / self.batch_size)

    @property
    def log_every(self) -> int:
        """Steps between two lines of the log, no more than there are in an epoch."""
        batches = [math.ceil(self.rows / self.batch_size)] * bool(self.rows) + [self.most_steps] * bool(self.most_steps)
        return min([10, *batches])


def budget_for(task: str, base: Base, lengths: Lengths, rows: int) -> Budget:
    """Return what a run of a task needs.

    Args:
        task: ``extraction``, ``translation`` or ``sign``.
        base: what learns.
        lengths: of all rows.
        rows: of training.
    """
    longest, answer = max(lengths.whole), max(lengths.answers)
    epochs = 3 if rows < 5000 else 1
    if base.tiny:
        epochs = min(MOST_EPOCHS, max(1, math.ceil(PRESENTED / rows)))
    # Of few rows, another one is likelier to be longer than all of them.
    room = 1.2 if len(lengths.whole) >= FEW else 1.5
    return Budget(
        max_length=_rounded(longest * room, 32),
        longest=longest,
        max_new_tokens=_rounded(answer * room, 16),
        longest_answer=answer,
        batch_size=min(8 if task == "extraction" else 16, max(1, rows // 4)),
        eval_batch_size=64 if longest <= 512 else 16,
        epochs=epochs,
        rows=rows,
    )


def within(budget: Budget, pace: Pace | None, sizes: Mapping[str, int], lengths: Lengths, minutes: float) -> Budget:
    """Return as many epochs of the budget as the time allows, and part of one where it does not allow one."""
    while pace and budget.epochs > 1 and seconds(budget, pace, sizes, lengths) > 60 * minutes:
        budget = replace(budget, epochs=budget.epochs - 1)
    if pace is None or seconds(budget, pace, sizes, lengths) <= 60 * minutes:
        return budget
    batch = max(1e-9, pace.answer(_usual_most(lengths.answers)))
    answered = min(_answer_batches(budget, sizes), max(1, int(VALIDATED * 60 * minutes / batch)))
    left = 60 * minutes - pace.seconds(0, 1, answered, _usual_most(lengths.answers))
    steps = max(FEWEST_STEPS, int(left / max(1e-9, pace.step)))
    if answered == _answer_batches(budget, sizes):
        answered = 0
    epoch = budget.steps(sizes["train"])
    return replace(budget, answered=answered, most_steps=steps if steps < epoch else 0)


def seconds(budget: Budget, pace: Pace, sizes: Mapping[str, int], lengths: Lengths) -> float:
    """Return what a run takes at a pace.

    Args:
        budget: of the run.
        pace: what was measured.
        sizes: rows of ``train`` and ``valid``.
        lengths: of all rows.
    """
    batches = budget.answered or _answer_batches(budget, sizes)
    validations = budget.epochs // budget.validations_every
    return pace.seconds(budget.steps(sizes["train"]), validations, batches, _usual_most(lengths.answers))


def seconds_of_test(budget: Budget, pace: Pace, sizes: Mapping[str, int], lengths: Lengths) -> float:
    """Return what answering the test rows takes at a pace."""
    return pace.seconds(0, 1, _answer_batches(budget, sizes, "test"), _usual_most(lengths.answers))


def _answer_batches(budget: Budget, sizes: Mapping[str, int], split: str = "valid") -> int:
    return math.ceil(sizes[split] / budget.eval_batch_size)


def _usual_most(lengths: Sequence[int]) -> int:
    """Return a length that the longest of a batch commonly has."""
    return sorted(lengths)[int(0.95 * (len(lengths) - 1))]


def _rounded(value: float, step: int) -> int:
    return math.ceil(value / step) * step
