"""Whether the names of an answer are those of a catalogue."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from lit_llm.catalogues import Rule, names_at, rules_of, settle
from lit_llm.metrics.base import TextMetric
from lit_llm.metrics.json_text import parse_json

_COUNTS = ("names", "inside", "nearest_right")


class CatalogueMetrics(TextMetric):
    """Shares of the names that a model wrote in fields with a catalogue; the three add up to 1.

    ``compute`` returns ``catalogue_in``, the share that its catalogue has, but for case and white space;
    ``catalogue_nearest_right``, the share that it has not, whose nearest name is one that the reference has in that
    field; and ``catalogue_out``, the share of all others. Names are counted as the model wrote them, before ``missing``
    has its way; texts that are not JSON have none.

    Args:
        task: rows of this task are counted.
    """

    counts: Tensor

    def __init__(self, task: str = "extraction") -> None:
        super().__init__(task)
        self.add_state("counts", torch.zeros(len(_COUNTS), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: list[str], references: list[Any], meta: list[dict[str, Any]]) -> None:
        """Count the names of some rows; what data noted of names that they settled is in meta, as ``catalogue``."""
        for text, gold, facts in zip(predictions, references, meta, strict=True):
            parsed = parse_json(text)
            for rule in rules_of(facts) if parsed.strict else []:
                found = _counts(parsed.value, gold, rule, facts.get("catalogue"))
                self.counts += torch.tensor([found[name] for name in _COUNTS], device=self.counts.device)

    def compute(self) -> dict[str, float]:
        """Return the values by name; nothing without a name."""
        names, inside, right = self.counts.tolist()
        if not names:
            return {}
        return {
            "catalogue_in": inside / names,
            "catalogue_nearest_right": right / names,
            "catalogue_out": (names - inside - right) / names,
        }


def _counts(value: Any, gold: Any, rule: Rule, notes: dict[str, Any] | None) -> Counter[str]:
    """Count the names of an answer at one field."""
    if notes is None:
        # An answer that no data settled, such as that of a baseline.
        value, changed = settle(value, [rule._replace(missing="keep")])
        notes = {each.where: each.note() for each in changed}
    own = [note for where, note in notes.items() if rule.is_at(where)]
    outside = [note for note in own if not note["known"]]
    emptied = sum(note["name"] is None for note in own)
    names = len(names_at(value, rule.path)) + emptied
    wanted = Counter(names_at(gold, rule.path))
    right = Counter(note["nearest"] for note in outside if note["nearest"] is not None) & wanted
    return Counter(names=names, inside=names - len(outside), nearest_right=right.total())
