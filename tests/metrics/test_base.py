from __future__ import annotations

import pytest

from lit_llm.metrics import FieldScore


@pytest.mark.parametrize(
    ("score", "precision", "recall", "f1", "support"),
    [
        (FieldScore(3, 1, 2), 3 / 4, 3 / 5, 6 / 9, 5),
        (FieldScore(0, 0, 2), 0.0, 0.0, 0.0, 2),
        (FieldScore(0, 2, 0), 0.0, 0.0, 0.0, 0),
        (FieldScore(), 1.0, 1.0, 1.0, 0),
    ],
)
def test_scores_of_counts(score, precision, recall, f1, support):
    assert (score.precision, score.recall, score.f1, score.support) == (precision, recall, f1, support)


def test_scores_add_up():
    assert FieldScore(1, 2, 3) + FieldScore(10, 20, 30) == FieldScore(11, 22, 33)
