"""Questions that are answered from passages: their vectors, or their text, stand in the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lit_llm.batch import Batch
from lit_llm.data.base import LMData
from lit_llm.data.passages import (
    Fields,
    Finder,
    PassageEncoder,
    PassageExample,
    PassageRow,
    PassageSplit,
    Shown,
    examples_of,
    finder_of,
    joined,
    rolled,
)
from lit_llm.data.passages.layouts import Pairs
from lit_llm.data.records.reading import Record
from lit_llm.data.settings import at_least, positive
from lit_llm.data.tokens.dataset import NOTHING, Example, Row
from lit_llm.data.tokens.prompting import Context
from lit_llm.errors import ConfigError, DataError
from lit_llm.retrieval import Retriever, VectorIndex

INSTRUCTION = "Background:\n{passages}\n\nQuestion: {question}\nAnswer briefly."
"""What is asked unless ``instruction`` says otherwise."""

WITHOUT = "Question: {question}\nAnswer briefly."
"""The same where no passages are shown."""

LEARNED = ("train", "valid")
"""The splits that a run learns from or is chosen by."""

Corruption = Literal["none", "rolled", "zeroed"]
"""How passages may be spoiled."""


class DocumentsData(LMData):
    """Questions, and the passages that they are answered from.

    Files are JSONL or Parquet with a question, its passages and its answer in each row, or several questions with
    their answers; rows with ``instruction``, ``input`` and ``output``, and rows of the type ``paraphrase``, are read
    too. A passage that is longer than ``passage_tokens`` is cut into several.

    Args:
        passages: what of them a prompt shows: their ``vectors``, of a model that makes them, their ``text``, or
            ``none``.
        passage_tokens: most tokens of a passage; by default the model's, or 256.
        overlap: tokens that a passage has in common with the one before it in a document.
        reads: how many passages an answer is read from, where a row has more; by default all of them.
        pairs: what becomes of several questions with their answers in one row: they are answered ``together``, or
            ``apart``, as an example for each.
        question_field: column of the question.
        answer_field: column of the answer; by default ``answer``, ``answers``, ``gold_answer`` or ``output``.
        passages_field: column of the passages.
        positives_field: column of the numbers of the passages that hold the answer, from 0.
        names_field: column of the names of the passages or documents that hold it, in a corpus or an index.
        index: folder that ``python -m lit_llm compress`` has made of a corpus: what is tested or answered is read from
            the ``reads`` passages whose vectors are found there, and not from those of its rows.
        retriever: finds passages by their text: in ``corpus``, or else among those of a row.
        corpus: file or folder of texts, in which the passages of all rows are found.
        candidates: how many passages the retriever gives to each row; by default ``reads``.
        corrupt: spoils what is tested or answered, to see that a score falls: ``rolled`` gives each row the passages of
            the next one, ``zeroed`` makes their vectors zeros.
        **kwargs: as for ``LMData``; ``instruction`` has places for ``{passages}`` and ``{question}``, and ``overflow``
            may be ``error`` or ``drop``.

    Raises:
        ConfigError: if a value is not possible.
    """

    task = "documents"

    def __init__(
        self,
        passages: Shown = "vectors",
        passage_tokens: int | None = None,
        overlap: int = 0,
        reads: int | None = None,
        pairs: Pairs = "together",
        question_field: str = "question",
        answer_field: str | None = None,
        passages_field: str = "docs",
        positives_field: str = "pos_index",
        names_field: str = "pos_name",
        index: str | None = None,
        retriever: Retriever | None = None,
        corpus: str | None = None,
        candidates: int | None = None,
        corrupt: Corruption = "none",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if self.augmenter is not None:
            raise ConfigError("data.init_args.augmenter: it rewrites orders, and a question is none; leave it out")
        if self.overflow == "truncate_input":
            raise ConfigError("data.init_args.overflow: a question and its passages are never cut; use error or drop")
        self.passages = passages
        self.passage_tokens = None if passage_tokens is None else positive("passage_tokens", passage_tokens)
        self.overlap = at_least("overlap", overlap, 0)
        self.reads = None if reads is None else positive("reads", reads)
        self.pairs: Pairs = pairs
        self.fields = Fields(question_field, answer_field, passages_field, positives_field, names_field)
        self.instruction = self.instruction or (WITHOUT if passages == "none" else INSTRUCTION)
        # Where none are shown, a run file that has a place for them is another run's, and the place stays empty.
        places = {"{question}": [1], "{passages}": [0, 1] if passages == "none" else [1]}
        for part, allowed in places.items():
            if self.instruction.count(part) not in allowed:
                raise ConfigError(
                    f"data.init_args.instruction: {part} stands {self.instruction.count(part)} times in it, and has to "
                    "stand there once: it is the place of what differs between rows"
                )
        self.vectors = 0
        self.corrupt: Corruption = corrupt
        self._finder: Finder | None = None
        self.index = index
        if index:
            self.use_index(index)
        self._finder = finder_of(retriever, corpus, candidates, reads, has_texts=passages == "text", index=index)
        self._refuse_corrupt()

    def use_index(self, folder: str, reads: int | None = None) -> None:
        """Answer questions from the passages of an index.

        Args:
            folder: of the index.
            reads: how many of them an answer is read from; by default ``reads``.

        Raises:
            ConfigError: if there is none, it has too few passages, or the prompt shows no vectors.
        """
        if reads is not None:
            self.reads = positive("reads", reads)
        if self.passages != "vectors" or self.reads is None:
            raise ConfigError(
                "data.init_args.index: vectors are found there: leave passages as it is, and say by reads how many of "
                "the passages an answer is read from (ask --reads)"
            )
        found = VectorIndex(folder)
        if len(found) < self.reads:
            raise ConfigError(f"data.init_args.index: {folder} has {len(found)} passages, and reads is {self.reads}")
        self.index = folder
        self._refuse_corrupt()

    def read(self, path: Path) -> list[Example]:
        """Return the questions of a file.

        Raises:
            DataError: if a row has no question, no passage or, unless it is to be answered, no answer.
        """
        return list(self.stream(path))

    def stream(self, path: Path) -> Iterator[Example]:
        """Yield what ``read`` returns."""

        def make(record: Record) -> list[PassageExample]:
            is_searched = bool(self.index) or (self._finder is not None and self._finder.corpus is not None)
            return examples_of(record, self.fields, self.pairs, answered=not self.lenient, searched=is_searched)

        yield from self.stream_table(path, self.fields.columns(), make)

    def template_fingerprint(self) -> str:
        """Return a hash of how conversations are written, what they show of passages among it."""
        shown = f"{super().template_fingerprint()}{self.instruction}{self.passages}{self.vectors}"
        return hashlib.sha256(shown.encode()).hexdigest()[:16]

    def encode(self, name: str, examples: list[Example]) -> PassageSplit:
        """Return the rows of a split: questions with their passages, as tokens.

        Raises:
            DataError: if a row is longer than ``max_length`` and is not to be dropped, or has too few passages.
        """
        self._refuse_overlap()
        rows, dropped = [], 0
        spoiled = self.corrupt == "rolled" and name not in LEARNED
        for example in self._found(rolled(examples) if spoiled else examples):
            row = self._row(example, name)
            if row is None:
                dropped += 1
            else:
                rows.append(row)
        split = PassageSplit(name, rows)
        split.dropped = dropped
        return split

    def collate(self, rows: list[Row], split: str, *, generate: bool) -> Batch:
        """Join rows into a batch, with the passages that their vectors are made of."""
        batch = super().collate(rows, split, generate=generate)
        if self.passages != "vectors" or batch.failed:
            return batch
        return replace(batch, passages=joined(rows, self.reads or 0, self.pad_id(), self.index or ""))

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the rows of ``predict``, their passages among it."""
        read = [
            [(passage.key, passage.positive) for passage in row.passages]
            for name in self.needed("predict")
            for row in self.splits[name].rows
            if isinstance(row, PassageRow)
        ]
        shown: list[Any] = [read, self.passages, self.reads, self.vectors, self.corrupt]
        if self.index:
            shown.append(VectorIndex(self.index).about)
        return super().fingerprint() | {"passages": hashlib.sha256(repr(shown).encode()).hexdigest()[:16]}

    def conversations(self) -> dict[str, list[dict[str, str]]]:
        """Return the turns before an answer; ``{text}`` stands for the question, ``{passages}`` for the passages."""
        return {"": Context(self.system).messages(self._encoder.asked("{text}", "{passages}"), None)}

    def question(self, text: str, **facts: Any) -> Example:
        """Return a question that is answered from an index or a corpus.

        Raises:
            ConfigError: if there is neither, because a question alone has no passages.
        """
        if not self.index and (self._finder is None or self._finder.corpus is None):
            raise self._refusal()
        asked = super().question(text, **facts)
        return PassageExample(asked.id, asked.text, None, None, asked.place)

    def ask(self, text: str) -> list[int]:
        """Refuse with a ConfigError: a question alone has no passages."""
        raise self._refusal()

    def postprocess(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return the answer without the white space around it."""
        return raw.strip(), "ok", ""

    @property
    def _encoder(self) -> PassageEncoder:
        return PassageEncoder(
            format=self.format,
            context=Context(self.system),
            instruction=self.instruction or INSTRUCTION,
            learn=self.learn,
            passages=self.passages,
            vectors=self.vectors,
            size=self.passage_tokens or 256,
            overlap=self.overlap,
            reads=self.reads,
            finder=self._finder,
            lenient=self.lenient,
        )

    def _refusal(self) -> ConfigError:
        return ConfigError(
            "data: a question is answered from passages: write both as a row of a file, and name it in "
            "data.init_args.predict; or name an index (data.init_args.index, ask --index)"
        )

    def take_model(self, model: Any) -> None:
        """Take tokenizer and sizes of passages from a model.

        Raises:
            ConfigError: if the model makes no vectors and the prompt is to show them, or passages of other sizes.
        """
        super().take_model(model)
        made = getattr(model, "vectors", 0)
        if self.passages == "vectors" and not made:
            raise ConfigError(
                f"data.init_args.passages: {type(model).__name__} makes no vectors of passages: use model.class_path "
                "lit_llm.models.ClaraLM, or set passages to text"
            )
        size = getattr(model, "passage_tokens", None) or self.passage_tokens or 256
        if self.passage_tokens not in (None, size):
            raise ConfigError(
                f"data.init_args.passage_tokens is {self.passage_tokens}, and model.init_args.passage_tokens {size}: "
                "leave the first one out"
            )
        self.passage_tokens = size
        self.vectors = made
        self._refuse_overlap()
        if self._finder is not None:
            self._finder.open(self.tokenizer, size, self.overlap)

    def _refuse_corrupt(self) -> None:
        if self.corrupt != "none" and (self.index or (self._finder is not None and self._finder.corpus is not None)):
            raise ConfigError(
                f"data.init_args.corrupt: {self.corrupt} spoils passages of rows, and here they are found elsewhere: "
                "leave out index and corpus"
            )
        if self.corrupt == "zeroed" and self.passages != "vectors":
            raise ConfigError(
                "data.init_args.corrupt: zeroed makes vectors zeros, and the prompt shows none: use rolled, or set "
                "passages to none"
            )

    def _refuse_overlap(self) -> None:
        size = self.passage_tokens or 256
        if self.overlap >= size:
            raise ConfigError(f"data.init_args.overlap is {self.overlap}: it must be less than the {size} of a passage")

    def _row(self, example: Example, name: str) -> PassageRow | None:
        """Return an example with its tokens; None where it is to be dropped."""
        if example.error or not isinstance(example, PassageExample):
            return PassageRow(example, NOTHING)
        try:
            return self._encoded(example, name)
        except DataError as error:
            if not self.lenient:
                raise DataError(f"{example.place}: {error}") from None
            return PassageRow(replace(example, error=str(error)), NOTHING)

    def _found(self, examples: list[Example]) -> list[Example]:
        """Return examples with the passages that a retriever finds for them."""
        if self._finder is None:
            return examples
        asked = [example for example in examples if isinstance(example, PassageExample) and not example.error]
        found = iter(self._finder.give(asked))
        return [next(found) if isinstance(one, PassageExample) and not one.error else one for one in examples]

    def _encoded(self, example: PassageExample, name: str) -> PassageRow | None:
        trains = name == "train"
        if self.index and name not in LEARNED:
            row = self._encoder.searching(example)
        else:
            row = self._encoder.row(example, trains=trains)
            row = replace(row, blank=self.corrupt == "zeroed" and name not in LEARNED)
        if self.lenient:
            self.refuse_beyond_context(row.encoded)
        if len(row.encoded.input_ids) > self.max_length and name in LEARNED:
            if trains and self.overflow == "drop":
                return None
            if self.overflow == "error":
                raise DataError(
                    f"{len(row.encoded.input_ids)} tokens exceed max_length {self.max_length}: raise "
                    "data.init_args.max_length, or set data.init_args.overflow to drop"
                )
        return row
