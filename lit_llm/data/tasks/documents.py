"""Questions that are answered from passages: their vectors, or their text, stand in the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lit_llm.batch import IGNORE, Batch
from lit_llm.data.base import LMData
from lit_llm.data.passages import Fields, Passage, PassageExample, PassageRow, PassageSplit, chunks, examples_of, joined
from lit_llm.data.passages.layouts import Pairs
from lit_llm.data.records.reading import Record
from lit_llm.data.settings import at_least, positive
from lit_llm.data.tokens.dataset import NOTHING, Example, Row
from lit_llm.data.tokens.prompting import Context, Encoded
from lit_llm.errors import ConfigError, DataError

INSTRUCTION = "Background:\n{passages}\n\nQuestion: {question}\nAnswer briefly."
"""What is asked unless ``instruction`` says otherwise."""

WITHOUT = "Question: {question}\nAnswer briefly."
"""The same where no passages are shown."""

_MARK = "\ue000"


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
        **kwargs: as for ``LMData``; ``instruction`` has places for ``{passages}`` and ``{question}``, and ``overflow``
            may be ``error`` or ``drop``.

    Raises:
        ConfigError: if a value is not possible.
    """

    task = "documents"

    def __init__(
        self,
        passages: Literal["vectors", "text", "none"] = "vectors",
        passage_tokens: int | None = None,
        overlap: int = 0,
        reads: int | None = None,
        pairs: Pairs = "together",
        question_field: str = "question",
        answer_field: str | None = None,
        passages_field: str = "docs",
        positives_field: str = "pos_index",
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
        self.fields = Fields(question_field, answer_field, passages_field, positives_field)
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

    def read(self, path: Path) -> list[Example]:
        """Return the questions of a file.

        Raises:
            DataError: if a row has no question, no passage or, unless it is to be answered, no answer.
        """
        return list(self.stream(path))

    def stream(self, path: Path) -> Iterator[Example]:
        """Yield what ``read`` returns."""

        def make(record: Record) -> list[PassageExample]:
            return examples_of(record, self.fields, self.pairs, answered=not self.lenient)

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
        for example in examples:
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
        return replace(batch, passages=joined(rows, self.reads or 0, self.pad_id()))

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the rows of ``predict``, their passages among it."""
        read = [
            [(passage.key, passage.positive) for passage in row.passages]
            for name in self.needed("predict")
            for row in self.splits[name].rows
            if isinstance(row, PassageRow)
        ]
        shown = [read, self.passages, self.reads, self.vectors]
        return super().fingerprint() | {"passages": hashlib.sha256(repr(shown).encode()).hexdigest()[:16]}

    def conversations(self) -> dict[str, list[dict[str, str]]]:
        """Return the turns before an answer; ``{text}`` stands for the question, ``{passages}`` for the passages."""
        return {"": self._context.messages(self._asked("{text}", "{passages}"), None)}

    def question(self, text: str, **facts: Any) -> Example:
        """Refuse with a ConfigError: a question alone has no passages."""
        raise self._refusal()

    def ask(self, text: str) -> list[int]:
        """Refuse with a ConfigError: a question alone has no passages."""
        raise self._refusal()

    def postprocess(self, raw: str, meta: Mapping[str, Any]) -> tuple[str, str, str]:
        """Return the answer without the white space around it."""
        return raw.strip(), "ok", ""

    @property
    def _context(self) -> Context:
        return Context(self.system)

    def _refusal(self) -> ConfigError:
        return ConfigError(
            "data: a question is answered from passages: write both as a row of a file, and name it in "
            "data.init_args.predict"
        )

    def _asked(self, question: str, passages: str) -> str:
        instruction = self.instruction or INSTRUCTION
        # One after the other would find a place that a question itself has written.
        before, _, behind = instruction.partition("{question}")
        parts = [part.replace("{passages}", passages) for part in (before, behind)]
        return question.join(parts)

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

    def _encoded(self, example: PassageExample, name: str) -> PassageRow | None:
        passages = self._passages(example)
        reads = len(passages) if self.reads is None else self.reads
        if reads > len(passages) and name == "train":
            raise DataError(f"{len(passages)} passages, of which data.init_args.reads is to read {reads}: give it more")
        shown = passages[:reads]
        if self.passages == "text" and len(shown) < len(passages):
            raise DataError(
                f"{len(passages)} passages, of which data.init_args.reads is to read {reads}, and nothing chooses "
                "between texts: give the row those to read alone"
            )
        encoded = self._shown(example, shown)
        if self.lenient:
            self.refuse_beyond_context(encoded)
        excess = len(encoded.input_ids) - self.max_length
        if excess > 0 and name in ("train", "valid"):
            if name == "train" and self.overflow == "drop":
                return None
            if self.overflow == "error":
                raise DataError(
                    f"{len(encoded.input_ids)} tokens exceed max_length {self.max_length}: raise "
                    "data.init_args.max_length, or set data.init_args.overflow to drop"
                )
        facts: dict[str, Any] = {}
        if self.passages != "none":
            facts["passages"] = [passage.facts() for passage in passages]
            if any(passage.positive for passage in passages):
                facts["positives"] = [at for at, passage in enumerate(passages) if passage.positive]
        question = self.format.tokenizer(example.text, add_special_tokens=False)["input_ids"]
        kept = replace(example, meta=example.meta | facts)
        return PassageRow(kept, encoded, passages=tuple(passages), question=tuple(question))

    def _passages(self, example: PassageExample) -> list[Passage]:
        """Cut the documents of a row; of one that holds the answer, the pieces in which it stands."""
        found = []
        golds = [example.reference] if isinstance(example.reference, str) else example.reference or []
        for number, text in enumerate(example.documents):
            cut = chunks(text, self.format.tokenizer, self.passage_tokens or 256, self.overlap)
            held = [any(gold.strip() and gold in text[chunk.start : chunk.end] for gold in golds) for chunk in cut]
            good = held if any(held) else [True] * len(cut)
            for chunk, holds in zip(cut, good, strict=True):
                is_positive = holds and number in example.positives
                found.append(Passage(number, chunk.start, chunk.end, tuple(chunk.ids), is_positive))
        return found

    def _shown(self, example: PassageExample, passages: list[Passage]) -> Encoded:
        """Return the tokens of a conversation, with room for the vectors of its passages."""
        has_room = self.passages == "vectors"
        read = passages if self.passages == "text" else []
        texts = [example.documents[p.document][p.start : p.end].strip() for p in read]
        asked = self._asked(example.text, _MARK if has_room else "\n\n".join(texts))
        if has_room and asked.count(_MARK) != 1:
            raise DataError(f"the question holds the character {_MARK!r}, which marks the place of passages: remove it")
        self.format.refuse_control_tokens(None if self.lenient else asked, example.answer, self._context)
        encoded = self.format.encode(asked, example.answer, self.learn, self._context)
        return self._with_room(asked, encoded, len(passages) * self.vectors) if has_room else encoded

    def _with_room(self, asked: str, encoded: Encoded, count: int) -> Encoded:
        """Put positions for vectors in the place of the mark; what stands before and behind it is cut on its own."""
        tokenizer: Any = self.format.tokenizer
        prompt = self.format.render(asked, context=self._context)
        before, behind = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in prompt.split(_MARK))
        answered = encoded.input_ids[encoded.prompt_length :]
        learned = encoded.labels[encoded.prompt_length :]
        head = [*before, *before[:1] * count, *behind]
        labels = [*(head if self.learn == "text" else [IGNORE] * len(head)), *learned]
        slots = list(range(len(before), len(before) + count))
        for slot in slots:
            labels[slot] = IGNORE
        return Encoded([*head, *answered], labels, len(head), slots=slots)
