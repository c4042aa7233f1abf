"""Texts compared with references as a corpus: sacrebleu's scores, groups of rows, and what hides behind a score."""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError, DataError
from lit_llm.metrics.base import LineMetric

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as SacreMetric

SCORES = ("chrfpp", "chrf", "bleu", "bleu_flores200", "ter")
"""chrF++ (``word_order=2``), chrF, BLEU with the 13a or the FLORES-200 tokeniser, and TER."""

BUCKETS = ((1, "1"), (4, "2-4"), (9, "5-9"), (19, "10-19"))
"""Most words of each length bucket but the last, which is ``20+``."""

_THINK = "<think>"


@dataclass(frozen=True)
class Translation:
    """One row to score.

    Attributes:
        hypothesis: what the system wrote.
        references: one or more right translations; empty ones are left out of scores.
        meta: facts to group by, such as ``direction``, ``dialect`` and ``origin``; ``source``, ``finished`` and
            ``truncated`` tell what the counts need.
    """

    hypothesis: str
    references: tuple[str, ...]
    meta: dict[str, Any]

    def group(self, key: str) -> str:
        """Return the value of a fact; ``length`` is the bucket of the first reference's words."""
        if key != "length":
            return str(self.meta.get(key, ""))
        words = len(self.references[0].split())
        return next((name for most, name in BUCKETS if words <= most), "20+")


@dataclass(frozen=True)
class CorpusScore:
    """A score of a whole corpus and the signature that lets others make it again."""

    value: float
    signature: str


def scorer(name: str) -> SacreMetric:
    """Return sacrebleu's metric for one of ``SCORES``.

    Raises:
        ConfigError: if there is no such score.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    makers: dict[str, Any] = {
        "chrfpp": lambda: CHRF(word_order=2),
        "chrf": CHRF,
        "bleu": BLEU,
        "bleu_flores200": lambda: BLEU(tokenize="flores200"),
        "ter": TER,
    }
    if name not in makers:
        raise ConfigError(f"scores: {name!r} is none of {', '.join(SCORES)}")
    try:
        made: SacreMetric = makers[name]()
    except (OSError, ImportError) as error:
        raise ConfigError(
            f"scores: {name} needs its tokeniser, which sacrebleu fetches into ~/.sacrebleu and needs the package "
            f"sentencepiece for ({error}): fetch it once on a machine with a network, or leave {name} out"
        ) from error
    return made


def corpus_score(name: str, hypotheses: Sequence[str], references: Sequence[Sequence[str | None]]) -> CorpusScore:
    """Score a corpus.

    Args:
        name: one of ``SCORES``.
        hypotheses: ``[N]`` texts of a system.
        references: ``[R][N]`` streams of references, sacrebleu's order; None where a row has fewer than others.

    Raises:
        DataError: if the references are a flat list of texts, which would be scored letter by letter, or their number
            is not that of the hypotheses, or there is nothing to score.
    """
    if isinstance(references, str) or any(isinstance(stream, str) for stream in references):
        raise DataError(
            "references: a list of reference streams is needed, not a list of texts: write [references] where there "
            "is one reference for each text"
        )
    if not hypotheses or not references:
        raise DataError(f"references: there is nothing to score: {len(hypotheses)} texts, {len(references)} references")
    for number, stream in enumerate(references):
        if len(stream) != len(hypotheses):
            raise DataError(f"references[{number}]: {len(stream)} references for {len(hypotheses)} texts")
    metric: Any = scorer(name)
    found = metric.corpus_score(list(hypotheses), [list(stream) for stream in references])
    return CorpusScore(float(found.score), str(metric.get_signature()))


def streams(rows: Sequence[Translation]) -> tuple[list[str], list[list[str | None]]]:
    """Return ``[N]`` hypotheses and ``[R][N]`` references of rows, all in Unicode NFC; empty references count as none.

    Texts that look the same then score the same, whichever way a keyboard composed their accents.
    """
    kept = [[nfc(text) for text in row.references if text.strip()] for row in rows]
    return [nfc(row.hypothesis) for row in rows], [list(stream) for stream in zip_longest(*kept)]


def score_rows(rows: Sequence[Translation], names: Iterable[str]) -> dict[str, CorpusScore]:
    """Score rows; those without a reference are left out, and nothing is returned where none is left."""
    scored = [row for row in rows if any(text.strip() for text in row.references)]
    if not scored:
        return {}
    hypotheses, references = streams(scored)
    return {name: corpus_score(name, hypotheses, references) for name in names}


def grouped(rows: Sequence[Translation], keys: Sequence[str]) -> dict[tuple[str, ...], list[Translation]]:
    """Return the rows of each combination of facts, in alphabetical order."""
    groups: defaultdict[tuple[str, ...], list[Translation]] = defaultdict(list)
    for row in rows:
        groups[tuple(row.group(key) for key in keys)].append(row)
    return dict(sorted(groups.items()))


def outcomes(rows: Sequence[Translation]) -> dict[str, int]:
    """Count what hides behind a score.

    Returns:
        ``empty`` answers, ``copied`` sources, ``thinking`` (the text holds ``<think>``), ``unstopped`` (cut by the
        token limit), ``truncated`` sources, ``exact`` matches, and ``empty_references``.
    """
    counts = Counter(dict.fromkeys(_OUTCOMES, 0))
    for row in rows:
        text = _folded(row.hypothesis)
        counts["empty"] += not text
        counts["copied"] += bool(text) and text == _folded(str(row.meta.get("source", "")))
        counts["thinking"] += _THINK in row.hypothesis
        counts["unstopped"] += not row.meta.get("finished", True)
        counts["truncated"] += bool(row.meta.get("truncated", False))
        counts["exact"] += bool(text) and any(text == _folded(reference) for reference in row.references)
        counts["empty_references"] += not any(reference.strip() for reference in row.references)
    return dict(counts)


_OUTCOMES = ("empty", "copied", "thinking", "unstopped", "truncated", "exact", "empty_references")

COUNTS = frozenset({"rows", "n", *_OUTCOMES})
"""Names of the values that count rows; all others are scores."""


class CorpusMetric(LineMetric):
    """Scores of whole corpora, of all rows and of groups of them.

    Texts are gathered over processes, so that scores are those of the whole corpus and not means of parts; a row that
    two processes report, by its id, counts once.

    ``compute`` returns

    - what ``measure`` says of all rows;
    - ``<key>/<value>/<score>`` and ``<key>/<value>/n`` for each group of ``by`` where there are several;
    - ``<score>_macro``: the mean of the main score over all combinations of ``by``;
    - ``rows`` and the counts of ``outcomes``.

    Args:
        task: rows of this task are scored.
        by: facts to group by: ``length`` or a key of the rows' meta.
    """

    def __init__(self, task: str, by: list[str]) -> None:
        super().__init__(task)
        self.by = by
        self.signed: dict[str, str] = {}

    @abstractmethod
    def measure(self, rows: Sequence[Translation]) -> dict[str, float]:
        """Return the scores of rows, the one that ``by`` averages first; nothing where no row has a reference."""

    def sign(self, rows: Sequence[Translation]) -> dict[str, str]:
        """Return how the scores of rows are made, by name; they name the number of references."""
        return {}

    def signatures(self) -> dict[str, str]:
        """Return how the scores of the rows so far are made; nothing before the first.

        Like ``compute``, every process has to call it, once at least.
        """
        if self._update_called:
            self.compute()
        return self.signed

    def update(self, predictions: list[str], references: list[Any], meta: list[dict[str, Any]]) -> None:
        """Take in some rows.

        Args:
            predictions: the generated texts.
            references: for each row a text, or a list of texts that are all right.
            meta: rows' facts.

        Raises:
            DataError: if a reference is neither.
        """
        rows = []
        for text, reference, facts in zip(predictions, references, meta, strict=True):
            right = [reference] if isinstance(reference, str) else reference
            if not isinstance(right, list) or not right or not all(isinstance(one, str) for one in right):
                raise DataError(f"reference {reference!r}: a text or a list of texts is needed")
            rows.append([text, right, {key: value for key, value in facts.items() if key != "schema"}])
        self.note(rows)

    def rows(self) -> list[Translation]:
        """Return all rows, over all processes where they are gathered."""
        found: dict[Any, Translation] = {}
        for number, (text, right, facts) in enumerate(self.noted()):
            found.setdefault(facts.get("id", number), Translation(text, tuple(right), facts))
        return list(found.values())

    def compute(self) -> dict[str, float]:
        """Return the values by name; nothing before the first row."""
        rows = self.rows()
        if not rows:
            return {}
        values = self.measure(rows)
        scored_rows = [row for row in rows if any(text.strip() for text in row.references)]
        self.signed = self.sign(scored_rows) if scored_rows else {}
        main = next(iter(values), "")
        for key in self.by:
            parts = grouped(rows, [key])
            for (value,), members in parts.items() if len(parts) > 1 else ():
                values |= {f"{key}/{value}/{name}": score for name, score in self.measure(members).items()}
                values[f"{key}/{value}/n"] = len(members)
        cells = [self.measure(members) for members in grouped(rows, self.by).values()]
        scored = [cell[main] for cell in cells if cell]
        if scored:
            values[f"{main}_macro"] = sum(scored) / len(scored)
        return values | {"rows": len(rows)} | outcomes(rows)


def nfc(text: str) -> str:
    """Return a text in Unicode NFC."""
    return unicodedata.normalize("NFC", text)


def _folded(text: str) -> str:
    return " ".join(nfc(text).casefold().split())
