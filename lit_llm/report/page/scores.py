"""Results of ``test`` and ``validate`` as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lit_llm.results import Result

MAIN = ("field_f1", "exact_match", "chrfpp", "chrf", "bleu", "bleu4", "rouge_l")
"""Scores that say most, the one that says more first; those that a run has are drawn and stand at the top."""


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
    def metrics(self) -> list[str]:
        """Names of all scores, those that say most first."""
        names = list(dict.fromkeys(name for values in self.result.scores.values() for name in values))
        return [*(name for name in MAIN if name in names), *(name for name in names if name not in MAIN)]

    @property
    def main(self) -> str:
        """The score that says most; empty where there is none."""
        return next(iter(self.metrics), "")

    @property
    def baselines(self) -> list[str]:
        """Names of the baselines that were measured beside the model."""
        return list(dict.fromkeys(name for found in self.result.baselines.values() for name in found))

    @property
    def warnings(self) -> list[str]:
        """What to know before the scores are used: weights that have gone, baselines that are not beaten."""
        gone = f"{self.result.verb} measured weights that this run no longer holds: run it again"
        return [*([] if self.current else [gone]), *self._unbeaten()]

    def _unbeaten(self) -> list[str]:
        found = []
        for file, baselines in self.result.baselines.items():
            own = self.result.scores.get(file, {}).get(self.main)
            for name, values in baselines.items():
                theirs = values.get(self.main)
                if own is not None and theirs is not None and own <= theirs:
                    found.append(f"{file}: {self.main} {own:.3f} does not beat {theirs:.3f} of the {name}")
        return found


def latest(results: Sequence[Result]) -> list[Result]:
    """Return the last result of each verb, ``test`` first; results come oldest first."""
    last = {result.verb: result for result in results}
    return [last[verb] for verb in ("test", "validate") if verb in last]
