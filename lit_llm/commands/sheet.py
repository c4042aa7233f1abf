"""``python -m lit_llm sheet``: sheets for people who judge translations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lit_llm.paths import existing, predictions


def main(argv: Sequence[str] | None = None) -> int:
    """Make a sheet, or score a filled-in one.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0, or 1 if a system's mean adequacy is under ``--least``.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm sheet", description="Let people judge translations.")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="make|score")
    make = kinds.add_parser("make", help="write a blinded sheet")
    make.add_argument("files", nargs="+", type=predictions, help="predictions.csv or run folders, one for each system")
    make.add_argument("--rows", type=int, default=50, help="rows to judge (50)")
    make.add_argument("--by", default="dialect,length", help="facts that the rows are spread over (dialect,length)")
    make.add_argument("--seed", type=int, default=0, help="of the draw and of the codes")
    make.add_argument("--overwrite", action="store_true", help="replace a sheet, with what people filled in")
    make.add_argument("--output", type=Path, default=Path("sheet.csv"), help="CSV file to fill in (sheet.csv)")
    score = kinds.add_parser("score", help="score a filled-in sheet")
    score.add_argument("sheet", type=existing, help="the filled-in CSV file")
    score.add_argument("--least", type=float, help="mean adequacy that every system must reach")
    for kind in (make, score):
        kind.add_argument("--key", type=Path, help="JSON file with the systems' names; by default beside the sheet")
    options = parser.parse_args(argv)
    return _make(options) if options.kind == "make" else _score(options)


def _make(options: argparse.Namespace) -> int:
    from lit_llm.report.comparison import aligned
    from lit_llm.report.files import refuse_existing
    from lit_llm.report.predictions import read_predictions
    from lit_llm.report.sheets import choose, make_sheet

    refuse_existing(options.output, "--output", options.overwrite)
    systems = aligned({name: read_predictions(name) for name in options.files})
    by = [name for name in options.by.split(",") if name]
    ids = choose(next(iter(systems.values())), options.rows, by, options.seed)
    key = options.key or options.output.with_suffix(".key.json")
    make_sheet(systems, ids, options.seed, options.output, key)
    print(
        f"{options.output}: {len(ids)} rows of {len(systems)} systems; {key} tells which is which: keep it from judges"
    )
    return 0


def _score(options: argparse.Namespace) -> int:
    from rich.console import Console

    from lit_llm.report.sheets import RATINGS, score_sheet
    from lit_llm.terminal import show

    found = score_sheet(options.sheet, options.key or options.sheet.with_suffix(".key.json"))
    rows = []
    for system, judged in found.items():
        means = [f"{judged.means[name]:.2f} ±{judged.half_intervals[name]:.2f}" for name in RATINGS]
        errors = ", ".join(f"{name} {count}" for name, count in judged.errors.items())
        rows.append([system, str(judged.rows), *means, errors])
    head = ["system", "rows", *RATINGS, "errors"]
    show(Console(), head, rows, texts={len(head) - 1}, title="means with 95 % intervals")
    low = [system for system, judged in found.items() if options.least and judged.means["adequacy"] < options.least]
    for system in low:
        print(f"FAIL  {system}: adequacy {found[system].means['adequacy']:.2f}, at least {options.least:g}")
    return int(bool(low))
