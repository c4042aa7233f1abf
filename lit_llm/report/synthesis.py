"""Generated pairs for training: which are kept, and why others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lit_llm.batch import Prediction
from lit_llm.data.hygiene.cleaning import Cleaner
from lit_llm.data.hygiene.duplicates import NEAR, Folded, fold
from lit_llm.errors import DataError


@dataclass
class Synthesis:
    """What became of generated pairs.

    Attributes:
        rows: those to train on, in the form of a data file.
        dropped: how many were left out, by reason.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


def synthesize(
    rows: Sequence[Prediction],
    origin: str,
    teacher: str,
    back: Mapping[str, str] | None = None,
    least_chrf: float = 0.0,
    against: Iterable[str] = (),
    cleaner: Cleaner | None = None,
) -> Synthesis:
    """Make training pairs of a system's predictions over text without references.

    Reasons to leave a pair out, in order: the answer is not finished or not valid (``status``); a side is too long, a
    copy, or of another length (the cleaner's filters); the same source with another answer (``duplicate``); the way
    back differs too much (``round_trip``); either side stands, or nearly stands, in a test (``test``).

    Args:
        rows: predictions; their meta names the ``direction``, such as ``nah-es``.
        origin: tag of the rows, such as ``back_translation``; a mixture can cap it.
        teacher: tag that names the system.
        back: translations of the predictions back into the source's language, by id.
        least_chrf: sentence chrF (0 to 100) that the way back must reach with the source.
        against: texts of either language that no training pair may hold.
        cleaner: mends and filters; by default with all of its steps.

    Raises:
        DataError: if a row has no direction, or has no way back although others have.
    """
    cleaner = cleaner or Cleaner()
    found = Synthesis()
    seen: set[tuple[str, str, str]] = set()
    for row in rows:
        source_name, target_name = _direction(row)
        source, target = cleaner.mend(row.text), cleaner.mend(row.prediction)
        score = _way_back(row, source, back) if _usable(row) else None
        key = (source_name, target_name, fold(source))
        reason = (
            ("status" if row.status != "ok" else None)
            or cleaner.fault(source, target)
            or ("duplicate" if key in seen else None)
            or ("round_trip" if score is not None and score < least_chrf else None)
        )
        if reason:
            found.dropped[reason] += 1
            continue
        seen.add(key)
        tags = {"origin": origin, "teacher": teacher, "score": None if score is None else round(score, 2)}
        kept: dict[str, Any] = {k: row.meta[k] for k in ("dialect", "document") if k in row.meta}
        found.rows.append({"id": row.id, source_name: source, target_name: target, **kept, **tags})
    _drop_tested(found, list(against))
    return found


def answers_as_questions(rows: Iterable[Prediction]) -> list[dict[str, str]]:
    """Return the finished answers under their ids, each in the column of its language, to be translated back."""
    found = []
    for row in rows:
        target = _direction(row)[1]
        if _usable(row):
            kept = {"dialect": row.meta["dialect"]} if "dialect" in row.meta else {}
            found.append({"id": row.id, target: row.prediction, **kept})
    return found


def _usable(row: Prediction) -> bool:
    return row.status == "ok" and bool(row.prediction.strip())


def _direction(row: Prediction) -> tuple[str, str]:
    source, _, target = str(row.meta.get("direction", "")).partition("-")
    if not target:
        raise DataError(f"row {row.id!r}: its meta names no direction; write it with a run of TranslationData")
    return source, target


def _way_back(row: Prediction, source: str, back: Mapping[str, str] | None) -> float | None:
    if back is None:
        return None
    if row.id not in back:
        raise DataError(f"row {row.id!r} has no way back: translate every row of the first file back, under its id")
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().sentence_score(back[row.id], [source]).score)


def _drop_tested(found: Synthesis, against: list[str]) -> None:
    """Leave out pairs of which a side has a twin among the texts of tests."""
    if not against or not found.rows:
        return
    tags = {"id", "dialect", "document", "origin", "teacher", "score"}
    texts = [(number, text) for number, row in enumerate(found.rows) for k, text in row.items() if k not in tags]
    owners = [*(number for number, _ in texts), *[-1] * len(against)]
    folded = Folded([*(text for _, text in texts), *against])
    groups = [places for places in folded.places if len(places) > 1]
    groups += [folded.places[twins.first] + folded.places[twins.second] for twins in folded.twins(NEAR)]
    tested = {owners[p] for places in groups if any(owners[p] < 0 for p in places) for p in places}
    found.rows = [row for number, row in enumerate(found.rows) if number not in tested]
    found.dropped["test"] += len(tested - {-1})
