"""Names on disk: membership, the nearest name, and names that a text mentions, against slow versions."""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lit_llm.catalogues import Catalogue, write_catalogue
from lit_llm.catalogues.grams import folded, grams
from lit_llm.errors import DataError
from tests.catalogues.conftest import HOSTILE


def test_every_name_is_there_to_the_letter_and_nothing_else(hostile: Catalogue) -> None:
    assert len(hostile) == len(set(HOSTILE))
    assert {hostile.name(number) for number in range(len(hostile))} == set(HOSTILE)
    assert all(name in hostile for name in HOSTILE)
    assert not any(name in hostile for name in ("Pa", "Pan  ", "Panel", 'Leche "L', "a\\b\\", "", "X", "zzz"))


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("Pan", "Pan"),
        ("pan", "pan"),
        ("PAN DULCE", "Pan dulce"),
        ("  pan   dulce ", "Pan dulce"),
        ("dos blancos", "  dos  blancos  "),
        ("PAN\u0303AL", "Pañal"),
        ("PANAL", "Panal"),
        ("Ｆｕｌｌ", "ｆｕｌｌ"),
        ("leche «Lala»", None),
        ("Pan du", None),
    ],
)
def test_case_and_white_space_make_no_other_name(hostile: Catalogue, written: str, known: str | None) -> None:
    assert hostile.known(written) == known


def test_of_names_that_differ_in_case_the_one_as_written_is_meant(hostile: Catalogue) -> None:
    assert hostile.known("Panela") == "Panela"
    assert hostile.known("PANELA") == "PANELA"


def slow_grams(text: str) -> set[str]:
    found = set()
    for word in folded(text).split():
        whole = f" {word} "
        found |= {whole} if len(whole) == 3 else {whole[at : at + 4] for at in range(len(whole) - 3)}
    return found


def test_grams_are_those_of_words(products: list[str]) -> None:
    texts = [*HOSTILE, *products[:50], "", "¡¿…!", "a b c"]
    owners, codes = grams(texts)
    found = Counter(owners.tolist())
    assert [found[number] for number in range(len(texts))] == [len(slow_grams(text)) for text in texts]
    known = {gram for text in texts for gram in slow_grams(text)}
    assert len(np.unique(codes)) == len(known)


def slow_scores(names: list[str], text: str) -> tuple[list[float], list[float]]:
    """Return the cosine of each name with a text, and what of the name the text mentions."""
    held = [slow_grams(name) for name in names]
    counts = Counter(gram for own in held for gram in own)
    weight = {gram: math.log1p(len(names) / counts[gram]) for gram in counts}
    asked = slow_grams(text)
    norm = math.sqrt(sum(weight.get(gram, math.log1p(len(names))) ** 2 for gram in asked))
    likeness, mention = [], []
    for own in held:
        both = own & asked
        size = math.sqrt(sum(weight[gram] ** 2 for gram in own))
        likeness.append(sum(weight[gram] ** 2 for gram in both) / (size * norm) if both else 0.0)
        mention.append(sum(weight[gram] for gram in both) / sum(weight[gram] for gram in own) ** 0.7 if both else 0.0)
    return likeness, mention


@pytest.mark.parametrize("seed", range(4))
def test_nearest_and_mentioned_are_those_of_a_slow_version(products: list[str], tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    write_catalogue(products, tmp_path / "c")
    catalogue = Catalogue(tmp_path / "c")
    names = [catalogue.name(number) for number in range(len(catalogue))]
    for _ in range(8):
        words = [word for name in rng.sample(products, 3) for word in name.split()]
        text = " ".join(rng.sample(words, rng.randint(1, len(words)))) + rng.choice(["", " porfa", " xyzzy"])
        likeness, mention = slow_scores(names, text)
        best = catalogue.nearest(text)
        assert best is not None
        assert likeness[names.index(best.name)] == pytest.approx(max(likeness), abs=2e-5)
        assert best.distance == pytest.approx(1 - max(likeness), abs=1e-4)
        found = catalogue.mentioned(text, 7)
        assert [mention[names.index(name)] for name in found] == pytest.approx(
            sorted((m for m in mention if m > 0), reverse=True)[:7], abs=2e-5
        )


def test_what_is_alike_but_for_accents_is_at_no_distance_and_nothing_is_near_to_nothing(hostile: Catalogue) -> None:
    near = hostile.nearest("cafe 日本茶")
    assert near is not None and near.name == "日本茶"
    assert hostile.nearest("¡…!") is None
    assert hostile.nearest("zzzz qqqq") is None
    assert hostile.mentioned("¡…!", 5) == []
    assert hostile.mentioned("pan", 0) == []
    assert len(hostile.mentioned("pan panela", 10_000)) < len(hostile)


def test_more_names_than_there_are_may_be_asked_for(tmp_path: Path) -> None:
    write_catalogue(["uno", "dos", "uno"], tmp_path / "c")
    assert Catalogue(tmp_path / "c").mentioned("uno y dos", 20) in (["uno", "dos"], ["dos", "uno"])


def test_what_is_no_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it holds no name"):
        write_catalogue(["", ""], tmp_path / "c")
    assert not (tmp_path / "c").exists()
    with pytest.raises(DataError, match="it is no catalogue"):
        Catalogue(tmp_path / "c")
    write_catalogue(["uno"], tmp_path / "c")
    about = tmp_path / "c" / "catalogue.json"
    about.write_text(re.sub(r'"format": \d+', '"format": 99', about.read_text()))
    with pytest.raises(DataError, match="made by another version"):
        Catalogue(tmp_path / "c")


def test_names_without_words_are_near_to_nothing(tmp_path: Path) -> None:
    write_catalogue(["***", "---"], tmp_path / "c")
    catalogue = Catalogue(tmp_path / "c")
    assert "***" in catalogue and catalogue.nearest("pan") is None and catalogue.mentioned("pan ***", 3) == []
