"""Asks a run without files: the answers that ``predict`` would write, to texts given here and now."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lit_llm.batch import Prediction
from lit_llm.data.batches.batching import sorted_batches
from lit_llm.data.tokens.dataset import Row
from lit_llm.errors import ConfigError, DataError
from lit_llm.quiet import quiet, silent
from lit_llm.report.runs import open_run, single_trainer

SPLIT = "ask"
"""What the meta of an answer calls its split."""


class Answerer:
    """A trained run that answers texts, with the prompt, generator, precision and rounding of its ``config.yaml``.

    Args:
        run: folder of the run.
        checkpoint: ``best``, ``last``, or ``none`` for the base as it is.
        index: folder of an index that the run has made of a corpus, from which it answers.
        reads: how many of its passages an answer is read from; by default as the run does.

    Raises:
        ConfigError: if the folder holds no run, its checkpoint does not fit, its model writes no text, or the index is
            not of its making.
    """

    def __init__(
        self, run: str | Path, checkpoint: str = "best", index: str | None = None, reads: int | None = None
    ) -> None:
        quiet()
        if checkpoint not in ("best", "last", "none"):
            raise ConfigError(f"checkpoint: {checkpoint!r} is none of best, last and none")
        with silent():
            self.trainer = single_trainer(run)
            opened = open_run(run, checkpoint, self.trainer)
        self.folder, self.data = opened.folder, opened.data
        self.model: Any = opened.model
        if index is not None:
            if not hasattr(self.data, "use_index"):
                raise ConfigError(f"index: {run} reads no passages: name a run of lit_llm.data.DocumentsData")
            self.data.use_index(index, reads)
        adaptor = getattr(self.model, "adaptor", None)
        if not getattr(self.model, "writes_text", False) or (hasattr(self.model, "adaptor") and adaptor is None):
            raise ConfigError(f"run: {run} is a {type(self.model).__name__} that cannot answer: name a run that can")
        if adaptor is not None and hasattr(self.data, "expect"):
            self.data.expect(adaptor.norm.weight.shape[0])
        self.model.on_predict_start()

    def answer(self, texts: Sequence[str], *, part: str | None = None, **facts: Any) -> list[Prediction]:
        """Return an answer for every text, in their order; a text that cannot be asked has the status ``error``.

        Args:
            texts: what is asked; for a run of sign language paths of clips.
            part: of a mixture, the source that a text would belong to.
            facts: what a row of a file would say beside its text: ``direction`` and ``dialect`` of a translation,
                ``schema`` (a file) of an extraction, ``lang`` and ``key`` of a clip.

        Raises:
            ConfigError: if the run's task has no such fact, or needs one that is missing.
        """
        if isinstance(texts, str):
            raise ConfigError("texts: a list of texts is needed, not a single one: write [text]")
        data: Any = self.data.source(part)
        with suppress(DataError):
            # Wrong facts are no fault of a text, and are refused without one too.
            data.question("?", **facts)
        self.trainer.datamodule = data  # type: ignore[attr-defined]
        asked = [_asked(data, number, text, facts) for number, text in enumerate(texts, start=1)]
        found = {row.id: row for row in asked if isinstance(row, Prediction)}
        rows = [row for row in asked if isinstance(row, Row)]
        for batch in sorted_batches([row.encoded.prompt_length for row in rows], data.eval_batch_size):
            found |= {row.id: row for row in self._answers(data, [rows[at] for at in batch])}
        return [found[str(number)] for number in range(1, len(texts) + 1)]

    def _answers(self, data: Any, rows: list[Row]) -> list[Prediction]:
        plugin = self.trainer.precision_plugin
        batch = plugin.convert_input(data.collate(rows, SPLIT, generate=True))
        batch = batch.to(self.trainer.strategy.root_device)
        with plugin.predict_step_context(), torch.no_grad():
            found: list[Prediction] = self.model.predict_step(batch, 0)
        return found


def _asked(data: Any, number: int, text: str, facts: dict[str, Any]) -> Row | Prediction:
    """Return a text as a row to answer, or the error that it is answered with."""
    try:
        if not text.strip():
            raise DataError("is blank; write a text")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"is not UTF-8: {text[error.start : error.start + 1]!r} is no letter") from None
        example = replace(data.question(text, **facts), id=str(number))
        # As the rows of predict: one that cannot be answered says why.
        data.lenient = True
        row: Row = data.encode(SPLIT, [example])[(0, 0)]
        reason = row.example.error if row.example else ""
    except DataError as error:
        reason = str(error)
    return Prediction(str(number), text, "", "", "error", reason) if reason else row
