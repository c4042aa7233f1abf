"""Duplicates: against comparing every text with every other, and planted ones among many."""

from __future__ import annotations

import itertools
import random

import pytest

from lit_llm.data.hygiene.duplicates import NEAR, Folded, fold, similarity

WORDS = "calli huei tlen amo nicnequi altepetl ipan xihuitl tonalli cihuatl tlacatl atl tepetl xochitl cuauhtli".split()  # noqa: SIM905


def sentence(rng: random.Random, least: int = 5, most: int = 12) -> str:
    made = [rng.choice(WORDS) + rng.choice(["", "tzin", "meh", "huan", str(rng.randint(0, 999))]) for _ in range(most)]
    return " ".join(made[: rng.randint(least, most)])


def changed(rng: random.Random, text: str) -> str:
    """Replace a letter or two, so that most 5-grams stay."""
    for _ in range(rng.choice([1, 2])):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice("aeiou") + text[at + 1 :]
    return text


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("¡Hola,  Mundo!", "hola mundo"),
        ("Ōtlācat.", "ōtlācat"),
        ("Cafe\u0301 #1_b", "café 1 b"),
        ("...", ""),
    ],
)
def test_folding(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_near_duplicates_are_those_of_comparing_all_with_all() -> None:
    rng = random.Random(1)
    texts = [sentence(rng) for _ in range(80)]
    texts += [changed(rng, text) for text in texts for _ in range(2)]
    texts += [changed(rng, changed(rng, text)) for text in texts[:80]]
    folded = Folded(texts)
    slow = {
        (a, b): similarity(folded.texts[a], folded.texts[b])
        for a, b in itertools.combinations(range(len(folded.texts)), 2)
    }
    wanted = {pair for pair, value in slow.items() if value >= NEAR}
    found = {(twins.first, twins.second): twins.similarity for twins in folded.twins()}
    assert len(wanted) > 150
    assert found == {pair: slow[pair] for pair in wanted}


def test_exact_duplicates_are_one_text_with_several_places() -> None:
    folded = Folded(["In calli.", "amo", "in  CALLI", "…", "Amo!"])
    assert folded.texts == ["in calli", "amo"]
    assert folded.places == [[0, 2], [1, 4]]


def test_clusters_link_what_is_near_something_near() -> None:
    base = "tlacatl oquichiuh tlen quinequi ipan altepetl huei"
    texts = [base, base.replace("huei", "hueia"), base.replace("huei", "hueiaxx"), "amo", "Amo.", "niltze"]
    folded = Folded(texts)
    assert folded.clusters(folded.twins()) == [[0, 1, 2], [3, 4], [5]]


@pytest.mark.parametrize("texts", [[], ["a"], ["a", "b"], ["", " "], ["ab", "ab cd"]])
def test_few_and_short_texts(texts: list[str]) -> None:
    assert Folded(texts).twins() == []


def test_a_crowd_of_like_texts_is_one_cluster() -> None:
    texts = [f"in tlacatl itoca juan ahuel oquichiuh tlen quinequi ipan altepetl {k}" for k in range(300)]
    folded = Folded(texts)
    assert [len(cluster) for cluster in folded.clusters(folded.twins())] == [300]
