"""``python -m lit_llm synthesize``: predictions over text without references become tagged training rows."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_llm.paths import existing, predictions

if TYPE_CHECKING:
    from lit_llm.data import TranslationData


def main(argv: Sequence[str] | None = None) -> int:
    """Filter predictions and write what is left.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0, or 1 if nothing is left.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm synthesize",
        description="Turn predictions over monolingual text into training rows (back-translation, distillation).",
    )
    parser.add_argument("predictions", type=predictions, help="predictions.csv or run folder of the teacher")
    parser.add_argument("--output", type=Path, required=True, help="JSONL file to write")
    parser.add_argument("--origin", required=True, help="tag of the rows, such as back_translation")
    parser.add_argument("--teacher", help="tag that names the teacher; by default where its predictions lie")
    parser.add_argument("--ask_back", action="store_true", help="only write the answers, to be translated back")
    parser.add_argument(
        "--back", type=predictions, help="predictions.csv of the way back: the same ids, predictions as texts"
    )
    parser.add_argument("--least_chrf", type=float, default=40.0, help="sentence chrF of the way back (40)")
    parser.add_argument(
        "--against", type=existing, action="append", default=[], help="test file that no row may share text with"
    )
    parser.add_argument("--languages", default="es,nah", help="columns of the test files (es,nah)")
    options = parser.parse_args(argv)

    from lit_llm.data import TranslationData
    from lit_llm.report.files import write_jsonl
    from lit_llm.report.predictions import read_predictions
    from lit_llm.report.synthesis import answers_as_questions, synthesize

    if options.ask_back:
        asked = answers_as_questions(read_predictions(options.predictions))
        write_jsonl(options.output, asked)
        print(f"{options.output}: {len(asked)} rows to translate back")
        return 0
    back = {row.id: row.prediction for row in read_predictions(options.back)} if options.back else None
    data = TranslationData(languages={name: name for name in options.languages.split(",")})
    tested = [text for path in options.against for text in _texts(data, Path(path))]
    found = synthesize(
        read_predictions(options.predictions),
        options.origin,
        options.teacher or str(Path(options.predictions)),
        back,
        options.least_chrf,
        tested,
    )
    write_jsonl(options.output, found.rows)
    for reason, count in sorted(found.dropped.items()):
        print(f"left out, {reason}: {count}")
    print(f"{options.output}: {len(found.rows)} rows of origin {options.origin!r}")
    return int(not found.rows)


def _texts(data: TranslationData, path: Path) -> list[str]:
    return [text for example in data.read(path) for text in (example.text, example.answer) if text]
