"""Models that think before they answer: where a thought ends and the answer begins."""

from __future__ import annotations

import re
from collections.abc import Iterator

OPEN, CLOSE = "<think>", "</think>"
"""What stands around a thought."""

MOST = 8


def after_thoughts(text: str) -> Iterator[str]:
    """Yield what stands behind each end of a thought; which of them is an end may only show in what follows.

    The last one is what an answer is looked for in. Of a text that goes round in circles, the ends in its middle are
    left out.
    """
    ends = [match.end() for match in re.finditer(re.escape(CLOSE), text)]
    for end in ends if len(ends) <= 2 * MOST else [*ends[:MOST], *ends[-MOST:]]:
        yield text[end:]


def unfinished(text: str) -> int | None:
    """Return where a thought begins that does not end; None where there is none."""
    at = text.rfind(OPEN)
    return at if at >= 0 and CLOSE not in text[at:] else None


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends within a thought, which the model is to go on with."""
    return unfinished(prompt) is not None
