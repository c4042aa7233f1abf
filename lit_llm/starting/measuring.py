"""How long a first run will take: a few real steps and answers, counted up."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning.pytorch import LightningModule, Trainer

STEPS = 4
WARM_UP = 1
"""Steps that are slower than those after them."""

TOKENS = (1, 1, 13)
"""Longest answers of the batches that are timed: the first warms up, the others part prompts from answers."""

START = 15.0
"""Seconds that a verb takes before its first step."""


@dataclass(frozen=True)
class Pace:
    """What a machine was seen to take.

    Attributes:
        step: seconds of an optimizer step.
        prompt: seconds in which a batch of the longest prompts is read and its loss measured.
        token: seconds in which a batch of answers grows by a token.
    """

    step: float
    prompt: float
    token: float

    def answer(self, tokens: int) -> float:
        """Return the seconds in which a batch of answers of so many tokens is written."""
        return self.prompt + tokens * self.token

    def seconds(self, steps: int, validations: int, answer_batches: int, answer_tokens: int) -> float:
        """Return what a run takes.

        Args:
            steps: of the optimizer.
            validations: how often the validation rows are answered.
            answer_batches: batches of these.
            answer_tokens: tokens of their longest answers.
        """
        return START + steps * self.step + validations * answer_batches * self.answer(answer_tokens)


class Stopwatch(Callback):
    """Writes the seconds of steps and of answers to a file.

    Args:
        file: JSON file with the fields of ``Pace``.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.steps: list[float] = []
        self.answers: list[float] = []
        self._begun = 0.0

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Begin a step."""
        self._begun = time.perf_counter()

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """End a step."""
        self.steps.append(time.perf_counter() - self._begun)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Begin a batch of answers."""
        ways: Any = pl_module
        ways.generator.max_new_tokens = self._limits(trainer)[len(self.answers)]
        self._begun = time.perf_counter()

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """End a batch of answers."""
        self.answers.append(time.perf_counter() - self._begun)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was seen."""
        *before, last = self.answers
        tokens = TOKENS[-1]
        token = (last - before[-1]) / (tokens - 1) if before and before[-1] < last else last / tokens
        pace = Pace(median(self.steps[WARM_UP:] or self.steps), max(0.0, last - tokens * token), token)
        Path(self.file).write_text(json.dumps(asdict(pace)), encoding="utf-8")

    def _limits(self, trainer: Trainer) -> tuple[int, ...]:
        """Return the longest answers of the batches that there are."""
        batches: Any = trainer.num_val_batches
        return TOKENS[-int(batches[0]) :]


def measure_pace(run_file: Path) -> Pace:
    """Train a few steps of a run file and answer a batch, in a folder that is then removed.

    Raises:
        UserError: what `fit` would raise.
    """
    from lit_llm.cli import main

    with tempfile.TemporaryDirectory() as folder, _silence():
        file = Path(folder) / "pace.json"
        watch = {"class_path": "lit_llm.starting.measuring.Stopwatch", "init_args": {"file": str(file)}}
        options = {
            "trainer.default_root_dir": str(Path(folder) / "run"),
            "trainer.callbacks": json.dumps([watch]),
            "trainer.logger": "false",
            "trainer.enable_progress_bar": "false",
            "trainer.enable_model_summary": "false",
            "trainer.max_epochs": "1",
            "trainer.check_val_every_n_epoch": "1",
            "trainer.limit_train_batches": str(STEPS),
            "trainer.limit_val_batches": str(len(TOKENS)),
        }
        main(["fit", "--config", str(run_file), *(f"--{key}={value}" for key, value in options.items())])
        return Pace(**json.loads(file.read_text(encoding="utf-8")))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    arguments, level = sys.argv[1:], logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(level)
        sys.argv[1:] = arguments
