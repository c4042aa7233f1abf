"""Questions and their passages become tokens: the text of passages, or room for their vectors, in a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lit_llm.batch import IGNORE
from lit_llm.data.passages.chunking import chunks
from lit_llm.data.passages.rows import Passage, PassageExample, PassageRow
from lit_llm.data.tokens.prompting import Context, Encoded
from lit_llm.errors import DataError

if TYPE_CHECKING:
    from lit_llm.data.passages.finding import Finder
    from lit_llm.data.tokens.prompting import ChatFormat, Learn

Shown = Literal["vectors", "text", "none"]
"""What of its passages a prompt shows."""

MARK = "\ue000"
"""Stands in the place of vectors until there is room for them."""


@dataclass(frozen=True)
class PassageEncoder:
    """Makes rows of questions.

    Attributes:
        format: how conversations are written.
        context: what stands before them.
        instruction: what is asked, with places for ``{passages}`` and ``{question}``.
        learn: which tokens are learned.
        passages: what of them a prompt shows.
        vectors: how many a passage becomes.
        size: most tokens of a passage.
        overlap: tokens that a passage has in common with the one before it.
        reads: how many passages an answer is read from; None for all of them.
        finder: chooses passages by their text, if anything does.
        lenient: whether what is asked is not ours, and may hold anything.
    """

    format: ChatFormat
    context: Context
    instruction: str
    learn: Learn
    passages: Shown
    vectors: int
    size: int
    overlap: int
    reads: int | None
    finder: Finder | None
    lenient: bool

    def row(self, example: PassageExample, *, trains: bool) -> PassageRow:
        """Return a question with its tokens and those of its passages.

        Args:
            example: the question.
            trains: whether it has to have as many passages as are read.

        Raises:
            DataError: if it has no passages, or too few or too many.
        """
        cut, lost = self._chosen(example)
        passages = [passage for passage, _ in cut]
        reads = len(passages) if self.reads is None else self.reads
        if reads > len(passages) and trains:
            raise DataError(f"{len(passages)} passages, of which data.init_args.reads is to read {reads}: give it more")
        shown = passages[:reads]
        if self.passages == "text" and len(shown) < len(passages):
            raise DataError(
                f"{len(passages)} passages, of which data.init_args.reads is to read {reads}, and nothing chooses "
                "between texts: set data.init_args.retriever, or give the row those to read alone"
            )
        encoded = self._shown(example, [text for _, text in cut[:reads]], len(shown))
        facts: dict[str, Any] = {}
        if self.passages != "none":
            facts["passages"] = [passage.facts() for passage in passages]
            facts |= _right(example, passages, lost)
            if self.finder is not None and self.passages == "text":
                facts["ranking"] = list(range(len(passages)))
        kept = replace(example, meta=example.meta | facts)
        return PassageRow(kept, encoded, passages=tuple(passages), question=self._tokens(example))

    def searching(self, example: PassageExample) -> PassageRow:
        """Return a question whose passages are found in an index when it is answered."""
        encoded = self._shown(example, [], self.reads or 0)
        facts = {"positives": sorted(example.named)} if example.named else {}
        return PassageRow(replace(example, meta=example.meta | facts), encoded, question=self._tokens(example))

    def _tokens(self, example: PassageExample) -> tuple[int, ...]:
        """Return the tokens of a question alone."""
        return tuple(self.format.tokenizer(example.text, add_special_tokens=False)["input_ids"])

    def _chosen(self, example: PassageExample) -> tuple[list[tuple[Passage, str]], list[Passage]]:
        """Return the passages of a question with their texts, and those that hold the answer and were not chosen."""
        cut = self._passages(example)
        if not cut:
            raise DataError("it has no passages: give it some, or set data.init_args.corpus and retriever")
        if self.finder is None:
            return cut, []
        order = self.finder.among(example.text, [text for _, text in cut])
        lost = [passage for at, (passage, _) in enumerate(cut) if passage.positive and at not in order]
        return [cut[at] for at in order], lost

    def asked(self, question: str, passages: str) -> str:
        """Return what is asked about a question with its passages."""
        # One after the other would find a place that a question itself has written.
        before, _, behind = self.instruction.partition("{question}")
        parts = [part.replace("{passages}", passages) for part in (before, behind)]
        return question.join(parts)

    def _passages(self, example: PassageExample) -> list[tuple[Passage, str]]:
        """Cut the documents of a row, or take what was found for it; of what is right, the pieces with the answer."""
        golds = [example.reference] if isinstance(example.reference, str) else example.reference or []
        if example.sources:
            right = [bool({entry.id, entry.document} & example.named) for entry, _ in example.sources]
            return [
                (Passage(entry.document, entry.start, entry.end, ids, is_right, entry.id), entry.text)
                for (entry, ids), is_right in zip(example.sources, right, strict=True)
            ]
        found = []
        for number, text in enumerate(example.documents):
            cut = chunks(text, self.format.tokenizer, self.size, self.overlap)
            held = [any(gold.strip() and gold in text[chunk.start : chunk.end] for gold in golds) for chunk in cut]
            good = held if any(held) else [True] * len(cut)
            for chunk, holds in zip(cut, good, strict=True):
                is_positive = holds and number in example.positives
                passage = Passage(number, chunk.start, chunk.end, tuple(chunk.ids), is_positive)
                found.append((passage, text[chunk.start : chunk.end]))
        return found

    def _shown(self, example: PassageExample, texts: Sequence[str], count: int) -> Encoded:
        """Return the tokens of a conversation: with the text of passages, or with room for the vectors of ``count``."""
        has_room = self.passages == "vectors"
        read = [text.strip() for text in texts] if self.passages == "text" else []
        asked = self.asked(example.text, MARK if has_room else "\n\n".join(read))
        if has_room and asked.count(MARK) != 1:
            raise DataError(f"the question holds the character {MARK!r}, which marks the place of passages: remove it")
        self.format.refuse_control_tokens(None if self.lenient else asked, example.answer, self.context)
        encoded = self.format.encode(asked, example.answer, self.learn, self.context)
        return self._with_room(asked, encoded, count * self.vectors) if has_room else encoded

    def _with_room(self, asked: str, encoded: Encoded, count: int) -> Encoded:
        """Put positions for vectors in the place of the mark; what stands before and behind it is cut on its own."""
        tokenizer: Any = self.format.tokenizer
        prompt = self.format.render(asked, context=self.context)
        before, behind = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in prompt.split(MARK))
        answered = encoded.input_ids[encoded.prompt_length :]
        learned = encoded.labels[encoded.prompt_length :]
        head = [*before, *before[:1] * count, *behind]
        labels = [*(head if self.learn == "text" else [IGNORE] * len(head)), *learned]
        slots = list(range(len(before), len(before) + count))
        for slot in slots:
            labels[slot] = IGNORE
        return Encoded([*head, *answered], labels, len(head), slots=slots)


def _right(example: PassageExample, passages: Sequence[Passage], lost: Sequence[Passage]) -> dict[str, Any]:
    """Return which passages hold the answer: their numbers, and a name for each that was not found."""
    right: list[Any] = [at for at, passage in enumerate(passages) if passage.positive]
    right += [f"passage {passage.start} of document {passage.document}" for passage in lost]
    if example.sources:
        # What is right in a corpus is named: by each name once, by the first passage of that name.
        found = {name: at for at in reversed(right) for name in (passages[at].source, str(passages[at].document))}
        right = [found.get(name, name) for name in sorted(example.named)]
    return {"positives": right} if right else {}
