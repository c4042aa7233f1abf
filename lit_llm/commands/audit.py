"""``python -m lit_llm audit``: what the splits of a run file's data share, and how long their rows are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from lit_llm.data.hygiene.histogram import Lengths
    from lit_llm.data.hygiene.leakage import Leakage


def main(argv: Sequence[str] | None = None) -> int:
    """Compare all splits of a run file with each other and report.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0, or 1 if two splits share rows.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm audit",
        description="Find rows that two splits share, exactly or nearly, and show how long rows are. Further options "
        "are those of `fit`.",
    )
    parser.add_argument("--config", action="append", required=True, help="run file; may be given several times")
    parser.add_argument("--near", type=float, default=0.7, help="least similarity of near duplicates (0.7)")
    parser.add_argument("--report", type=Path, help="JSON file to write the findings to")
    options, others = parser.parse_known_args(argv)

    from lit_llm.arguments import open_data
    from lit_llm.data.hygiene.histogram import lengths
    from lit_llm.data.hygiene.leakage import leakage
    from lit_llm.report.files import write_report

    overrides = [part for config in options.config for part in ("--config", config)]
    data = open_data(parser.prog, [*overrides, *others])
    splits = data.read_splits()
    sides = {name: [data.sides(example) for example in rows] for name, rows in splits.items()}
    names = list(dict.fromkeys(side for rows in sides.values() for row in rows for side in row))
    texts = {side: {name: [row.get(side, "") for row in rows] for name, rows in sides.items()} for side in names}
    found = leakage(splits, texts, options.near)
    sizes = lengths(splits)
    if options.report:
        write_report(options.report, found.as_dict() | {"lengths": [one.as_dict() for one in sizes]})
    _show_lengths(sizes)
    _show(found, data.counts)
    return int(bool(found.leaks))


def _show_lengths(sizes: list[Lengths]) -> None:
    from rich.console import Console

    from lit_llm.terminal import show

    rows = []
    for one in sizes:
        numbers = [f"{value:,.0f}" for value in (one.shortest, one.median, one.p95, one.longest)]
        rows.append([one.measure, one.split, *numbers, one.bars(), f"{one.width:,}"])
    head = ["", "split", "least", "median", "95 %", "most", "rows by length", "a bar spans"]
    show(Console(), head, rows, labels=2, left={6}, title="lengths")


def _show(found: Leakage, counts: dict[str, int]) -> None:
    from rich.console import Console

    from lit_llm.terminal import show

    console = Console()
    numbers = found.rows | {name: count for name, count in counts.items() if count}
    dim = {number: "dim" for number in range(len(found.rows), len(numbers))}
    show(console, ["split", "rows"], [[name, f"{n:,}"] for name, n in numbers.items()], title="rows", styles=dim)
    if found.overlaps:
        _show_overlaps(console, found)
    leaks = sum(o.exact + o.near for o in found.leaks)
    console.print(f"{leaks} rows stand in more than one split" if leaks else "no row stands in more than one split")


def _show_overlaps(console: Console, found: Leakage) -> None:
    from lit_llm.terminal import show

    rows = []
    for o in found.overlaps:
        first, second, similarity = o.examples[0]
        example = f"{second} = {first}" if similarity is None else f"{second} ≈ {first} ({similarity:.2f})"
        rows.append([o.side, o.second, o.first, f"{o.exact:,}", f"{o.near:,}", example])
    head = ["side", "in", "also in", "exact", "near", "for example"]
    styles = {number: "bold red" if o.leaks else "dim" for number, o in enumerate(found.overlaps)}
    show(console, head, rows, labels=3, texts={5}, title="shared rows", styles=styles)
