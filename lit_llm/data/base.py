"""The data module that all tasks share: read, validate, encode, batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_info

from lit_llm.data.asking import Asking
from lit_llm.data.batches.batching import rounded_up
from lit_llm.data.batches.resuming import Progress, check_same_rows
from lit_llm.data.days import written_on
from lit_llm.data.hygiene.auditing import AuditReport, repeated_texts, row_counts, shown_rows
from lit_llm.data.loaders import Loaders
from lit_llm.data.settings import at_least, positive, stage_name
from lit_llm.data.stored.cache import apart, is_large, kept_split, stored_split
from lit_llm.data.table import TableData, owner
from lit_llm.data.tokens.dataset import Example, Row, Split, encoded_rows
from lit_llm.data.tokens.encoding import Encoder
from lit_llm.data.tokens.prompting import ChatFormat, Encoded, Learn, Overflow
from lit_llm.data.tokens.templates import DAY
from lit_llm.data.variants.augmentation import Augmenter
from lit_llm.errors import ConfigError, DataError, UserError
from lit_llm.seeding import global_seed
from lit_llm.wording import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from transformers import PreTrainedTokenizerBase


UNLIMITED = 1 << 40
"""Tokens that a tokenizer names no limit for."""


class LMData(Asking, Loaders, TableData):
    """Reads files of one task and serves batches.

    Args:
        batch_size: rows of one forward pass in training, on one process.
        eval_batch_size: rows generated together.
        max_length: most tokens of prompt and answer together, in training and validation.
        overflow: what to do with a longer row: ``error``, ``drop`` it (from training only), or ``truncate_input``,
            which cuts the middle of its text; the answer is never cut, and all of it is counted.
        learn: ``answer`` learns from the answer alone, ``text`` from the whole conversation.
        system: text of the system turn.
        instruction: what is asked, put before the text; ``{text}`` in it marks another place for the text.
        chat_template: Jinja file to use in place of the tokenizer's own template.
        date: what a template that writes today's date takes for it, in training and whenever the run answers, as
            ``YYYY-MM-DD``.
        augmenter: makes variants of training texts.
        augmentation_factor: rows per training example in an epoch, itself included: 2 turns 1,000 into 2,000.
        pad_to_multiple_of: widths of training batches are multiples of this, because kernels are prepared, and memory
            is laid out, for every width anew.
        max_batch_tokens: most positions of one forward pass in training, padding among them: as many rows of like
            length as fit are put together then, ``batch_size`` at most.
        packing: put the training rows of a batch behind one another in a single row, without padding between them;
            none of them sees another. It pays where attention has kernels for rows of unlike length, as on GPUs.
        num_workers: processes that load ahead.
        seed: of shuffling and augmentation; by default that of ``seed_everything``.
        cache: keep encoded rows on disk, for this run to read one by one and for later ones to open at once; by default
            those of files of 2 MB and more. They lie in ``~/.cache/lit_llm``, or where ``LIT_LLM_CACHE`` says.
        **kwargs: as for ``TableData``: how files are read.
    """

    task: str = "text"
    reads_texts: bool = True
    """Whether the text of an example is what the model reads, and not a name for it."""

    def __init__(
        self,
        batch_size: int = 8,
        eval_batch_size: int = 32,
        max_length: int = 512,
        overflow: Overflow = "error",
        learn: Learn = "answer",
        system: str | None = None,
        instruction: str | None = None,
        chat_template: str | None = None,
        date: str = DAY,
        augmenter: Augmenter | None = None,
        augmentation_factor: int = 1,
        pad_to_multiple_of: int = 8,
        max_batch_tokens: int | None = None,
        packing: bool = False,
        num_workers: int = 0,
        seed: int | None = None,
        cache: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch_size = positive("batch_size", batch_size)
        self.eval_batch_size = positive("eval_batch_size", eval_batch_size)
        self.max_length = positive("max_length", max_length)
        self.overflow: Overflow = overflow
        self.learn: Learn = learn
        self.system, self.instruction, self.chat_template, self.date = system, instruction, chat_template, date
        self.augmenter = augmenter
        self.augmentation_factor = positive("augmentation_factor", augmentation_factor)
        if self.augmentation_factor > 1 and augmenter is None:
            raise ConfigError(
                f"data.init_args.augmentation_factor is {augmentation_factor} but data.init_args.augmenter is not "
                "set: name one, such as class_path: lit_llm.data.Augmenter"
            )
        self.pad_to_multiple_of = positive("pad_to_multiple_of", pad_to_multiple_of)
        self.max_batch_tokens = None if max_batch_tokens is None else positive("max_batch_tokens", max_batch_tokens)
        self.packing = packing
        if packing and not self.reads_texts:
            raise ConfigError("data.init_args.packing: rows with clips cannot stand in one row: leave it out")
        if packing and owner(self, "collate") is not Loaders:
            raise ConfigError(f"data.init_args.packing: {type(self).__name__} joins rows in its own way: leave it out")
        self.num_workers = at_least("num_workers", num_workers, 0)
        self.seed = global_seed() if seed is None else seed
        self.cache = cache
        if augmenter is not None and augmenter.seed is None:
            augmenter.seed = self.seed
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.finished_ids: set[str] = set()
        self.prefix = ""
        self.splits: dict[str, Split] = {}
        self.progress = Progress()

    @property
    def tasks(self) -> set[str]:
        """The tasks whose rows this data serves."""
        return {self.task}

    @property
    def main_task(self) -> str | None:
        """The task whose metrics are those of the whole; None of a mixture, which logs its parts' alone."""
        return self.task

    def label(self, name: str) -> str:
        """Return what batches call a split."""
        return f"{self.prefix}{name}"

    def labelled_files(self, stage: str) -> dict[str, str]:
        """Return the files that a stage reads, by what batches call their split."""
        return {self.label(name): path for name, path in self._files_of(stage).items() if path}

    def sides(self, example: Example) -> dict[str, str]:
        """Return the texts of an example that no other split may hold, by name; the answer may be a common one."""
        return {"text": example.text}

    def postprocess(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return a generated text as ``(prediction, status, error)``."""
        return raw, "ok", ""

    def settled(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a generated text as it counts from here on, and what is noted of the change in the row's meta."""
        return raw, {}

    def restated(self, example: Example, text: str, reference: Any) -> Example:
        """Return a variant of a training example from what the augmenter made of its text and reference."""
        return replace(example, text=text)

    def encode(self, name: str, examples: list[Example]) -> Split:
        """Return the examples of a split with their tokens."""
        return Split(name, self.encoded(name, examples), *self.variants(name))

    def encoded(self, name: str, examples: Iterable[Example]) -> Iterator[Row | None]:
        """Yield the examples of a split with their tokens; None for one that is dropped."""
        # A validation row is measured whatever its length: it is never dropped. No prompt is cut elsewhere.
        whole = name not in ("train", "valid") or (name == "valid" and self.overflow == "drop")
        rows = Encoder(self.format, None if whole else self.max_length, self.overflow, self.learn)
        encode = self._within_context(rows) if self.lenient else rows.encode
        return encoded_rows(examples, encode, lenient=self.lenient)

    def variants(self, name: str) -> tuple[Callable[[Example, int, int, int], Row | None] | None, int]:
        """Return what makes variants of a split's rows, and how many rows an example gives."""
        vary = self._vary if name == "train" and self.augmentation_factor > 1 else None
        return vary, self.augmentation_factor

    def row_facts(self) -> dict[str, Any]:
        """Return what decides the rows of a file besides its content and the settings of the data."""
        return {}

    def setup(self, stage: str) -> None:
        """Read and encode the files that a stage needs.

        Args:
            stage: ``fit``, ``validate``, ``test`` or ``predict``.

        Raises:
            ConfigError: if a file that the stage needs is not configured.
            DataError: if a record cannot be used.
        """
        self._take_tokenizer()
        self.lenient = stage_name(stage) == "predict"
        for name, path in self.needed(stage).items():
            if name not in self.splits:
                self.splits[name] = self._load(name, Path(path))

    @cached_property
    def format(self) -> ChatFormat:
        """How rows are written as conversations."""
        if self.tokenizer is None:
            raise ConfigError("data.tokenizer is not set: run through a trainer, or set it before setup()")
        return ChatFormat(self.tokenizer, self.system, self.instruction, self.chat_template, self.date)

    def row_order(self) -> list[str]:
        """Return the ids of all rows to predict, in input order."""
        return [example.id for name in self.needed("predict") for example in self.splits[name].examples]

    def template_fingerprint(self) -> str:
        """Return a hash of how conversations are written."""
        return self.format.fingerprint()

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the rows of ``predict``: their content, how they are written and batched."""
        rows = [
            (e.id, e.text, {k: v for k, v in e.meta.items() if k != "catalogues"}, str(e.context or ""), e.error)
            for name in self.needed("predict")
            for e in self.splits[name].examples
        ]
        digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]
        return {"rows": digest, "template": self.template_fingerprint(), "eval_batch_size": str(self.eval_batch_size)}

    def audit(self, samples: int = 3) -> AuditReport:
        """Count what was cut, dropped, repeated and shared, and show what a few training rows learn."""
        shown = shown_rows(self.splits["train"], self.format.tokenizer, samples)
        return AuditReport(dict(self.counts) | repeated_texts(self.splits), shown)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint must agree on: how conversations are written and which rows there are."""
        train = self.splits.get("train")
        rows = {"rows": len(train) if train else 0, "content": train.content if train else ""}
        rows["valid"] = self.splits["valid"].content if "valid" in self.splits else ""
        facts = {"template": self.template_fingerprint(), "task": self.task} | rows
        return facts | self.progress.state_dict(self._position()[1])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Check this data against that of a checkpoint.

        Raises:
            ConfigError: if the checkpoint was trained with another template, or resumes over other rows. Whether it
                goes on amid an epoch of other batches is found when batches are planned.
        """
        self.progress.load_state_dict(state_dict)
        check_same_rows(self.state_dict(), state_dict, trains="train" in self.splits)

    def _take_tokenizer(self) -> None:
        if self.tokenizer is None and self.trainer is not None:
            self.take_model(self.trainer.lightning_module)

    def take_model(self, model: Any) -> None:
        """Take from a model what rows are written with: its tokenizer."""
        self.tokenizer = model.tokenizer

    @property
    def encodes_one_by_one(self) -> bool:
        """Whether ``encoded`` gives what a split holds; not where a class has changed ``encode`` alone."""
        return owner(self, "encode") is owner(self, "encoded")

    def training_answers(self, most: int) -> Iterator[list[int]]:
        """Yield the tokens of training answers, evenly spread over the file.

        Of a large file that this run does not train on, they are those that are kept on disk, if any are.
        """
        split, file = self.splits.get("train"), self.files["train"]
        if not self.reads_texts or not file:
            return
        rows: Iterable[Row | None] = ()
        if split is None:
            with self._reading_aside():
                split = kept_split(self, "train", Path(file))
                if split is None and not is_large(self, Path(file)):
                    rows = list(self.encoded("train", _spread(self.chosen("train", Path(file)), most)))
        for row in rows if split is None else _spread(split.rows, most):
            if row:
                yield row.encoded.input_ids[row.encoded.prompt_length :]

    @contextmanager
    def _reading_aside(self) -> Iterator[None]:
        """Read what is not of this stage: what is wrong with it is said, and nothing of it is noted."""
        try:
            with apart(self, strictly=True):
                yield
        except (UserError, OSError) as error:
            rank_zero_info(f"no guesses are learned from training answers: {first_line(error)}")

    def _load(self, name: str, path: Path) -> Split:
        stored = stored_split(self, name, path)
        split = self.encode(name, self.chosen(name, path)) if stored is None else stored
        if not split.rows:
            count = split.dropped
            raise DataError(
                f"{path}: no row is left of {count}; all {count} are too long: raise data.init_args.max_length"
            )
        self.counts.update(row_counts(split))
        if failed := len(split.failed()):
            rank_zero_info(f"{path}: {failed} of {len(split.rows)} rows cannot be answered and get the status error")
        if name == "train" and (place := split.unlabelled[1]):
            raise DataError(f"{place}: nothing is learned from this row: it has no labelled token")
        return split

    def _within_context(self, rows: Encoder) -> Callable[[Example], Encoded | None]:
        """Return an encoding that refuses prompts longer than the model was made for."""

        def encode(example: Example) -> Encoded | None:
            encoded = rows.encode(replace(example, answer=None))
            if encoded:
                self.refuse_beyond_context(encoded)
            return encoded

        return encode

    def refuse_beyond_context(self, encoded: Encoded) -> None:
        """Refuse a prompt that is longer than the model was made for, with a DataError."""
        most = int(min(self.format.tokenizer.model_max_length, UNLIMITED))
        if encoded.prompt_length > most:
            raise DataError(f"its prompt of {encoded.prompt_length:,} tokens exceeds the {most:,} of the model")

    def note_skipped(self) -> None:
        """Write the rows that were left out to the run folder, once the run is sure to go on."""
        if self.skipped and self.trainer is not None and self.trainer.is_global_zero:
            self.write_skipped(Path(self.trainer.default_root_dir))

    def _vary(self, example: Example, epoch: int, index: int, variant: int) -> Row | None:
        if self.augmenter is None:
            return None
        day = written_on(example.meta)
        text, reference = self.augmenter.augment(
            example.text, example.reference, epoch=epoch, index=index, variant=variant, day=day
        )
        other = self.restated(example, text, reference)
        # A variant that has grown too long is not worth an error amid training: the example itself is used.
        most = self.max_length
        if self.max_batch_tokens is not None:
            own = self.splits["train"].rows[index].encoded.input_ids
            most = min(most, rounded_up(len(own), self.pad_to_multiple_of))
        encoded = Encoder(self.format, most, "drop", self.learn).encode(other)
        return Row(other, encoded) if encoded else None


def _spread(rows: Sequence[Any], most: int) -> Iterator[Any]:
    """Yield so many of some rows, evenly spread."""
    return (rows[at] for at in range(0, len(rows), max(1, -(-len(rows) // most))))
