"""``python -m lit_llm check``: what a run does with a base, tried in miniature."""

from __future__ import annotations

import argparse
import shutil
import sys
import warnings
from collections.abc import Sequence

from lit_llm.paths import base
from lit_llm.quiet import silent
from lit_llm.wording import wrapped

WIDTHS = (16, 8)
"""Characters of the first columns."""


def main(argv: Sequence[str] | None = None) -> int:
    """Try a base and print a table of what was found.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0 if nothing fails, else 1. What is refused with a reason is no failure: a run would be refused as well.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if any(argument.partition("=")[0] == "--plan" for argument in arguments):
        from lit_llm.commands import plan

        return plan.main(arguments)
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm check",
        description=__doc__,
        epilog="--plan RUN.yaml [--gpu 16GiB] says what a run needs in memory instead.",
    )
    parser.add_argument("--backbone", type=base, required=True, help="hub id or folder")
    parser.add_argument("--tokenizer", help="hub id or folder, where it is not beside the weights")
    parser.add_argument("--attn_implementation", default="sdpa", help="sdpa, eager or flash_attention_2 (sdpa)")
    parser.add_argument("--random_init", action="store_true", help="check the architecture without its weights")
    parser.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    parser.add_argument(
        "--full",
        action="store_true",
        help="train, merge, quantize, resume and export too; a large base as a small copy with random weights",
    )
    options = vars(parser.parse_args(arguments))
    backbone, full = options.pop("backbone"), options.pop("full")
    from lit_llm.conformance import conformance
    from lit_llm.models import Loading

    failed, lines = [], [_line("check", "result", "what was found")]
    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for finding in conformance(backbone, Loading(**options), full=full):
            lines.append(_line(*finding))
            print("\n".join(lines), flush=True)
            lines.clear()
            failed += [finding.check] if finding.state == "FAILS" else []
    print(f"{backbone} is supported" if not failed else f"{backbone} is not supported: {', '.join(failed)}")
    return int(bool(failed))


def _line(check: str, state: str, text: str) -> str:
    """Return a row of the table, wrapped to the terminal."""
    first = f"{check:<{WIDTHS[0]}}{state:<{WIDTHS[1]}}"
    columns = max(60, shutil.get_terminal_size((120, 24)).columns)
    return wrapped(text, " " * sum(WIDTHS), first, columns)
