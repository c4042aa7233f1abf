"""``python -m lit_llm audit``: what the splits of a run file's data share, and how long their rows are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from rich.table import Column, Table

    numbers = [Column(name, justify="right") for name in ("least", "median", "95 %", "most")]
    table = Table("", "split", *numbers, "rows by length", Column("a bar spans", justify="right"), title="lengths")
    for one in sizes:
        shown = [f"{value:,.0f}" for value in (one.shortest, one.median, one.p95, one.longest)]
        table.add_row(one.measure, one.split, *shown, one.bars(), f"{one.width:,}")
    Console().print(table)


def _show(found: Leakage, counts: dict[str, int]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    rows = Table("split", "rows", title="rows")
    for name, count in found.rows.items():
        rows.add_row(name, f"{count:,}")
    for name, count in counts.items():
        if count:
            rows.add_row(name, f"{count:,}", style="dim")
    console.print(rows)
    table = Table("side", "in", "also in", "exact", "near", "for example", title="shared rows")
    for o in found.overlaps:
        first, second, similarity = o.examples[0]
        shown = f"{second} = {first}" if similarity is None else f"{second} ≈ {first} ({similarity:.2f})"
        style = "bold red" if o.leaks else "dim"
        table.add_row(o.side, o.second, o.first, str(o.exact), str(o.near), shown, style=style)
    if found.overlaps:
        console.print(table)
    leaks = sum(o.exact + o.near for o in found.leaks)
    console.print(f"{leaks} rows stand in more than one split" if leaks else "no row stands in more than one split")
