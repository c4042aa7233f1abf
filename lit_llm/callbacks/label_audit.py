"""Shows what is learned before anything is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lit_llm.callbacks.boards import cell, table, writers
from lit_llm.errors import DataError
from lit_llm.storage import write_atomically
from lit_llm.terminal import show

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from rich.text import Text

Tokens = Sequence[tuple[str, bool]]
"""The tokens of a row as text, and whether each is learned."""

AUDIT = "audit.json"
"""File of a run folder that holds the counts of its audit."""

NOTHING_LEARNED = "zero-label rows"
"""The count of an audit that must be 0."""


class LabelAudit(Callback):
    """Prints the data's counts and a few training rows before the first step.

    Learned tokens are green, masked ones dim; TensorBoard shows the same under ``audit``, with learned tokens in
    bold, and ``audit.json`` in the run folder keeps the counts. Counts are rows per split, truncated and dropped rows,
    rows without anything to learn (which stop the run), repeated texts and texts that training and validation share.

    Args:
        samples: rows to show.
        most_tokens: tokens of a row to show; from a longer one, the middle is left out.
    """

    def __init__(self, samples: int = 3, most_tokens: int = 300) -> None:
        self.samples = samples
        self.most_tokens = most_tokens
        self._counts: dict[str, int] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the audit.

        Raises:
            DataError: if a training row has no token that is learned.
        """
        datamodule: Any = getattr(trainer, "datamodule", None)
        if not hasattr(datamodule, "audit"):
            return
        report = datamodule.audit(self.samples)
        self._counts = dict(report.counts)
        samples = [shorten(sample, self.most_tokens) for sample in report.samples]
        if trainer.is_global_zero:
            print_report(report.counts, samples, notes=report.notes)
        for writer in writers(trainer):
            writer.add_text("audit/counts", _counts_markdown(report.counts))
            if report.notes:
                writer.add_text("audit/plan", "  \n".join(report.notes))
            for i, sample in enumerate(samples):
                writer.add_text(f"audit/sample {i + 1}", _markdown(sample))
        empty = report.counts.get(NOTHING_LEARNED, 0)
        if empty:
            raise DataError(
                f"data: {empty} training rows have no token to learn from: give them an answer, or raise "
                "data.init_args.max_length if it was cut off"
            )

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the counts in the run folder once the run has begun, and not before."""
        if self._counts and trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            content = json.dumps(self._counts, ensure_ascii=False, indent=1) + "\n"
            write_atomically(Path(trainer.default_root_dir) / AUDIT, content.encode())
        self._counts = {}


def print_report(
    counts: Mapping[str, int], samples: Sequence[Tokens], console: Any = None, notes: Sequence[str] = ()
) -> None:
    """Print counts and samples to the terminal, in colour where it has any.

    Args:
        counts: numbers by name.
        samples: rows as pieces of text and whether each is learned.
        console: where to print; by default standard error.
        notes: lines to print as they are.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    console.print("Label audit: learned tokens are green, masked ones dim", style="bold")
    styles = {i: "yellow" for i, (name, count) in enumerate(counts.items()) if count and _doubtful(name)}
    show(console, ["count", "rows"], [[name, f"{count:,}"] for name, count in counts.items()], styles=styles)
    for note in notes:
        console.print(note, style="yellow" if note.startswith("warning") else None, soft_wrap=True)
    for sample in samples:
        console.print(coloured(sample), soft_wrap=True)
        console.print()


def coloured(sample: Tokens) -> Text:
    """Return a row with learned tokens in green and masked ones dim."""
    from rich.text import Text

    text = Text()
    for piece, learned in sample:
        text.append(piece, style="bold green" if learned else "dim")
    return text


def shorten(sample: Tokens, most: int) -> list[tuple[str, bool]]:
    """Return a row of at most ``most`` tokens, with the middle of a longer one left out."""
    tokens = list(sample)
    if len(tokens) <= most:
        return tokens
    half = most // 2
    # The end holds the answer, which is what the audit is looked at for.
    return [*tokens[: most - half], (f" … {len(tokens) - most} tokens … ", False), *tokens[len(tokens) - half :]]


def _doubtful(name: str) -> bool:
    return not name.endswith(" rows") or name == NOTHING_LEARNED


def _counts_markdown(counts: Mapping[str, int]) -> str:
    return table(["count", "rows"], [[cell(name), str(count)] for name, count in counts.items()])


def _markdown(sample: Tokens) -> str:
    parts = []
    for learned, group in groupby(sample, key=lambda token: token[1]):
        text = cell("".join(piece for piece, _ in group), limit=10_000)
        parts.append(f"**{text}**" if learned else text)
    return "".join(parts)
