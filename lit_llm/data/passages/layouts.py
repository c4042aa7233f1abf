"""The layouts in which questions and their passages are published, read as they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from lit_llm.data.passages.rows import PassageExample
from lit_llm.data.records.reading import Column, Record
from lit_llm.errors import DataError

Pairs = Literal["together", "apart"]
"""What becomes of a row with several questions: one answer that holds all pairs, or an example for each."""

PAIRS = "Write questions that the background answers, each with its answer."
"""What is asked where all pairs of a passage are one answer."""

RETELL = (
    "Say in other words what the background says.",
    "Write the background anew, with the same content and other words.",
    "Retell the background without leaving anything out.",
    "What does the background say? Put it differently.",
    "Give the content of the background in your own words.",
)
"""What is asked, one of these at random, where the answer is a paraphrase."""

ANSWERS = ("answer", "answers", "gold_answer", "output")
"""Columns that hold the answer in one published layout or another, the first that is there is read."""


@dataclass(frozen=True)
class Fields:
    """The names of columns.

    Attributes:
        question: a text, or a list of texts.
        answer: a text, a list of texts that are all right, or a mapping with such a list under ``text``; None for the
            first of ``ANSWERS`` that a row has.
        passages: a text, or a list of texts.
        positives: numbers of the passages that hold the answer.
        names: names of the passages or documents that hold it, in a corpus.
    """

    question: str = "question"
    answer: str | None = None
    passages: str = "docs"
    positives: str = "pos_index"
    names: str = "pos_name"

    def columns(self) -> dict[str, Column]:
        """Return what to read of a file."""
        standard = Fields()
        named = {"question": self.question, "passages": self.passages, "positives": self.positives, "names": self.names}
        columns = {
            key: Column(name, "any", required=False, expected=name != getattr(standard, key))
            for key, name in named.items()
        }
        answers = ANSWERS if self.answer is None else (self.answer,)
        columns |= {f"answer {name}": Column(name, "any", required=False) for name in answers}
        for name in ("data_type", "instruction", "input"):
            columns[name] = Column(name, "any", required=False)
        return columns


def examples_of(
    record: Record, fields: Fields, pairs: Pairs, *, answered: bool, searched: bool = False
) -> list[PassageExample]:
    """Return the examples of a record.

    Args:
        record: with the columns of ``Fields.columns``.
        fields: their names.
        pairs: what becomes of several questions.
        answered: whether it must have an answer.
        searched: whether passages are looked for elsewhere: then it needs none.

    Raises:
        DataError: if a column is missing, or not of its kind.
    """
    has_own = not searched or record.values.get("passages") is not None
    documents = _texts(record, "passages", fields.passages) if has_own else ()
    named = _names(record, fields.names)
    positives = _positives(record, fields.positives, len(documents)) if has_own else frozenset()
    golds = _answers(record, fields)
    made = _asked(record, fields, pairs, golds)
    if answered and any(not answers for _, answers in made):
        names = fields.answer or ", ".join(ANSWERS)
        raise DataError(f"{record.place}: there is no answer: give one in one of the columns {names}")
    found = []
    for at, (question, answers) in enumerate(made):
        own = record.id if len(made) == 1 else f"{record.id}/{at}"
        reference: Any = answers[0] if len(answers) == 1 else answers or None
        answer = answers[0] if answers else None
        facts: dict[str, Any] = {}
        whence: dict[str, Any] = {"documents": documents, "positives": positives, "named": named}
        found.append(PassageExample(own, question, answer, reference, record.place, facts, **whence))
    return found


def _asked(record: Record, fields: Fields, pairs: Pairs, golds: list[str] | None) -> list[tuple[str, list[str]]]:
    """Return the questions of a record, each with the answers that are right."""
    value = record.values.get("question")
    if record.values.get("data_type") == "paraphrase":
        return [(random.Random(f"retell/{record.id}").choice(RETELL), (golds or [])[:1])]
    if value is None and record.values.get("instruction"):
        parts = [record.values["instruction"], record.values.get("input") or ""]
        return [("\n".join(str(part).strip() for part in parts if str(part).strip()), golds or [])]
    if isinstance(value, str) and value.strip():
        return [(value, golds or [])]
    if not isinstance(value, list) or not value or not all(isinstance(q, str) and q.strip() for q in value):
        raise DataError(f"{record.place}: field {fields.question!r}: {value!r} is neither a text nor a list of texts")
    if golds is None:
        return [(question, []) for question in value]
    if len(golds) != len(value):
        raise DataError(
            f"{record.place}: field {fields.question!r}: {len(value)} questions have {len(golds)} answers: give each "
            "its own"
        )
    if len(value) == 1 or pairs == "apart":
        return [(question, [gold]) for question, gold in zip(value, golds, strict=True)]
    lines = [f"Question: {question}\nAnswer: {gold}" for question, gold in zip(value, golds, strict=True)]
    return [(PAIRS, ["\n".join(lines)])]


def _answers(record: Record, fields: Fields) -> list[str] | None:
    """Return the answers of a record; None where it has none."""
    several = isinstance(record.values.get("question"), list)
    for name in ANSWERS if fields.answer is None else (fields.answer,):
        value = record.values.get(f"answer {name}")
        value = value.get("text") if isinstance(value, dict) else value
        found = [] if value is None else value if isinstance(value, list) else [value]
        # A number is as it is written; True and False are none.
        found = [str(text) if isinstance(text, int | float) and not isinstance(text, bool) else text for text in found]
        if not all(isinstance(text, str) for text in found):
            raise DataError(
                f"{record.place}: field {name!r}: {value!r} is neither a text nor a list of texts: write each in quotes"
            )
        if several and (blank := [at for at, text in enumerate(found) if not text.strip()]):
            raise DataError(f"{record.place}: field {name!r}: answer {blank[0]} is empty: leave its question out too")
        # Equal ones are one, as people who were asked apart have often said the same; of pairs each belongs to its own.
        kept = found if several else list(dict.fromkeys(text for text in found if text.strip()))
        if kept:
            return kept
    return None


def _texts(record: Record, key: str, name: str) -> tuple[str, ...]:
    value = record.values.get(key)
    _refuse_written_list(record, name, value)
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not found or not all(isinstance(text, str) and text.strip() for text in found):
        raise DataError(f"{record.place}: field {name!r}: {value!r} is neither a text nor a list of texts")
    return tuple(found)


def _positives(record: Record, name: str, documents: int) -> frozenset[int]:
    value = record.values.get("positives")
    _refuse_written_list(record, name, value)
    found = [int(number) if isinstance(number, float) and number.is_integer() else number for number in _numbers(value)]
    for number in found:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < documents:
            raise DataError(
                f"{record.place}: field {name!r}: {number!r} is not the number of one of {documents} passages, from 0"
            )
    return frozenset(found)


def _names(record: Record, name: str) -> frozenset[str]:
    value = record.values.get("names")
    _refuse_written_list(record, name, value)
    found = list(_numbers(value))
    if wrong := [given for given in found if not isinstance(given, str | int) or isinstance(given, bool)]:
        raise DataError(f"{record.place}: field {name!r}: {wrong[0]!r} is not the name of a passage or a document")
    return frozenset(map(str, found))


def _refuse_written_list(record: Record, name: str, value: Any) -> None:
    """Refuse a list that a table without lists holds as text, which would be read as one passage."""
    if isinstance(value, str) and value.lstrip().startswith("[") and value.rstrip().endswith("]"):
        raise DataError(f"{record.place}: field {name!r}: {value[:40]!r} holds a list as text: write the rows as JSONL")


def _numbers(value: Any) -> Iterator[Any]:
    yield from [] if value is None else value if isinstance(value, list) else [value]
