"""A score of JSON leaves in which the right value weighs more than the right place, as contests have it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lit_llm.errors import ConfigError
from lit_llm.metrics.base import TextMetric
from lit_llm.metrics.json_leaves import Path
from lit_llm.metrics.json_text import parse_json

Lists: TypeAlias = Literal["sorted", "in_order"]

_UNIT = 2**40
"""F1 is added up in integers of this fraction: float sums depend on the order of rows and processes."""


class Weights(NamedTuple):
    """How the leaves of two JSON values are compared.

    Attributes:
        key: what a path counts that both have.
        value: what an equal leaf at that path counts.
        lists: ``sorted`` puts items in the order of their text, with keys sorted, before they are numbered, so that
            the order in which they were written does not count; ``in_order`` numbers them as they stand.
        nulls: whether a leaf that is ``null`` is one.
    """

    key: float = 1.0
    value: float = 9.0
    lists: Lists = "sorted"
    nulls: bool = True


class Counts(NamedTuple):
    """Leaves of an expected and of a given value.

    Attributes:
        places: paths that both have.
        equal: paths that both have, with the same value.
        given: leaves of the given value.
        expected: leaves of the expected one.
    """

    places: int
    equal: int
    given: int
    expected: int

    def f1(self, weights: Weights) -> float:
        """Return 2 TP / (2 TP + FP + FN), each by weight; 1 where neither side has a leaf.

        A leaf that differs is a false positive of the given side and a false negative of the expected one, so the
        denominator is the weight of all leaves of both.
        """
        both = (weights.key + weights.value) * (self.given + self.expected)
        return 2 * (weights.key * self.places + weights.value * self.equal) / both if both else 1.0


def leaves(value: Any, weights: Weights) -> Iterator[tuple[Path, str]]:
    """Yield path and text of every scalar; empty objects and lists have none.

    A scalar's text is that of Python: ``50.0`` is not ``50``, and ``None`` stands for null.
    """
    if isinstance(value, dict):
        inside: Any = value.items()
    elif isinstance(value, list):
        inside = enumerate(sorted(value, key=_written) if weights.lists == "sorted" else value)
    else:
        if value is not None or weights.nulls:
            # A number with the digits that it was written with has another text than the float that Python reads.
            yield (), str(float(value) if isinstance(value, float) else value)
        return
    for place, child in inside:
        yield from (((place, *path), text) for path, text in leaves(child, weights))


def counts(gold: Any, prediction: Any, weights: Weights) -> Counts:
    """Compare two JSON values leaf by leaf."""
    expected, given = dict(leaves(gold, weights)), dict(leaves(prediction, weights))
    equal = sum(given.get(path) == text for path, text in expected.items())
    return Counts(len(expected.keys() & given.keys()), equal, len(given), len(expected))


def _written(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class WeightedF1(TextMetric):
    """F1 over the leaves of JSON values, where a path counts ``key_weight`` and the value there ``value_weight``.

    With the defaults it is the score of a contest in which orders become JSON: keys weigh 1 and values 9, items of
    lists are sorted, nulls count, and values are compared as text. A leaf is a scalar; a value that differs is missing
    on one side and superfluous on the other. A text that is not JSON scores 0.

    ``compute`` returns ``weighted_f1``, the mean over rows; and ``weighted_f1_micro``, from the sums of all rows, where
    a text that is not JSON misses every leaf.

    Args:
        task: rows of this task are scored.
        key_weight: of a path that both sides have.
        value_weight: of a leaf that both sides have at the same path.
        lists: ``sorted``: items are put in the order of their text, so that the order in which they were written
            does not count. Unlike the matching of ``ExtractionMetrics``, one value that differs can move an item, and
            those behind it, to another place. ``in_order``: items are compared as they stand.
        nulls: whether a leaf that is null counts.
        parse: ``strict`` scores a text only if all of it is JSON; ``lenient`` scores what could be recovered.
    """

    main = "weighted_f1"
    rows: Tensor
    mean: Tensor
    counts: Tensor

    def __init__(
        self,
        task: str = "extraction",
        key_weight: float = 1.0,
        value_weight: float = 9.0,
        lists: Lists = "sorted",
        nulls: bool = True,
        parse: Literal["strict", "lenient"] = "strict",
    ) -> None:
        super().__init__(task)
        for name, weight in {"key_weight": key_weight, "value_weight": value_weight}.items():
            if not 0 <= weight < math.inf:
                raise ConfigError(f"{name}: {weight} is not a finite number of at least 0")
        if key_weight == value_weight == 0:
            raise ConfigError("key_weight, value_weight: both are 0, and nothing would be scored")
        self.weights = Weights(key_weight, value_weight, lists, nulls)
        self.parse = parse
        self.add_state("rows", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("mean", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(len(Counts._fields), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: list[str], references: list[Any], meta: list[dict[str, Any]]) -> None:
        """Score some rows; references are parsed JSON values."""
        for text, gold in zip(predictions, references, strict=True):
            parsed = parse_json(text)
            if parsed.strict or (self.parse == "lenient" and parsed.found):
                found = counts(gold, parsed.value, self.weights)
                self.mean += round(found.f1(self.weights) * _UNIT)
            else:
                found = counts(gold, {}, self.weights)
            self.counts += torch.tensor(found, device=self.counts.device)
            self.rows += 1

    def compute(self) -> dict[str, float]:
        """Return the values by name; nothing before the first row."""
        rows = int(self.rows)
        if not rows:
            return {}
        return {
            "weighted_f1": int(self.mean) / _UNIT / rows,
            "weighted_f1_micro": Counts(*self.counts.tolist()).f1(self.weights),
        }
