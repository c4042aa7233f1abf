"""Compare two JSON values field by field: alignment of lists, counts of leaves that agree. Pure functions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

from lit_llm.catalogues import path_name
from lit_llm.metrics.base import FieldScore
from lit_llm.metrics.json_leaves import DEFAULT_RULES, EXACT_RULES, Leaf, Node, Path, Rules, canonical, same
from lit_llm.metrics.json_text import Parsed, parse_json

ParseMode: TypeAlias = Literal["strict", "lenient"]


class Outcome(NamedTuple):
    """One leaf after alignment: on which sides it stands, and whether they agree."""

    path: Path
    in_gold: bool
    in_prediction: bool
    hit: bool


@dataclass(frozen=True)
class PairScore:
    """One reference against one generated text.

    Attributes:
        parsed: what was read from the text.
        usable: there is a value to score; if not, every field of the reference is missed.
        fields: counts by field name, list positions written as ``[]``.
        verbatim: counts where texts have to be equal as written.
        type_lenient: counts where ``"50"`` equals 50.
        exact: equal but for the order of keys; list order, null and every character count.
    """

    parsed: Parsed
    usable: bool
    fields: dict[str, FieldScore]
    verbatim: FieldScore
    type_lenient: FieldScore
    exact: bool

    @property
    def total(self) -> FieldScore:
        """The counts of all fields added up."""
        return sum(self.fields.values(), FieldScore())

    @property
    def document_f1(self) -> float:
        """F1 of this row; 0 for an unusable text even if the reference is empty."""
        return self.total.f1 if self.usable else 0.0

    @property
    def exact_normalised(self) -> bool:
        """No field differs under the rules."""
        return self.usable and self.total.fp == 0 and self.total.fn == 0


def score_pair(gold: Any, text: str, rules: Rules = DEFAULT_RULES, parse: ParseMode = "strict") -> PairScore:
    """Score a generated text against a parsed reference; see ``parse_json`` for what ``lenient`` recovers."""
    parsed = parse_json(text)
    usable = parsed.strict or (parse == "lenient" and parsed.found)
    as_written = replace(rules, verbatim=True, number_tolerance=0.0, dates=frozenset())

    def fields(used: Rules) -> dict[str, FieldScore]:
        """Return the scores by field under some rules."""
        return tally(align(gold, parsed.value, used) if usable else missed(gold, used))

    def total(used: Rules) -> FieldScore:
        """Return the sum over fields."""
        return sum(fields(used).values(), FieldScore())

    return PairScore(
        parsed=parsed,
        usable=usable,
        fields=fields(rules),
        verbatim=total(as_written),
        type_lenient=total(replace(rules, type_lenient=True)),
        exact=usable and canonical(gold, EXACT_RULES) == canonical(parsed.value, EXACT_RULES),
    )


def differing_paths(gold: Any, prediction: Any, rules: Rules = DEFAULT_RULES) -> list[str]:
    """Return where two values differ, such as ``items[0].price``, in the reference's order.

    Items are numbered as in the reference; items that only the prediction has are numbered after its last one.
    """
    wrong = (path_name(outcome.path) for outcome in align(gold, prediction, rules) if not outcome.hit)
    return list(dict.fromkeys(wrong))


def tally(outcomes: Iterable[Outcome]) -> dict[str, FieldScore]:
    """Count the outcomes by field; a leaf that stands on both sides and differs is one FP and one FN."""
    counts: defaultdict[str, FieldScore] = defaultdict(FieldScore)
    for path, in_gold, in_prediction, hit in outcomes:
        counts[path_name(path, field=True)] += FieldScore(
            tp=int(hit), fp=int(in_prediction and not hit), fn=int(in_gold and not hit)
        )
    return dict(counts)


def leaf_count(value: Any, rules: Rules = DEFAULT_RULES) -> int:
    """Return the number of scalars and empty containers in ``value``."""
    return sum(1 for _ in missed(value, rules))


def align(gold: Any, prediction: Any, rules: Rules = DEFAULT_RULES) -> list[Outcome]:
    """Match the leaves of two JSON values so that as many as possible agree.

    Objects are matched by key. Lists are matched one to one by the assignment that maximises the agreeing leaves
    (Hungarian algorithm, as DocILE and treeval do), the nearer position winning a tie. The number of hits does
    not depend on the order of items or keys, nor on which side is called gold.
    """
    left, right = canonical(gold, rules), canonical(prediction, rules)
    if left is None or right is None:
        return [*_alone(left, (), in_gold=True), *_alone(right, (), in_gold=False)]
    return list(_Aligner(rules).outcomes(left, right, ()))


def missed(gold: Any, rules: Rules = DEFAULT_RULES) -> Iterator[Outcome]:
    """Yield the outcomes of a reference that nothing can be compared with."""
    return _alone(canonical(gold, rules), (), in_gold=True)


def best_pairs(weights: list[list[int]]) -> list[tuple[int, int]]:
    """Assign rows to columns one to one, so that the sum of ``weights`` is the largest possible.

    Returns:
        The assigned (row, column), in order of rows, without those of weight 0.
    """
    from scipy.optimize import linear_sum_assignment

    # Distances of one assignment add up to less than rows x columns, so they can break ties and nothing else.
    unit = len(weights) * len(weights[0])
    rewards = [[weight * unit - abs(i - j) for j, weight in enumerate(row)] for i, row in enumerate(weights)]
    rows, columns = linear_sum_assignment(rewards, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(i, j) for i, j in pairs if weights[i][j]]


class _Aligner:
    """Remembers the matching of each pair of lists, which a nested list would otherwise repeat at every level."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.matched: dict[tuple[int, int], tuple[int, list[tuple[int, int]]]] = {}

    def hits(self, gold: Node, prediction: Node) -> int:
        """Return how many leaves agree."""
        if isinstance(gold, Leaf):
            return int(isinstance(prediction, Leaf) and same(gold, prediction, self.rules))
        if isinstance(gold, dict) and isinstance(prediction, dict):
            return sum(self.hits(node, prediction[key]) for key, node in gold.items() if key in prediction)
        if isinstance(gold, list) and isinstance(prediction, list):
            return self._match(gold, prediction)[0]
        return 0

    def outcomes(self, gold: Node, prediction: Node, path: Path) -> Iterator[Outcome]:
        """Yield what became of every leaf of either side."""
        if isinstance(gold, Leaf) and isinstance(prediction, Leaf):
            yield Outcome(path, True, True, same(gold, prediction, self.rules))
            return
        children = self._children(gold, prediction)
        if children is None:
            yield from _alone(gold, path, in_gold=True)
            yield from _alone(prediction, path, in_gold=False)
            return
        for place, left, right in children:
            yield from self._either(left, right, (*path, place))

    def _children(self, gold: Node, prediction: Node) -> Iterator[tuple[str | int, Node | None, Node | None]] | None:
        """Return key or position, gold and predicted child of two objects or two lists; None for anything else."""
        if isinstance(gold, dict) and isinstance(prediction, dict):
            return ((key, gold.get(key), prediction.get(key)) for key in gold | prediction)
        if isinstance(gold, list) and isinstance(prediction, list):
            return self._rows(gold, prediction)
        return None

    def _either(self, gold: Node | None, prediction: Node | None, path: Path) -> Iterator[Outcome]:
        if gold is not None and prediction is not None:
            return self.outcomes(gold, prediction, path)
        return _alone(prediction, path, in_gold=False) if gold is None else _alone(gold, path, in_gold=True)

    def _match(self, gold: list[Node], prediction: list[Node]) -> tuple[int, list[tuple[int, int]]]:
        key = (id(gold), id(prediction))
        if key not in self.matched:
            weights = [[self.hits(left, right) for right in prediction] for left in gold]
            pairs = best_pairs(weights)
            self.matched[key] = sum(weights[i][j] for i, j in pairs), pairs
        return self.matched[key]

    def _rows(self, gold: list[Node], prediction: list[Node]) -> Iterator[tuple[int, Node | None, Node | None]]:
        """Yield position, gold item and predicted item.

        Unmatched items agree nowhere, so setting them side by side changes no count; it only names what differs
        by one place instead of two.
        """
        partner = dict(self._match(gold, prediction)[1])
        taken = set(partner.values())
        free_gold = [i for i in range(len(gold)) if i not in partner]
        free_prediction = [j for j in range(len(prediction)) if j not in taken]
        partner.update(zip(free_gold, free_prediction, strict=False))
        for i, node in enumerate(gold):
            yield i, node, prediction[partner[i]] if i in partner else None
        for place, j in enumerate(free_prediction[len(free_gold) :], start=len(gold)):
            yield place, None, prediction[j]


def _alone(node: Node | None, path: Path, in_gold: bool) -> Iterator[Outcome]:
    if isinstance(node, Leaf):
        yield Outcome(path, in_gold, not in_gold, False)
    elif node is not None:
        children = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in children:
            yield from _alone(child, (*path, key), in_gold)
