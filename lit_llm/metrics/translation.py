"""How close translations come to their references: sacrebleu's corpus scores, whole and by group."""

from __future__ import annotations

from collections.abc import Sequence

from lit_llm.errors import ConfigError
from lit_llm.metrics.corpus import SCORES, CorpusMetric, Translation, corpus_score, score_rows, streams


class TranslationMetrics(CorpusMetric):
    """Corpus scores of translations by sacrebleu, whole and by group.

    Rows without a reference are left out of scores and counted. ``compute`` returns what every ``CorpusMetric`` does,
    with scores such as ``chrfpp``.

    Args:
        task: rows of this task are scored.
        scores: which of ``chrfpp``, ``chrf``, ``bleu``, ``bleu_flores200`` and ``ter``; the first is the main one.
        by: facts to group by: ``direction``, ``dialect``, ``origin``, ``length`` or another key of the rows' meta.
    """

    def __init__(self, task: str = "translation", scores: list[str] | None = None, by: list[str] | None = None) -> None:
        super().__init__(task, ["direction"] if by is None else by)
        self.scores = ["chrfpp", "chrf", "bleu"] if scores is None else scores
        if unknown := [name for name in self.scores if name not in SCORES]:
            raise ConfigError(f"scores: {unknown[0]!r} is none of {', '.join(SCORES)}")
        if not self.scores:
            raise ConfigError("scores: name at least one, such as chrfpp")
        # Of TER, less is better.
        self.main = next((name for name in self.scores if name != "ter"), "")

    def measure(self, rows: Sequence[Translation]) -> dict[str, float]:
        """Return the scores of rows; those without a reference are left out."""
        return {name: score.value for name, score in score_rows(rows, self.scores).items()}

    def sign(self, rows: Sequence[Translation]) -> dict[str, str]:
        """Return sacrebleu's signature of each score."""
        references = streams(rows)[1]
        # What is scored decides nothing but the references; a text of one letter takes no time.
        short = [[None if text is None else "a" for text in stream] for stream in references]
        return {name: corpus_score(name, ["a"] * len(rows), short).signature for name in self.scores}
