"""What a test would score without a model, beside what the model scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from lit_llm.callbacks.results import ResultsFile
from lit_llm.errors import UserError

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

    from lit_llm.data.base import LMData
    from lit_llm.data.tokens.dataset import Example

Scores = dict[str, dict[str, dict[str, float]]]
"""Numbers by test name, baseline and metric."""


class Baselines(Callback):
    """Scores two answers that need no model with the metrics of ``validate`` and ``test``.

    One answers every row with the commonest training answer, the other with the answer of the training text that is
    nearest by character n-grams. A model that does not beat them has learned little; the table after a test warns then,
    and ``results/`` keeps the scores. Clips have no text, so of them there is the commonest answer alone. Where rows
    have directions, each is answered from training rows of its own.

    Args:
        measure: which ones; an empty list measures none.
        most_characters: of training texts that nearness is looked for in; of more, texts evenly spread over the file
            are used, and that is said.
    """

    def __init__(
        self,
        measure: Sequence[Literal["commonest", "nearest"]] = ("commonest", "nearest"),
        most_characters: int = 4_000_000,
    ) -> None:
        self.measure = list(measure)
        self.most_characters = most_characters
        self._measured: set[str] = set()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the rows of the test before."""
        self._measured = set()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the rows of the validation before."""
        self._measured = set()

    def on_test_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Note which rows are measured."""
        self._measured.update(getattr(batch, "ids", []))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *_: Any
    ) -> None:
        """Note which rows are measured."""
        if trainer.state.fn == "validate":
            self._measured.update(getattr(batch, "ids", []))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the scores if the result is there already; the list may hold the two in either order."""
        self._add(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the scores to the result before it is written."""
        self._add(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the scores if the result of ``validate`` is there already."""
        self._add(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the scores to the result of ``validate`` before it is written."""
        self._add(trainer, pl_module)

    def _add(self, trainer: Trainer, module: LightningModule) -> None:
        file = next((c for c in trainer.callbacks if isinstance(c, ResultsFile)), None)  # type: ignore[attr-defined]
        if file is None or file.result is None or file.result.baselines or trainer.state.fn not in ("validate", "test"):
            return
        # One process alone reads, answers and scores: nothing in here waits for the others.
        if trainer.is_global_zero and self.measure:
            file.result.baselines = self._scores(trainer, module, file.result.verb)

    def _scores(self, trainer: Trainer, module: Any, stage: str) -> Scores:
        found: Scores = {}
        limited = trainer.limit_test_batches if stage == "test" else trainer.limit_val_batches
        if trainer.world_size > 1 and limited != 1.0:
            rank_zero_info("baselines: not measured, because processes have shared out a part of the rows")
            return {}
        for part in _parts(getattr(trainer, "datamodule", None)):
            names = list(part.test_files) if stage == "test" else ["valid"]
            splits = {part.label(name): part.splits[name].examples for name in names if name in part.splits}
            metrics = [metric for metric in getattr(module, "metrics", []) if metric.task == part.task]
            if not splits or not metrics:
                continue
            try:
                found |= self._of_part(part, splits, metrics, everything=trainer.world_size > 1)
            except (UserError, OSError) as error:
                rank_zero_info(f"baselines: not measured: {error}")
        return found

    def _of_part(
        self, part: LMData, splits: dict[str, Sequence[Example]], metrics: list[Any], everything: bool
    ) -> Scores:
        if not part.files["train"]:
            raise UserError("data.init_args.train names no file to answer from")
        train = part.select("train", part.read(Path(part.files["train"])))
        found: Scores = {}
        for label, examples in splits.items():
            rows = [row for row in examples if everything or row.id in self._measured]
            answers = self._answers(train, rows, texts=part.reads_texts)
            found[label] = {name: _score(metrics, rows, texts) for name, texts in answers.items()}
        return found

    def _answers(self, train: list[Example], rows: list[Example], *, texts: bool) -> dict[str, list[str]]:
        """Return the answer to each row by baseline."""
        from lit_llm.data.hygiene.baselines import COMMONEST, NEAREST, commonest_answer, nearest_answers

        known, asked = _by_direction(train), _by_direction(rows)
        if missing := [direction for direction in asked if direction not in known]:
            raise UserError(f"no training row has the direction {missing[0]!r}")
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for direction, some in asked.items():
            if "commonest" in self.measure:
                found[COMMONEST] |= dict.fromkeys((row.id for row in some), commonest_answer(known[direction]))
            if "nearest" in self.measure and texts:
                used = self._few_enough(known[direction])
                answers = nearest_answers(used, [row.text for row in some])
                found[NEAREST] |= dict(zip((row.id for row in some), answers, strict=True))
        return {name: [answers[row.id] for row in rows] for name, answers in found.items()}

    def _few_enough(self, train: list[Example]) -> list[Example]:
        total = sum(len(row.text) for row in train)
        every = -(-total // self.most_characters)
        if every > 1:
            used = len(train[::every])
            rank_zero_info(f"baselines: the nearest of {used:,} of the {len(train):,} training texts")
        return train[::every]


def _parts(data: Any) -> Iterator[LMData]:
    """Yield the data modules that read files: those of a mixture, or the one there is."""
    for part in getattr(data, "parts", {}).values():
        yield from _parts(part)
    if hasattr(data, "test_files") and not hasattr(data, "parts"):
        yield data


def _by_direction(rows: list[Example]) -> dict[str, list[Example]]:
    found: defaultdict[str, list[Example]] = defaultdict(list)
    for row in rows:
        found[str(row.meta.get("direction", ""))].append(row)
    return dict(found)


def _score(metrics: list[Any], rows: list[Example], answers: list[str]) -> dict[str, float]:
    """Return what fresh copies of the metrics say of answers."""
    found: dict[str, float] = {}
    meta = [row.meta | {"id": row.id, "source": row.text, "finished": True} for row in rows]
    for metric in metrics:
        alone = metric.clone()
        alone.reset()
        # Counts of this process are all there are: gathering would wait for processes that do not come.
        alone._to_sync = alone.sync_on_compute = False
        alone.update(answers, [row.reference for row in rows], meta)
        found |= {name: float(value) for name, value in alone.compute().items()}
    return found
