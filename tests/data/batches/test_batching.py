"""The rows of an optimizer step depend on seed and epoch alone."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from lit_llm.data.batches.batching import BatchPlan, BudgetPlan, PlannedLoader, sorted_batches
from lit_llm.errors import ConfigError

LENGTHS = [random.Random(0).randrange(5, 300) for _ in range(203)]


def rows_of_steps(batch_size: int, accumulate: int, world: int, epoch: int) -> list[list[int]]:
    """The rows of each step, put together again from the micro-batches of all processes."""
    plan = BatchPlan(LENGTHS, batch_size, batch_size * accumulate * world, seed=3)
    ranks = [list(plan.batches(epoch, rank, world)) for rank in range(world)]
    assert {len(r) for r in ranks} == {plan.count(world)}
    steps = []
    for start in range(0, plan.count(world), accumulate):
        rows = [row for r in ranks for batch in r[start : start + accumulate] for row in batch if row >= 0]
        steps.append(sorted(rows))
    return steps


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize(("batch_size", "accumulate", "world"), [(4, 2, 1), (1, 8, 1), (4, 1, 2), (2, 2, 2), (1, 2, 4)])
def test_steps_do_not_depend_on_how_they_are_cut(batch_size: int, accumulate: int, world: int, epoch: int) -> None:
    whole = rows_of_steps(8, 1, 1, epoch)
    assert rows_of_steps(batch_size, accumulate, world, epoch) == whole
    assert Counter(row for step in whole for row in step) == Counter(range(len(LENGTHS)))
    assert [len(step) for step in whole[:-1]] == [8] * 25
    assert len(whole[-1]) == 3


def test_epochs_and_seeds_differ_and_repeat() -> None:
    plan = BatchPlan(LENGTHS, 8, 8, seed=0)
    assert plan.steps(0) == BatchPlan(LENGTHS, 8, 8, seed=0).steps(0)
    assert plan.steps(0) != plan.steps(1)
    assert plan.steps(0) != BatchPlan(LENGTHS, 8, 8, seed=1).steps(0)


def test_rows_of_like_length_are_put_together() -> None:
    lengths = [random.Random(1).randrange(5, 300) for _ in range(2000)]
    steps = BatchPlan(lengths, 8, 8).steps(0)
    padded = sum(max(lengths[r] for r in step) * len(step) for step in steps)
    assert sum(lengths) / padded > 0.9


@pytest.mark.parametrize(("accumulate", "world"), [(1, 1), (4, 1), (2, 2), (1, 4), (4, 3)])
def test_under_a_budget_epochs_have_equally_many_batches_that_hold_every_row_once(accumulate: int, world: int) -> None:
    for epoch in range(3):
        plan = BudgetPlan(LENGTHS, 900, 16, accumulate * world, seed=3)
        ranks = [list(plan.batches(epoch, rank, world)) for rank in range(world)]
        assert {len(batches) for batches in ranks} == {plan.count(world)}
        rows = [row for batches in ranks for batch in batches for row in batch if row >= 0]
        assert Counter(rows) == Counter(range(len(LENGTHS)))
        for batch in (batch for batches in ranks for batch in batches):
            assert len(batch) <= 16
            assert len(batch) * max(LENGTHS[row] for row in batch) <= 900


def test_steps_under_a_budget_do_not_depend_on_how_they_are_cut() -> None:
    def steps(accumulate: int, world: int) -> list[set[int]]:
        plan = BudgetPlan(LENGTHS, 900, 16, accumulate * world)
        ranks = [list(plan.batches(0, rank, world)) for rank in range(world)]
        starts = range(0, plan.count(world), accumulate)
        return [{row for r in ranks for batch in r[i : i + accumulate] for row in batch} - {-1} for i in starts]

    assert steps(4, 1) == steps(2, 2) == steps(1, 4)


def test_a_budget_is_filled_and_neighbours_change() -> None:
    lengths = [random.Random(1).randrange(5, 300) for _ in range(2000)]
    plan = BudgetPlan(lengths, 2048, 1000, 1)
    padded = [len(batch) * max(lengths[row] for row in batch) for batch in plan.batches(0)]
    assert sum(lengths) / sum(padded) > 0.9
    assert sum(padded) / (2048 * len(padded)) > 0.8
    assert {frozenset(batch) for batch in plan.batches(0)}.isdisjoint(frozenset(batch) for batch in plan.batches(1))


def test_a_budget_below_the_longest_row_is_refused() -> None:
    with pytest.raises(ConfigError, match=rf"max_batch_tokens is 99, but the longest row takes {max(LENGTHS)}"):
        BudgetPlan(LENGTHS, 99, 16, 1)


def test_evaluation_batches_are_longest_first() -> None:
    batches = sorted_batches(LENGTHS, 32)
    order = [LENGTHS[row] for batch in batches for row in batch]
    assert order == sorted(LENGTHS, reverse=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_reads_its_position_when_the_first_batch_is_fetched(workers: int) -> None:
    place = (0, 0)
    plan = BatchPlan(LENGTHS, 8, 8)
    keys = list(range(len(LENGTHS)))

    class Rows:
        def __getitem__(self, key: tuple[int, int]) -> tuple[int, int]:
            return key[0], keys[key[1]]

    loader = PlannedLoader(Rows(), plan.batches, plan.count(), lambda: place, list, workers)  # type: ignore[arg-type]
    iterator = iter(loader)
    place = (1, 5)
    assert list(iterator) == [[(1, row) for row in batch] for batch in list(plan.batches(1))[5:]]
