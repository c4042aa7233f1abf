"""Scores of short answers: SQuAD's own rules, and recall of passages."""

from __future__ import annotations

import pytest
import torch

from lit_llm.errors import ConfigError
from lit_llm.metrics import AnswerMetrics
from lit_llm.metrics.answers import covers, exact_match, normalised, token_f1


@pytest.mark.parametrize(
    ("answer", "gold", "language", "em", "f1", "cover"),
    [
        ("The Eiffel Tower.", "eiffel tower", "en", 1, 1, 1),
        ("In Paris, France", "Paris", "en", 0, 0.5, 1),
        ("Paris", "Paris France", "en", 0, 2 / 3, 0),
        ("¡La casa!", "casa", "es", 1, 1, 1),
        ("la casa", "casa", "en", 0, 2 / 3, 1),
        ("", "x", "en", 0, 0, 0),
        ("the", "", "en", 1, 1, 1),
        ("x", "the", "en", 0, 0, 0),
        ("a a b", "a b b", "none", 0, 2 / 3, 0),
        ("1,000", "1000", "en", 1, 1, 1),
        ("Ñandú", "ñandú", "es", 1, 1, 1),
        ("theatre", "atre", "en", 0, 0, 0),
    ],
)
def test_scores_are_those_of_the_field(answer, gold, language, em, f1, cover):
    assert exact_match(answer, gold, language) == em
    assert token_f1(answer, gold, language) == pytest.approx(f1)
    assert covers(answer, gold, language) == cover


def test_normalising_twice_changes_nothing():
    for text in ("The  U.S.A.—an  Answer!", "un ¿qué? el", "a an the", "an a-b"):
        for language in ("en", "es", "none"):
            once = normalised(text, language)
            assert normalised(once, "none") == once


def test_the_best_of_several_right_answers_counts_and_rows_without_one_do_not():
    metric = AnswerMetrics()
    metric.update(["big red", "x"], [["red", "big red"], None], [{}, {}])
    assert metric.compute() == {"em": 1.0, "f1": 1.0, "cover_em": 1.0, "rows_unjudged": 1.0}


def test_recall_is_the_share_of_what_is_known():
    metric = AnswerMetrics(recall_at=[1, 2])
    meta = [
        {"positives": [3, 1], "ranking": [1, 0, 3]},
        {"positives": [0], "ranking": [0, 1]},
        {"ranking": [0]},
        {"positives": [2]},
    ]
    metric.update(["a"] * 4, ["a"] * 4, meta)
    found = metric.compute()
    assert (found["recall@1"], found["recall@2"]) == (0.75, 0.75)


def test_batches_do_not_matter():
    rows = [(f"w{k % 3}", "w1", {"positives": [k % 4], "ranking": [3, 2, 1, 0]}) for k in range(11)]
    whole, parts = AnswerMetrics(), AnswerMetrics()
    whole.update(*map(list, zip(*rows, strict=True)))
    for row in rows:
        parts.update(*[[part] for part in row])
    assert whole.compute() == parts.compute()
    assert AnswerMetrics().compute() == {}
    assert torch.is_tensor(whole.lines[0])


@pytest.mark.parametrize(
    ("settings", "said"), [({"language": "nah"}, "'nah' is none of en"), ({"recall_at": [0]}, "0")]
)
def test_wrong_settings_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        AnswerMetrics(**settings)
