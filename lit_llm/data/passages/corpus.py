"""A corpus of documents, cut into passages with names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.data.passages.chunking import chunks
from lit_llm.data.records.reading import Column, read_records, stream_records
from lit_llm.errors import DataError
from lit_llm.retrieval import Entry

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXTS = (".md", ".markdown", ".txt")
"""Endings of the files of a folder that are read, each as one document."""

COLUMNS = {
    "id": Column("id", kind="id", required=False),
    "text": Column("text"),
    "document": Column("document", kind="id", required=False),
    "start": Column("start", "any", required=False),
    "end": Column("end", "any", required=False),
}
"""Of a file with a document, or a passage of one, in each row."""


def documents(source: Path) -> Iterator[Entry]:
    """Yield the documents of a folder of texts, of one such file, or of a table with one, or a passage of one, a row.

    Raises:
        DataError: if there is nothing to read, or a file or its name is not UTF-8.
    """
    if source.is_file() and source.suffix.lower() not in TEXTS:
        for record in stream_records(source, COLUMNS):
            yield _entry(record.id, record.values, record.place)
        return
    inside = source.rglob("*") if source.is_dir() else [source]
    found = sorted(path for path in inside if path.suffix.lower() in TEXTS and path.is_file())
    if not found:
        raise DataError(f"{source}: it holds no file that ends in {', '.join(TEXTS)}")
    for path in found:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}: it is not UTF-8 at byte {error.start}: save it anew as UTF-8") from error
        name = path.relative_to(source if source.is_dir() else source.parent).as_posix()
        if name.encode(errors="ignore").decode() != name:
            raise DataError(f"{source}: the name of a file, {name!r}, is not UTF-8: rename it")
        yield Entry(name, name, 0, len(text), text)


def passages(
    source: Path, tokenizer: PreTrainedTokenizerBase, size: int, overlap: int = 0
) -> Iterator[tuple[Entry, list[int]]]:
    """Yield the passages of a corpus with their tokens; what is longer than ``size`` tokens is cut into several.

    Args:
        source: as for ``documents``.
        tokenizer: a fast one.
        size: most tokens of a passage.
        overlap: tokens that a piece has in common with the one before it.
    """
    for whole in documents(source):
        yield from pieces(whole, tokenizer, size, overlap)


def pieces(
    whole: Entry, tokenizer: PreTrainedTokenizerBase, size: int, overlap: int = 0
) -> Iterator[tuple[Entry, list[int]]]:
    """Yield a document, or the pieces that it is cut into, as ``passages`` does; nothing of one without a token."""
    cut = chunks(whole.text, tokenizer, size, overlap)
    for number, chunk in enumerate(cut):
        # What is whole keeps its name, so that a corpus that was cut already is named as it was.
        name = whole.id if len(cut) == 1 else f"{whole.id}/{number}"
        start, end = whole.start + chunk.start, whole.start + chunk.end
        yield Entry(name, whole.document, start, end, whole.text[chunk.start : chunk.end]), chunk.ids


def squad_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the questions of a file as SQuAD publishes it, and how many were left out because they have no answer.

    Args:
        path: ``.json`` with ``data`` of ``paragraphs``, or a table with the columns ``context``, ``question``, and
            ``answers`` or ``answer``, as the hub has it.

    Returns:
        Rows with ``question``, ``answers``, ``docs`` (the context) and, in ``pos_name``, the context's name.

    Raises:
        DataError: if it is neither, or no question has an answer.
    """
    asked = list(_nested(path) if path.suffix.lower() == ".json" else _table(path))
    names: dict[str, str] = {}
    rows = []
    for row, context, given in asked:
        if not all(isinstance(text, str) and text.strip() for text in (row["question"], context)):
            raise DataError(f"{path}: question {row['id']!r}: it, or its context, is no text")
        answers = _golds(given, f"{path}: question {row['id']!r}")
        if answers:
            name = names.setdefault(context, f"context {len(names)}")
            rows.append(row | {"answers": answers, "docs": [context], "pos_index": [0], "pos_name": [name]})
    if not rows:
        raise DataError(f"{path}: none of {len(asked)} questions has an answer")
    return rows, len(asked) - len(rows)


def squad_documents(rows: list[dict[str, Any]]) -> list[Entry]:
    """Return the contexts of ``squad_rows``, each once."""
    found = {row["pos_name"][0]: row["docs"][0] for row in rows}
    return [Entry(name, name, 0, len(text), text) for name, text in found.items()]


def _entry(name: str, values: dict[str, Any], place: str) -> Entry:
    text, document = str(values["text"]), values.get("document")
    if not document:
        # Columns of that name are of something else, such as seconds.
        return Entry(name, name, 0, len(text), text)
    start, end = (_whole(values.get(key)) for key in ("start", "end"))
    if values.get("start") is None and values.get("end") is None:
        start, end = 0, len(text)
    if start is None or end is None or end - start != len(text):
        raise DataError(
            f"{place}: start {values.get('start')!r} and end {values.get('end')!r} are not {len(text)} characters "
            "apart, which the text has: leave both out, or make the passages anew"
        )
    return Entry(name, document, start, end, text)


def _whole(value: Any) -> int | None:
    """Return a whole number, however a table holds it; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and not isinstance(value, bool) else None


def _golds(value: Any, place: str) -> list[str]:
    """Return the answers of a question: texts, numbers, or SQuAD's mappings with such a text, alone or in a list."""
    found = []
    for one in value if isinstance(value, list) else [value]:
        own = one.get("text") if isinstance(one, dict) else one
        texts = own if isinstance(own, list) else [own]
        for text in texts:
            is_number = isinstance(text, int | float) and not isinstance(text, bool)
            written = isinstance(text, str) and text.lstrip()[:1] in ("[", "{")
            if written or not (text is None or is_number or isinstance(text, str)):
                raise DataError(f"{place}: answer {str(text)[:60]!r} is neither a text nor a number: write it as JSONL")
            found.append("" if text is None else str(text))
    return list(dict.fromkeys(text for text in found if text.strip()))


def _nested(path: Path) -> Iterator[tuple[dict[str, Any], str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        for paragraph in (paragraph for article in content["data"] for paragraph in article["paragraphs"]):
            for question in paragraph["qas"]:
                row = {"id": str(question["id"]), "question": question["question"]}
                yield row, paragraph["context"], question.get("answers")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: it is not as SQuAD publishes its files (data, paragraphs, context, qas, question): {error!r}"
        ) from error


def _table(path: Path) -> Iterator[tuple[dict[str, Any], str, Any]]:
    columns = {
        "id": Column("id", kind="id", required=False),
        "context": Column("context"),
        "question": Column("question"),
        "answers": Column("answers", "any", required=False),
        "answer": Column("answer", "any", required=False),
    }
    for record in read_records(path, columns):
        given = record.values["answers"] or record.values["answer"]
        yield {"id": record.id, "question": record.values["question"]}, record.values["context"], given
