"""Deterministic, resumable, length-aware batches."""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    from torch.utils.data import Dataset

EMPTY: list[int] = [-1]
"""A micro-batch of one row that is not real, for a process that has no rows left in a step."""

POOL_STEPS = 32
"""How many optimizer steps are drawn together before rows of like length are put side by side."""

PIECE = 10_000
"""Numbers that are written at a time."""

BUCKET_GROWTH = 1.15
"""How much wider than the narrowest row of a bucket its widest may be."""


@dataclass(frozen=True)
class BatchPlan:
    """Which rows form which optimizer step: a function of seed and epoch alone.

    The rows of a step are the same for any split of ``step_rows`` into processes, accumulation and batch size, so a
    gradient does not depend on how a step is carried out.

    Attributes:
        lengths: tokens of each row, used to put rows of like length together.
        batch_size: rows of one forward pass.
        step_rows: rows of one optimizer step over all processes, a multiple of ``batch_size``.
        seed: of the shuffle.
        draw: returns the rows of an epoch, always equally many; by default all of them, once.
    """

    lengths: Sequence[int]
    batch_size: int
    step_rows: int
    seed: int = 0
    draw: Callable[[int], list[int]] | None = None

    def steps(self, epoch: int) -> list[list[int]]:
        """Return the row indices of each optimizer step of an epoch; the last step may be short."""
        return [list(step) for step in self._steps(epoch)]

    def batches(self, epoch: int, rank: int = 0, world_size: int = 1) -> Iterator[list[int]]:
        """Yield the micro-batches of one process, in order; every process gets equally many."""
        for step in self._steps(epoch):
            micro = [list(step[i : i + self.batch_size]) for i in range(0, len(step), self.batch_size)]
            yield from _share(micro, rank, world_size)

    def count(self, world_size: int = 1) -> int:
        """Return how many micro-batches each process has in an epoch."""
        full, rest = divmod(len(self._rows(0)), self.step_rows)
        per_step = self.step_rows // self.batch_size // world_size
        return full * per_step + math.ceil(math.ceil(rest / self.batch_size) / world_size)

    def fingerprint(self) -> str:
        """Return a hash of what decides which rows are in which batch, all epochs' seeds included."""
        return _hash(self.lengths, self.batch_size, self.step_rows, self.seed)

    def _steps(self, epoch: int) -> list[Sequence[int]]:
        # A stream of its own for every epoch: a resumed run need not draw the epochs before.
        rng = random.Random(f"{self.seed}/{epoch}/plan")
        rows = self._rows(epoch)
        rng.shuffle(rows)
        # Sorting all rows by length would make the same steps every epoch; a pool keeps them random.
        pool = self.step_rows * POOL_STEPS
        steps: list[Sequence[int]] = []
        for start in range(0, len(rows), pool):
            near = array("q", sorted(rows[start : start + pool], key=self.lengths.__getitem__, reverse=True))
            steps += [near[i : i + self.step_rows] for i in range(0, len(near), self.step_rows)]
        # A short step must stay last: only there does a trainer step before its accumulation window is full.
        short = [step for step in steps if len(step) < self.step_rows]
        full = [step for step in steps if len(step) == self.step_rows]
        rng.shuffle(full)
        return full + short

    def _rows(self, epoch: int) -> MutableSequence[int]:
        """Return the rows of an epoch; as an array, since a list of numbers takes five times the memory."""
        return array("q", self.draw(epoch) if self.draw else range(len(self.lengths)))


@dataclass(frozen=True)
class BudgetPlan:
    """Micro-batches of as many rows of like width as fit under a budget: a function of seed and epoch alone.

    Rows of like width are put into buckets once. In every epoch, those of a bucket are shuffled and cut into batches of
    one size anew, so that all epochs have equally many; the batches of all buckets then follow in random order.

    Attributes:
        widths: positions that each row takes, those that round it up among them.
        budget: most positions of a batch, padding among them.
        batch_size: most rows of a batch.
        step_batches: batches of one optimizer step over all processes.
        seed: of the shuffle.
    """

    widths: Sequence[int]
    budget: int
    batch_size: int
    step_batches: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a budget that the longest row does not fit into.

        Raises:
            ConfigError: if it does not.
        """
        if self.budget < max(self.widths, default=0):
            raise ConfigError(
                f"data.init_args.max_batch_tokens is {self.budget}, but the longest row takes {max(self.widths)} "
                "positions: raise it, or lower max_length and set overflow to drop"
            )

    @cached_property
    def buckets(self) -> list[tuple[int, array[int]]]:
        """The rows of each bucket, and how many of them form a batch."""
        found: list[tuple[int, array[int]]] = []
        widest = 0
        for row in sorted(range(len(self.widths)), key=self.widths.__getitem__, reverse=True):
            if not found or self.widths[row] < widest / BUCKET_GROWTH:
                widest = self.widths[row]
                found.append((min(self.batch_size, self.budget // widest), array("q")))
            found[-1][1].append(row)
        return found

    def batches(self, epoch: int, rank: int = 0, world_size: int = 1) -> Iterator[list[int]]:
        """Yield the micro-batches of one process, in order; every process gets equally many."""
        rng = random.Random(f"{self.seed}/{epoch}/plan")
        everything: list[array[int]] = []
        for size, rows in self.buckets:
            mixed = array("q", rng.sample(rows, len(rows)))
            everything += [mixed[i : i + size] for i in range(0, len(mixed), size)]
        rng.shuffle(everything)
        for start in range(0, len(everything), self.step_batches):
            step = [list(batch) for batch in everything[start : start + self.step_batches]]
            yield from _share(step, rank, world_size)

    def count(self, world_size: int = 1) -> int:
        """Return how many micro-batches each process has in an epoch."""
        return math.ceil(sum(math.ceil(len(rows) / size) for size, rows in self.buckets) / world_size)

    def fingerprint(self) -> str:
        """Return a hash of what decides which rows are in which batch, all epochs' seeds included."""
        return _hash(self.widths, self.budget, self.batch_size, self.step_batches, self.seed)


def plan(
    lengths: Sequence[int],
    batch_size: int,
    step_batches: int,
    seed: int,
    multiple: int,
    budget: int | None = None,
    draw: Callable[[int], list[int]] | None = None,
) -> BatchPlan | BudgetPlan:
    """Return the plan of training rows.

    Args:
        lengths: tokens of each row.
        batch_size: rows of a batch; with a budget the most.
        step_batches: batches of one optimizer step over all processes.
        seed: of the shuffle.
        multiple: widths of batches are multiples of this.
        budget: most positions of a batch.
        draw: returns the rows of an epoch; not with a budget.
    """
    if budget is None:
        return BatchPlan(lengths, batch_size, batch_size * step_batches, seed, draw)
    widths = array("q", (rounded_up(length, multiple) for length in lengths))
    return BudgetPlan(widths, budget, batch_size, step_batches, seed)


def rounded_up(length: int, multiple: int) -> int:
    """Return the least multiple that is not smaller."""
    return -(-length // multiple) * multiple


def _hash(lengths: Sequence[int], *others: int) -> str:
    """Return a hash of numbers, that of how a list of them and the others are written."""
    found = hashlib.sha256(b"([")
    for start in range(0, len(lengths), PIECE):
        between = ", " if start else ""
        found.update((between + ", ".join(map(str, lengths[start : start + PIECE]))).encode())
    found.update(f"], {', '.join(map(str, others))})".encode())
    return found.hexdigest()[:16]


def sorted_batches(lengths: Sequence[int], batch_size: int, apart: Collection[int] = ()) -> list[list[int]]:
    """Return batches of rows sorted longest first, so that a batch that does not fit in memory is met at once.

    Args:
        lengths: of all rows.
        batch_size: rows of a batch.
        apart: rows that are put into batches of their own, behind the others.
    """
    rows = sorted((row for row in range(len(lengths)) if row not in apart), key=lambda row: (-lengths[row], row))
    return [part[i : i + batch_size] for part in (rows, sorted(apart)) for i in range(0, len(part), batch_size)]


def _share(batches: list[list[int]], rank: int, world_size: int) -> list[list[int]]:
    mine = batches[rank::world_size]
    return mine + [EMPTY] * (math.ceil(len(batches) / world_size) - len(mine))


class PlannedLoader:
    """Yields the batches of a plan from the position that training has reached.

    The position is asked for when the first batch is fetched, not when the iterator is made, because a trainer may
    make the iterator before it has restored its counters.

    Args:
        dataset: gives a row for an ``(epoch, index)`` pair.
        batches: returns all index batches of an epoch.
        length: number of batches in every epoch.
        position: returns the current epoch and how many of its batches are done.
        collate: joins rows into a batch.
        num_workers: processes that load ahead.
        pin_memory: whether to load into page-locked memory, for copies to a GPU.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batches: Callable[[int], Iterable[list[int]]],
        length: int,
        position: Callable[[], tuple[int, int]],
        collate: Callable[[list[Any]], Any],
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batches = batches
        self.length = length
        self.position = position
        self.collate = collate
        self.num_workers = num_workers
        self.pin_memory = pin_memory

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Any]:
        from torch.utils.data import DataLoader

        epoch, done = self.position()
        yield from DataLoader(
            self.dataset,
            batch_sampler=_Upcoming(self.batches, epoch, done),  # type: ignore[arg-type]
            collate_fn=self.collate,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: the trainer's own counters are the position."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept what ``state_dict`` gave; its presence tells Lightning that the loader can be resumed."""


class _Upcoming:
    """The batches of an epoch that are to come, as pairs of epoch and row; they are listed as they are asked for."""

    def __init__(self, batches: Callable[[int], Iterable[list[int]]], epoch: int, done: int) -> None:
        self.batches, self.epoch, self.done = batches, epoch, done

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for batch in islice(self.batches(self.epoch), self.done, None):
            yield [(self.epoch, row) for row in batch]


def eval_loader(
    dataset: Dataset[Any],
    batches: list[list[int]],
    collate: Callable[[list[Any]], Any],
    rank: int,
    world_size: int,
    num_workers: int = 0,
) -> PlannedLoader:
    """Return a loader of fixed batches, shared out among processes and evened out with rows that are not real."""
    mine = _share(batches, rank, world_size)
    return PlannedLoader(dataset, lambda epoch: mine, len(mine), lambda: (0, 0), collate, num_workers)
