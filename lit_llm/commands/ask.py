"""``python -m lit_llm ask``: put texts to a run and read its answers, as ``predict`` would write them."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_llm.batch import Prediction

FACTS = {
    "part": "of a run on a mixture: the source whose prompt to use",
    "direction": "of a translation, such as es-nah",
    "dialect": "of a translation: the variety, as the rows of its data name it",
    "schema": "of an extraction: file of the JSON schema that the answer must satisfy",
    "reference_date": "of an extraction: the day on which the text was written, such as 2024-03-05",
    "lang": "of a clip: the language to answer in",
    "key": "of a clip: its name, in a file that holds several",
}
"""Options that say what a row of a file would say beside its text."""

SHOWN = ("text", "prediction", "status", "error", "raw", "new_tokens", "score", "meta")
"""What ``--json`` prints of an answer, by the names of predictions.csv."""


WIDE = 100
"""How many characters are shown of a passage."""


def main(argv: Sequence[str] | None = None) -> int:
    """Answer the texts of the command line, or else those of a prompt or a pipe, line by line.

    Args:
        argv: the options; by default those of the process.

    Returns:
        1 if a text could not be asked, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm ask", description=__doc__)
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="what to ask; without one, lines are read and answered"
    )
    parser.add_argument("--run", required=True, help="run folder, such as checkpoints/extraction_tiny")
    parser.add_argument("--checkpoint", default="best", choices=["best", "last", "none"], help="which weights (best)")
    parser.add_argument("--index", help="folder of an index (see compress), from whose passages a ClaraLM answers")
    parser.add_argument("--reads", type=int, help="how many of them an answer is read from (as the run)")
    parser.add_argument("--json", action="store_true", help="print a JSON object per text, for scripts")
    for name, text in FACTS.items():
        parser.add_argument(f"--{name}", help=text)
    options = parser.parse_args(argv)
    if options.reads is not None and options.index is None:
        parser.error("--reads: it is of an index: give --index too")
    from lit_llm.report.answering import Answerer

    answerer = Answerer(options.run, options.checkpoint, options.index, options.reads)
    facts = {name: getattr(options, name) for name in FACTS if getattr(options, name) is not None}
    # What does not fit the run is said before a line is waited for.
    answerer.answer([], **facts)
    failed = 0
    try:
        for texts in [options.texts] if options.texts else _lines():
            for answer in answerer.answer(texts, **facts):
                _show(answer, as_json=options.json)
                _show_passages(answer, None if options.json else options.index)
                failed += answer.status == "error"
    except BrokenPipeError:
        # Whoever reads has seen enough; Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(failed > 0)


def _lines() -> Iterator[list[str]]:
    """Yield lines as they come, until their end or Ctrl-C; those of a keyboard are asked for."""
    if not sys.stdin.isatty():
        with suppress(KeyboardInterrupt):
            yield from ([line.rstrip("\r\n")] for line in sys.stdin)
        return
    with suppress(ImportError):
        # Gives the prompt its history and its arrow keys.
        import readline  # noqa: F401
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            if line := input("> ").strip():
                yield [line]
    print()


def _show(answer: Prediction, *, as_json: bool) -> None:
    if as_json:
        found: dict[str, Any] = {name: getattr(answer, name) for name in SHOWN}
        found["score"] = round(answer.score, 6)
        print(json.dumps(found, ensure_ascii=True), flush=True)
        return
    # What is cut or no JSON is shown as it came, so that a person sees what the model does.
    print(answer.prediction or answer.raw, flush=True)
    for where, note in answer.meta.get("catalogue", {}).items():
        near = f"; the nearest name is {note['nearest']!r}, distance {note['distance']}" if note["nearest"] else ""
        if not note["known"]:
            print(f"{where}: {note['written']!r} is in no catalogue{near}", file=sys.stderr, flush=True)
    if answer.status != "ok":
        print(f"{answer.status}: {answer.error}", file=sys.stderr, flush=True)


def _show_passages(answer: Prediction, index: str | None) -> None:
    """Print from which passages of an index an answer was read; nothing where there is none."""
    from lit_llm.retrieval import VectorIndex

    for read in answer.meta.get("passages", []) if index else []:
        text = " ".join(VectorIndex(str(index)).entry(read["number"]).text.split())
        shown = text if len(text) <= WIDE else f"{text[:WIDE].rstrip()}…"
        print(f"  {read['score']:.3f}  {read['document']}, {read['start']}-{read['end']}: {shown}", flush=True)
