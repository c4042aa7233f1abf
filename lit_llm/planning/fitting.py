"""What fits into a GPU: the largest batch, the longest rows, and which one change would make a plan fit."""

from __future__ import annotations

from typing import NamedTuple

from lit_llm.planning.memory import TIGHT, Plan

LEAST = {"batch": 1, "length": 64}
MOST = {"batch": 1024, "length": 131_072}
"""Below and beyond these nobody asks."""


ROUNDS = 4
"""Guesses at where it ends."""


class Change(NamedTuple):
    """One setting that could be another.

    Attributes:
        setting: as it is typed or written.
        needs: bytes with it.
    """

    setting: str
    needs: float


def largest(plan: Plan, room: float, what: str) -> int:
    """Return the largest ``batch`` or ``length`` of a plan, all else as it is, that fits; 0 if none does.

    Args:
        plan: the training.
        room: bytes of the GPU, of which ``TIGHT`` are filled.
        what: ``batch`` or ``length``.
    """
    limit = TIGHT * room
    known = {size: _needs(plan, what, size) for size in (LEAST[what], 4 * LEAST[what])}
    if known[LEAST[what]] > limit:
        return 0
    # What is needed grows in nearly straight lines, so that the nearest two points tell about where it ends.
    for _ in range(ROUNDS):
        size = _crossing(known, limit, MOST[what])
        if size in known:
            break
        known[size] = _needs(plan, what, size)
    return max(size for size, needed in known.items() if needed <= limit)


def changes(plan: Plan) -> list[Change]:
    """Return what single settings would change, the least memory first."""
    from lit_llm.adapters import LoRA
    from lit_llm.quantization import NF4

    found = []
    if plan.checkpointing is not True:
        found.append(("model.init_args.gradient_checkpointing: true", plan.changed(checkpointing=True)))
    if plan.batch > 1:
        times = plan.batch * plan.accumulates
        one = plan.changed(batch=1, accumulates=times)
        found.append((f"data.init_args.batch_size: 1 and trainer.accumulate_grad_batches: {times}", one))
    if plan.adapter.folder == "model":
        found.append(("model.init_args.adapter: lit_llm.adapters.LoRA", plan.changed(adapter=LoRA())))
    elif plan.quantizer is None:
        found.append(("model.init_args.quantizer: lit_llm.quantization.NF4", plan.changed(quantizer=NF4())))
    if plan.length > 1:
        found.append((f"data.init_args.max_length: {plan.length // 2}", plan.changed(length=plan.length // 2)))
    return sorted((Change(name, other.memory().total) for name, other in found), key=lambda change: change.needs)


def _needs(plan: Plan, what: str, size: int) -> float:
    return plan.changed(**{what: size}).memory().total


def _crossing(known: dict[int, float], limit: float, most: int) -> int:
    """Return where the line through the two sizes that are nearest to a limit meets it."""
    (one, first), (other, second) = sorted(known.items(), key=lambda pair: abs(pair[1] - limit))[:2]
    slope = (second - first) / (other - one)
    if slope <= 0:
        return most
    return min(most, max(min(known), int(one + (limit - first) / slope)))
