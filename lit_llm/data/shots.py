"""Worked examples that are chosen for each row, from training pairs alone."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lit_llm.data.hygiene.duplicates import NEAR, Folded, linked
from lit_llm.data.hygiene.neighbours import Nearness, Neighbours
from lit_llm.data.tokens.dataset import Example
from lit_llm.data.tokens.prompting import Context
from lit_llm.errors import ConfigError
from lit_llm.retrieval import BM25, Dense
from lit_llm.retrieval.base import Hit, Search
from lit_llm.seeding import derive

Select = Literal["fuzzy", "bm25", "dense", "random"]

SPARE = 12
"""Pairs that are looked at beyond those that are wanted, since some may be too much like the row."""


@dataclass(frozen=True)
class Shots:
    """Examples of translation before each text, chosen from training pairs, the likest of them last.

    No example stands in one cluster with the row: neither side of it is an exact or near duplicate of the row's, nor
    linked with one through others, and it is of another document. Training rows are given examples in the same way.

    Attributes:
        select: ``fuzzy``: the likest source texts by character n-grams (tf-idf, n = 3 to 5); ``bm25``: by their words;
            ``dense``: by a sentence encoder; ``random``: any, other ones for each row, the same in every run of a seed.
        n: how many.
        dropout: share of them that training rows go without, drawn for each of them; a run that has seen none can
            answer without any.
        model: folder or name of the sentence encoder of ``dense``.
        near: least similarity of near duplicates (Jaccard, of character 5-grams).

    Raises:
        ConfigError: if settings are not possible, or do not go together.
    """

    select: Select = "fuzzy"
    n: int = 4
    dropout: float = 0.0
    model: str | None = None
    near: float = NEAR

    def __post_init__(self) -> None:
        key = "data.init_args.shots"
        if self.n < 1 or not 0 <= self.dropout < 1 or not 0.6 <= self.near <= 1:
            raise ConfigError(
                f"{key}: n is {self.n}, dropout {self.dropout}, near {self.near}: use an n of 1 or more, a dropout "
                "from 0 to less than 1, a near from 0.6 to 1"
            )
        if (self.select == "dense") != (self.model is not None):
            raise ConfigError(
                f"{key}.model: the folder of a sentence encoder goes with select: dense, and with it alone"
            )

    def facts(self, seed: int) -> list[Any]:
        """Return what decides a choice beside settings and pairs: the seed of what is drawn, the encoder's files."""
        folder = Path(self.model or "")
        files = sorted(file for file in folder.rglob("*") if file.is_file()) if self.model and folder.is_dir() else []
        marks = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return [seed if self.select == "random" or self.dropout else 0, marks]

    def over(self, texts: Sequence[str]) -> Search:
        """Return what finds the likest of some texts."""
        if self.select == "bm25":
            return BM25().over(texts)
        if self.select == "dense":
            return Dense(str(self.model)).over(texts)
        near = Neighbours(texts, Nearness("tfidf", 3, 5))
        return lambda asked, count: [[Hit(*pair) for pair in best] for best in near.ranked(asked, count)]


class Pool:
    """Training pairs of one direction.

    Args:
        shots: how they are chosen.
        pairs: what they are chosen from, each with an answer.
        seed: of what is drawn.
        spelled: writes the answers of other rows as those of the pairs are written, to compare them.
    """

    def __init__(self, shots: Shots, pairs: Sequence[Example], seed: int, spelled: Callable[[str], str] = str) -> None:
        self.shots, self.pairs, self.seed, self.spelled = shots, list(pairs), seed, spelled

    @cached_property
    def _search(self) -> Search:
        return self.shots.over([pair.text for pair in self.pairs])

    def chosen(self, rows: Sequence[Example], *, learned: bool) -> list[list[Example]]:
        """Return the examples of each row, the likest last.

        Args:
            rows: of this direction; training rows are among the pairs.
            learned: whether they are trained on, so that some go without.
        """
        forbidden = self._too_like(rows)
        wanted = self.shots.n + SPARE
        found = zip(rows, self._hits(rows, wanted), forbidden, strict=True)
        return [self._of_row(row, hits, bad, learned) for row, hits, bad in found]

    def _hits(self, rows: Sequence[Example], wanted: int) -> list[list[int]]:
        if self.shots.select == "random" or not self.pairs:
            return [[] for _ in rows]
        return [[hit.number for hit in best] for best in self._search([row.text for row in rows], wanted)]

    def _of_row(self, row: Example, order: list[int], bad: set[int], learned: bool) -> list[Example]:
        if len(bad) >= len(self.pairs):
            return []
        rng = random.Random(derive(self.seed, "shots", row.meta["direction"], row.text))
        if self.shots.select == "random":
            order = rng.sample(range(len(self.pairs)), min(len(self.pairs), self.shots.n + len(bad)))
        elif sum(number not in bad for number in order) < self.shots.n:
            # More pairs than were spared are too much like this row.
            order = self._hits([row], len(self.pairs))[0]
        kept = [number for number in order if number not in bad][: self.shots.n][::-1]
        return [self.pairs[number] for number in kept if not (learned and rng.random() < self.shots.dropout)]

    def _too_like(self, rows: Sequence[Example]) -> list[set[int]]:
        """Return for each row the places of the pairs that stand in one cluster with it.

        Pairs are linked through pairs alone, so that a row's examples do not depend on the rows beside it.
        """
        count = len(self.pairs)
        own = {id(pair): place for place, pair in enumerate(self.pairs)}
        others = [row for row in rows if id(row) not in own]
        links = list(self._links(others))
        shared: dict[int, set[int]] = {}
        for cluster in linked(
            [[place] for place in range(count)] + [[at for at in link if at < count] for link in links]
        ):
            # One set for all of a cluster, which may be a whole document.
            members = set(cluster)
            shared |= {member: members for member in cluster}
        bad: list[set[int]] = [set() for _ in others]
        for link in links:
            near = set().union(*(shared[at] for at in link if at < count))
            for at in link:
                if at >= count:
                    bad[at - count] |= near
        found = own | {id(row): count + at for at, row in enumerate(others)}
        return [shared[at] if (at := found[id(row)]) < count else bad[at - count] for row in rows]

    def _links(self, others: Sequence[Example]) -> Iterator[list[int]]:
        """Yield places, of the pairs and then of other rows, that have a text nearly in common, or a document."""
        every = [*self.pairs, *others]
        answers = [pair.answer or "" for pair in self.pairs] + [self.spelled(row.answer or "") for row in others]
        for texts in ([row.text for row in every], answers):
            folded = Folded(texts)
            yield from folded.places
            yield from (
                folded.places[pair.first] + folded.places[pair.second] for pair in folded.twins(self.shots.near)
            )
        documents: defaultdict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(every):
            if name := str(row.meta.get("document", "")).strip():
                documents[name].append(place)
        yield from documents.values()


def with_shots(pools: dict[str, Pool], rows: Sequence[Example], *, learned: bool) -> list[Example]:
    """Return rows with their examples as turns before the text, and named under ``shots`` in their meta.

    Args:
        pools: training pairs by direction.
        rows: of any direction that there is.
        learned: whether they are trained on.
    """
    by_direction: defaultdict[str, list[Example]] = defaultdict(list)
    # Rows that cannot be answered stay as they are.
    found: dict[int, Example] = {id(row): row for row in rows if row.error or "direction" not in row.meta}
    for row in rows:
        if id(row) not in found:
            by_direction[row.meta["direction"]].append(row)
    for direction, some in by_direction.items():
        chosen = pools[direction].chosen(some, learned=learned) if direction in pools else [[] for _ in some]
        for row, shots in zip(some, chosen, strict=True):
            names = [shot.meta["pair"] for shot in shots]
            turns = tuple((shot.text, shot.answer or "") for shot in shots)
            context = replace(row.context or Context(), shots=turns)
            found[id(row)] = replace(row, context=context, meta=row.meta | {"shots": names})
    return [found[id(row)] for row in rows]
