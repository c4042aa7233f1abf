"""The nearest training text, against the definitions worked out n-gram by n-gram."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from lit_llm.data.hygiene import neighbours
from lit_llm.data.hygiene.neighbours import Nearness, Neighbours

MEASURES = ["jaccard", "cosine", "tfidf"]


def ngrams(text: str, shortest: int, longest: int) -> Counter[str]:
    """Count the n-grams of a text, without regard to case; white space is one blank, also at both ends."""
    whole = f" {' '.join(text.casefold().split())} "
    return Counter(whole[i : i + n] for n in range(shortest, longest + 1) for i in range(len(whole) - n + 1))


def words(rng: random.Random, count: int) -> list[str]:
    return [" ".join("".join(rng.choices("aábc", k=rng.randint(1, 4))) for _ in range(3)) for _ in range(count)]


def likeness(measure: str, train: list[Counter[str]], a: Counter[str], b: Counter[str]) -> float:
    """Compare two texts by the definitions, n-gram by n-gram."""
    if measure == "jaccard":
        return len(a.keys() & b.keys()) / len(a.keys() | b.keys())

    def weight(gram: str) -> float:
        held = sum(gram in one for one in train)
        # What no training text holds has no part in a training text's weights.
        return (math.log((1 + len(train)) / (1 + held)) + 1) * (held > 0) if measure == "tfidf" else 1.0

    weights = {gram: weight(gram) for gram in a.keys() | b.keys()}
    product = sum(weights[gram] ** 2 * a[gram] * b[gram] for gram in a.keys() & b.keys())
    lengths = [math.sqrt(sum((weights[gram] * count) ** 2 for gram, count in one.items())) for one in (a, b)]
    return product / math.prod(lengths) if all(lengths) else 0.0


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("span", [(1, 3), (2, 2)])
def test_neighbours_are_nearest_by_the_definitions(measure: str, span: tuple[int, int]) -> None:
    rng = random.Random(f"{measure}{span}")
    train, queries = words(rng, 30), words(rng, 20)
    found = Neighbours(train, Nearness(measure, *span)).nearest(queries)
    grams = [ngrams(text, *span) for text in train]
    for query, index in zip(queries, found, strict=True):
        own = ngrams(query, *span)
        likenesses = [round(likeness(measure, grams, own, one), 9) for one in grams]
        assert likenesses[index] == pytest.approx(max(likenesses), abs=2e-9)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_text_is_nearest_to_itself_and_the_first_of_equals_is_taken(
    measure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "CHUNK", 30)
    train = ["pon una alarma", "borra la alarma", "va a llover", "Borra la  alarma", "qué tiempo hace"]
    found = Neighbours(train, Nearness(measure, 1, 4))
    assert found.nearest(train) == [0, 1, 2, 1, 4]
    strange = Neighbours(train, Nearness(measure, 3, 4)).nearest(["ŵŷ"])
    assert strange == [0], "a text that shares nothing has a neighbour too"
