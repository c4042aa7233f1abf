"""Results of ``test`` and ``validate`` as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lit_llm.results import Result


@dataclass(frozen=True)
class Measured:
    """What a verb found.

    Attributes:
        result: as it lies in the run folder.
        current: whether the run still holds the weights that were measured.
    """

    result: Result
    current: bool

    @property
    def warnings(self) -> list[str]:
        """What to know before the scores are used: weights that have gone, baselines that are not beaten."""
        gone = f"{self.result.verb} measured weights that this run no longer holds: run it again"
        unbeaten = [
            f"{test}: {main} {own:.3f} does not beat {value:.3f} of the {name}"
            for test, main, own, values in self.result.unbeaten()
            for name, value in values.items()
        ]
        return [*([] if self.current else [gone]), *unbeaten]


def latest(results: Sequence[Result]) -> list[Result]:
    """Return the last result of each verb, ``test`` first; results come oldest first."""
    last = {result.verb: result for result in results}
    return [last[verb] for verb in ("test", "validate") if verb in last]
