"""Questions with their passages, as tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from lit_llm.batch import Passages
from lit_llm.data.batches.collating import padded
from lit_llm.data.tokens.dataset import Example, Row, Split
from lit_llm.errors import DataError
from lit_llm.retrieval import Entry


class Source(NamedTuple):
    """A passage of a corpus, with its tokens."""

    entry: Entry
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PassageExample(Example):
    """A question and what it may be answered from.

    Attributes:
        documents: their texts.
        positives: which of them are known to hold the answer.
        sources: passages that were found in a corpus; then its own documents are not read.
        named: names of what holds the answer, in a corpus: passages or documents.
    """

    documents: tuple[str, ...] = ()
    positives: frozenset[int] = frozenset()
    sources: tuple[Source, ...] = ()
    named: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document of a row.

    Attributes:
        document: the number of its document in the row, or its name in a corpus.
        start: its first character there.
        end: the character behind its last one.
        ids: its tokens.
        positive: whether it is known to hold the answer.
        source: its name in a corpus; empty where it is a row's own.
        key: a name for its content, made once because every batch asks for it.
    """

    document: int | str
    start: int
    end: int
    ids: tuple[int, ...]
    positive: bool = False
    source: str = ""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        name = hashlib.blake2b(repr(self.ids).encode(), digest_size=12).hexdigest()
        object.__setattr__(self, "key", name)

    def facts(self) -> dict[str, Any]:
        """Return where it stands."""
        named = {"id": self.source} if self.source else {}
        return named | {"document": self.document, "start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True)
class PassageRow(Row):
    """A question with its tokens and those of its passages.

    Attributes:
        passages: what it may be answered from.
        question: tokens of the question alone.
        blank: whether the vectors of its passages are to be zeros.
    """

    passages: tuple[Passage, ...] = ()
    question: tuple[int, ...] = ()
    blank: bool = False


class PassageSplit(Split):
    """Questions with their passages."""

    @cached_property
    def content(self) -> str:
        """A hash of what its records say, in their order, with the passages that are read of them."""
        read = [
            [(passage.key, passage.positive) for passage in row.passages] + [row.encoded.slots]
            for row in self.rows
            if isinstance(row, PassageRow)
        ]
        said = [[e.id, e.text, e.answer, str(e.context or "")] for e in self.examples]
        return hashlib.sha256(repr([said, read]).encode()).hexdigest()[:16]

    def __getitem__(self, key: tuple[int, int]) -> Row:
        row = self.rows[max(0, key[1])]
        # One that only fills a batch has passages too, because the model asks for them.
        return row if key[1] >= 0 else replace(row, example=None)


def rolled(examples: Sequence[Example]) -> list[Example]:
    """Return questions with the documents of the next one, of which none is known to be right.

    The next one is that which has none of the documents that hold the answer, or none in common where nothing is known.

    Raises:
        DataError: if there is no such question.
    """
    whole = [one for one in examples if isinstance(one, PassageExample) and not one.error]
    following: dict[str, PassageExample] = {}
    for at, example in enumerate(whole):
        after = (whole[(at + step) % len(whole)] for step in range(1, len(whole)))
        right = {example.documents[place] for place in example.positives} or set(example.documents)
        other = next((one for one in after if not set(one.documents) & right), None)
        if other is None:
            raise DataError(
                f"{example.place}: no other row has other passages, and corrupt is rolled: use zeroed, or more rows"
            )
        following[example.id] = replace(example, documents=other.documents, positives=frozenset(), named=frozenset())
    return [following.get(example.id, example) for example in examples]


def joined(rows: Sequence[Row], reads: int, pad: int, index: str = "") -> Passages:
    """Join the passages of rows, each of equal ones once.

    Args:
        rows: of ``PassageRow``.
        reads: how many passages an answer is read from; 0 for all.
        pad: id of the padding token.
        index: folder in which they are looked for where rows have none of their own.
    """
    own = [row for row in rows if isinstance(row, PassageRow)]
    places: dict[str, int] = {}
    texts: list[list[int]] = []
    for passage in (passage for row in own for passage in row.passages):
        if passage.key not in places:
            places[passage.key] = len(texts)
            texts.append(list(passage.ids))
    most = max(len(row.passages) for row in own)
    found = [[places[passage.key] for passage in row.passages] for row in own]
    positive = [[passage.positive for passage in row.passages] for row in own]
    questions = [list(row.question) for row in own]
    width, asked = max(map(len, texts), default=0), max(map(len, questions))
    return Passages(
        input_ids=padded(texts, width, pad),
        attention_mask=padded([[1] * len(text) for text in texts], width, 0),
        rows=padded(found, most, -1),
        positives=padded([[int(flag) for flag in row] for row in positive], most, 0).bool(),
        question_ids=padded(questions, asked, pad),
        question_mask=padded([[1] * len(question) for question in questions], asked, 0),
        reads=reads,
        keys=list(places),
        index="" if most else index,
        blank=any(row.blank for row in own),
    )
