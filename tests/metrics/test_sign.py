"""Scores of sign language translation: by hand, by a slow obvious version, and by sacrebleu called directly."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest
import sacrebleu

from lit_llm.metrics import SignMetrics
from lit_llm.metrics.sign import rouge_l

HYPOTHESES = ["the cat sat on the mat", "hello world , my friend", "es regnet im Süden", "es regnet im Süden"]
REFERENCES = [
    "the cat sat on a mat",
    "hello there world , friend",
    "es regnet heute im Süden .",
    "im Norden schneit es .",
]


def measured(hypotheses: list[str], references: list[str], **options: Any) -> dict[str, float]:
    metric = SignMetrics(**options)
    metric.update(hypotheses, references, [{"id": str(row)} for row in range(len(hypotheses))])
    return metric.compute()


@pytest.mark.parametrize(
    ("hypothesis", "reference", "common"),
    [
        ("a b c d", "a b c d", 4),
        ("a x b y", "a b", 2),
        ("b a", "a b", 1),
        ("A b", "a b", 1),
        ("große Übung", "große Übung heute", 2),
        ("我 爱 你", "我 你", 2),
        ("a", "b", 0),
        ("", "a", 0),
        ("a", "", 0),
    ],
)
def test_rouge_l_by_hand(hypothesis: str, reference: str, common: int) -> None:
    expected = 0.0
    if common:
        precision, recall = common / len(hypothesis.split()), common / len(reference.split())
        expected = (1 + 1.44) * precision * recall / (recall + 1.44 * precision)
    assert rouge_l(hypothesis, reference) == pytest.approx(expected, abs=1e-12)


def test_rouge_l_finds_the_longest_common_subsequence() -> None:
    rng = random.Random(0)
    for _ in range(50):
        one, other = ([rng.choice("abc") for _ in range(rng.randint(1, 7))] for _ in range(2))
        parts = (part for n in range(len(one) + 1) for part in itertools.combinations(one, n))
        longest = max(len(part) for part in parts if _is_within(part, other))
        precision, recall = longest / len(one), longest / len(other)
        expected = 2 * precision * recall / (precision + recall) if longest else 0.0
        assert rouge_l(" ".join(one), " ".join(other), beta=1.0) == pytest.approx(expected, abs=1e-12)


def _is_within(part: tuple[str, ...], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(token in rest for token in part)


def test_bleu_by_hand() -> None:
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples and 1 of 3 quadruples agree; the lengths do too.
    found = measured(["the cat sat on the mat"], ["the cat sat on a mat"])
    precisions = [5 / 6, 3 / 5, 2 / 4, 1 / 3]
    for order in (1, 2, 3, 4):
        assert found[f"bleu{order}"] == pytest.approx(100 * math.prod(precisions[:order]) ** (1 / order))


@pytest.mark.parametrize("tokenize", ["13a", "none", "char"])
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("smooth", ["exp", "none", "add-k"])
def test_bleu_is_sacrebleu_of_the_whole_corpus(tokenize: Any, lowercase: bool, smooth: Any) -> None:
    found = measured(HYPOTHESES, REFERENCES, tokenize=tokenize, lowercase=lowercase, smooth=smooth)
    reference = sacrebleu.corpus_bleu(
        HYPOTHESES, [REFERENCES], tokenize=tokenize, lowercase=lowercase, smooth_method=smooth
    )
    assert found["bleu4"] == pytest.approx(reference.score, abs=1e-12)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES]).score, abs=1e-12)
    by_text = [rouge_l(h, r) for h, r in zip(HYPOTHESES, REFERENCES, strict=True)]
    if not lowercase:
        assert found["rouge_l"] == pytest.approx(100 * sum(by_text) / 4)
    assert found["distinct"] == 0.75


def test_scores_are_those_of_the_corpus_and_not_means_of_batches() -> None:
    metric = SignMetrics()
    for row, (text, right) in enumerate(zip(HYPOTHESES, REFERENCES, strict=True)):
        metric.update([text], [right], [{"id": str(row)}])
    assert metric.compute() == measured(HYPOTHESES, REFERENCES)


def test_composed_and_decomposed_letters_score_alike() -> None:
    assert measured(["es regnet im Su\u0308den"], ["es regnet im Süden"])["rouge_l"] == pytest.approx(100)


def signed(metric: SignMetrics, references: list[str]) -> dict[str, str]:
    metric.update(["a"], [references], [{}])
    metric.compute()
    return metric.signatures()


def test_signatures_tell_conventions_apart() -> None:
    plain, other = (
        signed(SignMetrics(), ["a"]),
        signed(SignMetrics(tokenize="none", lowercase=True, smooth="none"), ["a", "b"]),
    )
    assert plain["bleu4"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp")
    assert other["bleu4"].startswith("nrefs:2|case:lc|eff:no|tok:none|smooth:none")
    assert plain["rouge_l"] == "beta:1.2|tok:none|case:mixed|mean:text"
    assert len(set(plain.values())) == len(plain)
