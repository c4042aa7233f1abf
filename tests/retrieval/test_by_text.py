"""Passages found by their text: the scores of a slow formula, an order that never changes, missing packages."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from lit_llm.errors import ConfigError
from lit_llm.retrieval import BM25, Dense, base
from lit_llm.retrieval.lexical import words

ROOT = Path(__file__).resolve().parents[2]
LETTERS = ["ñu", "casa", "río", "agua", "sol", "mar", "pan", "flor"]


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(LETTERS, k=rng.randrange(0, 9))) for _ in range(count)]


def slowly(corpus: list[list[str]], asked: list[str], k1: float, b: float) -> list[float]:
    """BM25 as Lucene has it (Kamphuis et al., 2020), word by word."""
    mean = sum(map(len, corpus)) / len(corpus)
    found = []
    for text in corpus:
        counts, score = Counter(text), 0.0
        for word in asked:
            holding = sum(word in other for other in corpus)
            rarity = math.log(1 + (len(corpus) - holding + 0.5) / (holding + 0.5))
            if counts[word]:
                score += rarity * counts[word] / (counts[word] + k1 * (1 - b + b * len(text) / mean))
        found.append(score)
    return found


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4), (1.2, 0.0), (0.5, 1.0)])
def test_bm25_is_the_formula(k1: float, b: float) -> None:
    corpus = texts(60, 0)
    search = BM25(k1, b).over(corpus)
    split = [words(text) for text in corpus]
    for question in ["casa agua", "río río sol", "mar", "nadie lo dice", "", "¿Dónde está el RÍO?"]:
        wanted = slowly(split, words(question), k1, b)
        hits = search([question], 60)[0]
        assert [hit.score for hit in hits] == pytest.approx(sorted(wanted, reverse=True), abs=1e-5)
        assert {hit.number: hit.score for hit in hits} == pytest.approx(dict(enumerate(wanted)), abs=1e-5)
        # Of equal ones the first is first.
        assert all(a.score > b.score or a.number < b.number for a, b in pairwise(hits))


def test_bm25_finds_something_in_texts_without_words() -> None:
    assert [hit.number for hit in BM25().over(["", "…", "!"])(["casa"], 2)[0]] == [0, 1]


@pytest.mark.parametrize(("k1", "b"), [(-1, 0.5), (1, 1.5)])
def test_impossible_settings_are_refused(k1: float, b: float) -> None:
    with pytest.raises(ConfigError, match=f"k1 is {k1}"):
        BM25(k1, b)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of a sentence encoder that adds up random vectors of tokens."""
    st = pytest.importorskip("sentence_transformers")
    from sentence_transformers.models import StaticEmbedding

    tokenizer = Tokenizer.from_file(str(ROOT / "checkpoints/qwen3-tiny/tokenizer.json"))
    folder = tmp_path_factory.mktemp("encoder")
    st.SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=32)], device="cpu").save(str(folder))
    return str(folder)


@pytest.mark.slow
def test_an_encoder_finds_the_same_text_first_whatever_stands_beside_it(encoder: str) -> None:
    corpus = [text for text in texts(30, 1) if text]
    few, all_at_once = (Dense(encoder, batch_size=size).over(corpus) for size in (2, 64))
    for at, text in enumerate(corpus):
        found = few([text], 3)[0]
        assert corpus[found[0].number] == corpus[at] or found[0].score == pytest.approx(1, abs=1e-5)
        assert [hit.number for hit in found] == [hit.number for hit in all_at_once([text], 3)[0]]
        assert found[0].score == pytest.approx(1, abs=1e-5)


@pytest.mark.slow
def test_prefixes_stand_before_the_texts(encoder: str) -> None:
    plain = Dense(encoder).over(["q: casa", "p: casa"])
    prefixed = Dense(encoder, question_prefix="q: ", passage_prefix="p: ").over(["casa"])
    assert prefixed(["casa"], 1)[0][0].score == pytest.approx(
        next(hit.score for hit in plain(["q: casa"], 2)[0] if hit.number == 1), abs=1e-6
    )


@pytest.mark.slow
def test_a_folder_that_holds_no_encoder_is_named(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(ConfigError, match=r"is no folder of a sentence encoder"):
        Dense(str(tmp_path)).over(["a"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"BM25 needs the package bm25s.*pip install -e '\.\[retrieval\]'"):
        BM25().over(["a"])
