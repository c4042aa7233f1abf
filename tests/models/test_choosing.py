"""Choosing passages: forward the best one after the other, backward the softmax over those that are left."""

from __future__ import annotations

import pytest
import torch

from lit_llm.batch import Batch, Passages
from lit_llm.models.choosing import chosen, likeness, read_all, read_best, read_softly, rolled, straight_through


def test_forward_is_the_hard_choice_to_the_bit():
    scores = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    weights = straight_through(scores, 7, 0.02)
    assert set(weights.flatten().tolist()) == {0.0, 1.0}
    assert weights.argmax(-1).equal(scores.argsort(dim=-1, descending=True))
    assert weights.sum(1).equal(torch.ones(5, 7))


def test_a_lead_that_the_temperature_makes_huge_is_not_taken_twice():
    scores = torch.tensor([[0.9, 0.1, 0.05]], requires_grad=True)
    weights = straight_through(scores, 2, 0.02)
    assert weights[0].argmax(-1).tolist() == [0, 1]
    weights[0, 1, 2].backward()
    # What was taken first has no part in the second choice.
    assert scores.grad is not None and scores.grad[0, 0] == 0 and scores.grad[0, 2] > 0


def test_the_gradient_is_that_of_the_softmax_written_out():
    scores = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(3, 2, 4, dtype=torch.float64)
    (straight_through(scores, 2, 0.5) * direction).sum().backward()
    again = scores.detach().clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for row in range(3):
        left = list(range(4))
        for slot in range(2):
            powers = torch.stack([(again[row, at] / 0.5).exp() for at in left])
            total = total + (powers / powers.sum() * direction[row, slot, left]).sum()
            left.remove(max(left, key=lambda at, row=row: float(again[row, at])))
    total.backward()
    torch.testing.assert_close(scores.grad, again.grad, rtol=1e-12, atol=1e-12)


def test_missing_passages_are_never_read():
    rows = torch.tensor([[0, 1, 2], [2, -1, -1]])
    vectors = torch.randn(3, 2, 4)
    scores = likeness(torch.randn(2, 2, 4), vectors, rows)
    assert scores[1, 1:].tolist() == [-torch.inf] * 2
    assert scores.isfinite()[0].all()
    reading = read_best(vectors, rows, scores, 2)
    assert reading.ranking is not None and [len(row) for row in reading.ranking] == [3, 1]
    assert len(reading.vectors) == (2 + 1) * 2
    assert reading.vectors[-2:].equal(vectors[2])
    assert read_all(vectors, rows, None).vectors.equal(torch.cat([vectors.flatten(0, 1), vectors[2]]))


def test_gaps_are_means_over_the_passages_of_a_row():
    rows = torch.tensor([[0, 1], [2, -1]])
    gaps = read_all(torch.randn(3, 2, 4), rows, torch.tensor([1.0, 3.0, 5.0])).gaps
    assert gaps is not None and gaps.tolist() == [2.0, 5.0]


def test_soft_and_hard_reading_agree_forward():
    rows = torch.tensor([[3, 1, 2], [0, 2, 1]])
    vectors = torch.randn(4, 2, 8)
    scores = likeness(torch.randn(2, 2, 8), vectors, rows)
    assert read_softly(vectors, rows, scores, 2, 0.02).vectors.equal(read_best(vectors, rows, scores, 2).vectors)


def test_the_cosine_is_that_of_flat_vectors_in_float32():
    asked, vectors = torch.randn(2, 3, 4).bfloat16(), torch.randn(5, 3, 4).bfloat16()
    found = likeness(asked, vectors, torch.arange(5).expand(2, 5))
    flat = [torch.cosine_similarity(q.flatten().float(), v.flatten().float(), 0) for q in asked for v in vectors]
    torch.testing.assert_close(found.flatten(), torch.stack(flat))


def test_of_equal_ones_the_first_is_read():
    assert chosen(torch.zeros(1, 4), 3).tolist() == [[0, 1, 2]]


@pytest.mark.parametrize(
    ("own", "counts", "taken"),
    [
        ([[0], [1]], [1, 1], [1, 0]),
        ([[0], [1]], [1, 2], None),
        ([[0]], [1], None),
        # Rows of one passage take that of a row that has another.
        ([[0], [0], [0], [1]], [1, 1, 1, 1], [3, 3, 3, 0]),
        ([[0], [0]], [1, 1], None),
        ([[0, 1], [1, 2], [3, -1], [3, 4]], [2, 2, 1, 2], [3, 3, 2, 0]),
    ],
)
def test_rows_take_passages_of_others_that_have_none_in_common(own, counts, taken):
    size = len(own)
    ids = torch.zeros(size, 2, dtype=torch.long)
    rows = torch.tensor(own)
    passages = Passages(ids, ids, rows, rows == 0, ids, ids)
    marks = torch.arange(2) < torch.tensor(counts)[:, None]
    names = [str(row) for row in range(size)]
    found = rolled(Batch(names, "valid", "documents", ids, ids, ids, passages=passages, slots=marks))
    if taken is None:
        assert found is None
        return
    assert found is not None and found[0].passages is not None
    assert found[0].passages.rows.equal(rows[taken])
    assert found[1] == [row for row, other in enumerate(taken) if other != row]
