"""What a check has found, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from lit_llm.errors import UserError
from lit_llm.wording import first_line

LONGEST = 400
"""Characters of what is told of an error."""

State = Literal["ok", "refused", "FAILS"]


class Finding(NamedTuple):
    """One line of the table.

    Attributes:
        check: what was tried.
        state: ``ok``; ``refused``, if a run would be, with its reason; ``FAILS``, if a run would go wrong.
        text: what was found; after a failure, what to do.
    """

    check: str
    state: State
    text: str


class WrongError(Exception):
    """Something was computed that should have been something else."""


REMEDIES = {
    "batches": "answer one row at a time (data.init_args.eval_batch_size: 1)",
    "sampled batches": "answer one row at a time (data.init_args.eval_batch_size: 1)",
    "gradients": "train with data.init_args.batch_size: 1 and trainer.accumulate_grad_batches",
    "NF4": "leave model.init_args.quantizer out",
    "int8": "leave model.init_args.quantizer out",
    "QAT": "leave model.init_args.qat out",
    "resume": "train in one go",
    "GGUF": "use export --merged",
}
"""What to do where a check fails; else there is another base."""


def tried(check: str, part: Callable[[], str], *, needed: bool = False) -> Finding:
    """Try something and tell what became of it.

    Args:
        check: its name.
        part: returns what was found.
        needed: whether nothing can be done with a base that is refused here.
    """
    try:
        return Finding(check, "ok", part())
    except UserError as error:
        return Finding(check, "FAILS" if needed else "refused", first_line(error, LONGEST))
    except Exception as error:  # other people's models may raise anything
        said = (
            first_line(error, LONGEST)
            if isinstance(error, WrongError)
            else f"{type(error).__name__}: {first_line(error, LONGEST)}"
        )
        return Finding(check, "FAILS", f"{said}; {REMEDIES.get(check, 'choose another base')}")
