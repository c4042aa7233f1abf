"""The rows of an optimizer step depend on seed and epoch alone."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from lit_llm.data.batching import BatchPlan, PlannedLoader, sorted_batches

LENGTHS = [random.Random(0).randrange(5, 300) for _ in range(203)]


def rows_of_steps(batch_size: int, accumulate: int, world: int, epoch: int) -> list[list[int]]:
    """The rows of each step, put together again from the micro-batches of all processes."""
    plan = BatchPlan(LENGTHS, batch_size, batch_size * accumulate * world, seed=3)
    ranks = [plan.batches(epoch, rank, world) for rank in range(world)]
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
    assert list(iterator) == [[(1, row) for row in batch] for batch in plan.batches(1)[5:]]
