"""Encoded rows become batches: the loaders of a data module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lit_llm.data.batches.batching import PlannedLoader, eval_loader, plan, sorted_batches
from lit_llm.data.batches.collating import collate, pack
from lit_llm.data.batches.resuming import Progress, check_validated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch.utils.data import Dataset

    from lit_llm.batch import Batch
    from lit_llm.data.tokens.dataset import Row, Split
    from lit_llm.data.tokens.prompting import ChatFormat


class Loaders:
    """The part of a data module that serves batches; ``LMData`` has its settings."""

    task: str
    trainer: Any
    batch_size: int
    eval_batch_size: int
    pad_to_multiple_of: int
    max_batch_tokens: int | None
    packing: bool
    num_workers: int
    seed: int
    splits: dict[str, Split]
    test_files: dict[str, str]
    finished_ids: set[str]
    progress: Progress
    label: Callable[[str], str]
    note_skipped: Callable[[], None]
    needed: Callable[[str], dict[str, str]]

    @property
    def format(self) -> ChatFormat:
        """How rows are written as conversations."""
        raise NotImplementedError

    def train_dataloader(self) -> PlannedLoader:
        """Return the loader of the training split; its steps depend on seed and epoch alone."""
        return self._train_loader(self.splits["train"], self.splits["train"].lengths())

    def val_dataloader(self) -> Any:
        """Return the loader of the validation split, longest prompts first; empty without one."""
        return self._eval_loader("valid") if "valid" in self.splits else []

    def test_dataloader(self) -> Any:
        """Return a loader for each test file, in the order of the configuration."""
        return [self._eval_loader(name) for name in self.test_files]

    def predict_dataloader(self) -> Any:
        """Return loaders without the batches whose rows are all in ``finished_ids``."""
        return [self._eval_loader(name) for name in self.needed("predict")]

    def collate(self, rows: list[Row], split: str, *, generate: bool) -> Batch:
        """Join rows into a batch, padded on the right; with ``generate`` also their prompts, padded on the left."""
        if self.packing and not generate:
            return pack(rows, split, self.task, self.pad_id(), self.pad_to_multiple_of)
        return collate(rows, split, self.task, self.pad_id(), self.pad_to_multiple_of, generate=generate)

    def pad_id(self) -> int:
        """Return the token that fills short rows; it is masked, so any will do."""
        tokenizer = self.format.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        return int(pad or 0)

    def _train_loader(
        self, rows: Dataset[Row], lengths: Sequence[int], draw: Callable[[int], list[int]] | None = None
    ) -> PlannedLoader:
        """Return the loader of training rows that have these lengths; ``draw`` gives the rows of an epoch."""
        trainer = self.trainer
        world, accumulated = (trainer.world_size, trainer.accumulate_grad_batches) if trainer else (1, 1)
        rank = trainer.global_rank if trainer else 0
        steps = accumulated * world
        planned = plan(lengths, self.batch_size, steps, self.seed, self.pad_to_multiple_of, self.max_batch_tokens, draw)
        self.progress.check(planned.fingerprint(), planned.count(world))
        check_validated(trainer, planned.count(world))
        self.note_skipped()
        return PlannedLoader(
            rows,
            batches=lambda epoch: planned.batches(epoch, rank, world),
            length=planned.count(world),
            position=self._position,
            collate=lambda batch: self.collate(batch, "train", generate=False),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def _eval_loader(self, name: str) -> Any:
        self.note_skipped()
        split = self.splits[name]
        # Batches are fixed before finished rows are taken out: a resumed run must meet the same neighbours.
        batches = sorted_batches(split.lengths(prompt=True), self.eval_batch_size, split.failed())
        done, examples = self.finished_ids, split.examples
        unfinished = [b for b in batches if not done or any(examples[row].id not in done for row in b)]
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        label = self.label(name)
        return eval_loader(
            split, unfinished, lambda rows: self.collate(rows, label, generate=True), rank, world, self.num_workers
        )

    def _position(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 0
        return self.trainer.current_epoch, self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
