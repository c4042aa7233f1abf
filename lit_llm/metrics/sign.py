"""How close translations of sign language come to their references, in the conventions of that field."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from lit_llm.metrics.corpus import CorpusMetric, Translation, corpus_score, nfc, streams

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

ORDERS = (1, 2, 3, 4)
"""Longest n-grams of the four BLEU scores."""

BETA = 1.2
"""Weight of recall in the field's ROUGE-L."""


def rouge_l(hypothesis: str, reference: str, beta: float = BETA) -> float:
    """Return ROUGE-L of one text: the F measure of the longest common subsequence of tokens between white space.

    (1 + β²) P R / (R + β² P), with P and R the share of the hypothesis' and the reference's tokens in it (Lin, 2004).
    Tokens are compared as they are written, so that any script counts; the usual package keeps ASCII letters alone.

    Returns:
        From 0 to 1; 0 where either text is empty.
    """
    said, right = hypothesis.split(), reference.split()
    common = _common(said, right)
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(right)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for token in one:
        before = row
        row = [0]
        for at, facing in enumerate(other, 1):
            row.append(before[at - 1] + 1 if token == facing else max(before[at], row[at - 1]))
    return row[-1]


class SignMetrics(CorpusMetric):
    """BLEU-1 to BLEU-4, ROUGE-L and chrF of sign language translation, each from 0 to 100.

    BLEU-n is cumulative, the geometric mean of the precisions of orders 1 to n over the whole corpus, by sacrebleu;
    ROUGE-L is the mean over texts with β = 1.2. Published figures differ in their conventions: texts cut by ``13a`` or
    taken as they stand (``none``) or by ``char``, in one case or not, and smoothed or not. ``signatures.json`` says
    which these are.

    ``distinct`` is the number of different texts over that of all, from 0 to 1: a model that does not look at its input
    writes few.

    Args:
        task: rows of this task are scored.
        tokenize: how sacrebleu cuts texts: ``13a``, ``none``, ``intl``, ``char`` or ``zh``.
        lowercase: compare BLEU and ROUGE-L in lower case.
        smooth: of BLEU where an order has no match: ``exp``, ``none``, ``floor`` or ``add-k`` (add one).
        by: facts to group by, such as ``length``.
    """

    main = "bleu4"

    def __init__(
        self,
        task: str = "sign",
        tokenize: Literal["13a", "none", "intl", "char", "zh"] = "13a",
        lowercase: bool = False,
        smooth: Literal["exp", "none", "floor", "add-k"] = "exp",
        by: list[str] | None = None,
    ) -> None:
        super().__init__(task, ["length"] if by is None else by)
        self.tokenize, self.lowercase, self.smooth = tokenize, lowercase, smooth

    def measure(self, rows: Sequence[Translation]) -> dict[str, float]:
        """Return the scores of rows; those without a reference are left out."""
        kept = [row for row in rows if any(text.strip() for text in row.references)]
        if not kept:
            return {}
        hypotheses, references = streams(kept)
        # The main score comes first.
        bleu: dict[str, Any] = {f"bleu{order}": self._bleu(order) for order in reversed(ORDERS)}
        values = {name: float(scorer.corpus_score(hypotheses, references).score) for name, scorer in bleu.items()}
        return values | {
            "rouge_l": 100 * sum(map(self._rouge_l, kept)) / len(kept),
            "chrf": corpus_score("chrf", hypotheses, references).value,
            "distinct": len(set(hypotheses)) / len(hypotheses),
        }

    def sign(self, rows: Sequence[Translation]) -> dict[str, str]:
        """Return sacrebleu's signatures, and how ROUGE-L is made."""
        found = {}
        short: Any = [[None if text is None else "a" for text in stream] for stream in streams(rows)[1]]
        for order in ORDERS:
            scorer = self._bleu(order)
            scorer.corpus_score(["a"] * len(rows), short)
            found[f"bleu{order}"] = f"{scorer.get_signature()}|order:{order}"
        case = "lc" if self.lowercase else "mixed"
        rouge = f"beta:{BETA}|tok:none|case:{case}|mean:text"
        return found | {"rouge_l": rouge, "chrf": corpus_score("chrf", ["a"] * len(rows), short).signature}

    def _bleu(self, order: int) -> BLEU:
        from sacrebleu.metrics.bleu import BLEU

        return BLEU(max_ngram_order=order, tokenize=self.tokenize, lowercase=self.lowercase, smooth_method=self.smooth)

    def _rouge_l(self, row: Translation) -> float:
        """Return the best ROUGE-L against any of the references."""
        lower = str.lower if self.lowercase else str
        return max(rouge_l(lower(nfc(row.hypothesis)), lower(nfc(text))) for text in row.references)
