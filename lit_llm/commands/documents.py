"""``python -m lit_llm prepare documents``: texts become passages with names, and SQuAD's files rows to learn from."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.paths import base, existing
from lit_llm.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lit_llm.retrieval import Entry


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``prepare documents`` to a parser."""
    parser.add_argument(
        "source",
        type=existing,
        help="a .txt or .md file, or a folder of them; a table with a column text; or, with --questions, questions as "
        "SQuAD publishes them: .json, or a table with the columns context, question and answers",
    )
    parser.add_argument("--output", type=Path, required=True, help="JSONL file of the passages")
    parser.add_argument("--questions", type=Path, help="JSONL file of the questions, each with its passage and answers")
    parser.add_argument(
        "--backbone", type=base, required=True, help="hub id or folder of the base that is to read them"
    )
    parser.add_argument("--tokens", type=int, default=256, help="most tokens of a passage (256)")
    parser.add_argument("--overlap", type=int, default=0, help="tokens that pieces of a document have in common (0)")
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier run has written")


def prepare(options: argparse.Namespace) -> int:
    """Write passages, and questions where they are asked for.

    Args:
        options: those of ``add_options``.

    Returns:
        0.

    Raises:
        ConfigError: if an option is not possible, or a file is in the way.
        DataError: if a file cannot be read.
    """
    if options.tokens < 1 or not 0 <= options.overlap < options.tokens:
        raise ConfigError(
            f"--tokens is {options.tokens}, --overlap {options.overlap}: use 1 or more tokens, and an overlap of 0 or "
            "more that is less"
        )
    from lit_llm.data.passages.corpus import pieces, squad_documents, squad_rows
    from lit_llm.models.backbone import Loading, open_tokenizer
    from lit_llm.report.files import refuse_existing, write_jsonl

    places = [path.resolve() for path in (options.source, options.output, options.questions) if path is not None]
    if len(set(places)) < len(places):
        raise ConfigError("the source, --output and --questions are not files of their own: name different ones")
    targets = {"--output": options.output, "--questions": options.questions}
    for option, path in targets.items():
        if path is not None:
            refuse_existing(path, option, options.overwrite)
    tokenizer = open_tokenizer(options.backbone, Loading())
    rows: list[dict[str, Any]] = []
    unanswered = 0
    if options.questions is not None:
        rows, unanswered = squad_rows(options.source)
        read: Iterator[Entry] | list[Entry] = squad_documents(rows)
    else:
        from lit_llm.data.passages.corpus import documents

        read = documents(options.source)
    cut = [entry for whole in read for entry, _ in pieces(whole, tokenizer, options.tokens, options.overlap)]
    write_jsonl(options.output, (entry._asdict() for entry in cut))
    whole = many(len({entry.document for entry in cut}), "document")
    print(f"{options.output}: {many(len(cut), 'passage')} of {whole}, of at most {many(options.tokens, 'token')}")
    if options.questions is not None:
        write_jsonl(options.questions, rows)
        print(f"{options.questions}: {many(len(rows), 'question')}; {unanswered:,} without an answer left out")
    return 0
