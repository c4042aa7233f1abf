"""``python -m lit_llm compare``: scores of prediction files, whole and by group, with paired tests."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from lit_llm.batch import Prediction
    from lit_llm.report.comparison import Compared


def main(argv: Sequence[str] | None = None) -> int:
    """Score prediction files and compare each with the first.

    Args:
        argv: the options; by default those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm compare",
        description="Score predictions.csv files (or run folders) and compare each with the first by paired bootstrap.",
    )
    parser.add_argument("files", nargs="+", help="predictions.csv or run folder; the first is the baseline")
    parser.add_argument("--scores", default="chrfpp,chrf,bleu", help="of translations: chrfpp, chrf, bleu, ter")
    parser.add_argument("--by", default="", help="facts to group by, such as direction,dialect,origin,length")
    parser.add_argument("--only", action="append", default=[], help="rows with this fact, such as direction=es-nah")
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap resamples (1000)")
    parser.add_argument("--seed", type=int, default=12345, help="of the resampling (12345, as sacrebleu)")
    parser.add_argument("--report", type=Path, help="JSON file to write everything to")
    options = parser.parse_args(argv)
    if len(set(options.files)) < len(options.files):
        raise ConfigError(f"compare: {options.files[0]} is named twice")

    from rich.console import Console

    from lit_llm.report.comparison import aligned, compare_extractions, compare_translations, is_extraction
    from lit_llm.report.files import write_report
    from lit_llm.report.predictions import read_predictions, rows_with

    read = {name: rows_with(read_predictions(name), options.only, name) for name in options.files}
    systems = aligned(read)
    names = [name for name in options.scores.split(",") if name]
    first = next(iter(systems.values()))
    console = Console()
    if is_extraction(first):
        found = compare_extractions(systems, options.samples, options.seed)
    else:
        found = compare_translations(systems, names, options.samples, options.seed)
    _show_scores(console, found, len(first))
    unscored = len(next(iter(read.values()))) - len(first)
    if unscored:
        console.print(f"note: {unscored} rows have no reference and are not scored", style="yellow")
    report: dict[str, Any] = {"rows": len(first), "rows_without_reference": unscored}
    report["systems"] = {s: {name: asdict(score) for name, score in scores.items()} for s, scores in found.items()}
    if not is_extraction(first):
        report |= _groups_and_counts(console, systems, names, [key for key in options.by.split(",") if key])
    if options.report:
        write_report(options.report, report)
    return 0


def _show_scores(console: Console, found: dict[str, dict[str, Compared]], rows: int) -> None:
    from rich.table import Table

    from lit_llm.report.comparison import FEW_ROWS, WIDE

    table = Table("score", *found, title=f"{rows} rows, 95 % intervals by bootstrap", caption_justify="left")
    names = list(next(iter(found.values())))
    for name in names:
        table.add_row(name, *(_cell(scores[name]) for scores in found.values()))
    console.print(table)
    for name in names:
        console.print(f"{name}: {next(iter(found.values()))[name].signature}", style="dim", soft_wrap=True)
    widest = max(scores[names[0]].half_interval for scores in found.values())
    if rows < FEW_ROWS or widest > WIDE:
        console.print(f"note: {rows} rows and ±{widest:.2f} tell apart only what differs by much", style="yellow")


def _cell(score: Compared) -> str:
    p_value = "" if score.p_value is None else f"  p={score.p_value:.4f}"
    return f"{score.value:.2f} ±{score.half_interval:.2f}{p_value}"


def _groups_and_counts(
    console: Console, systems: dict[str, list[Prediction]], names: list[str], keys: list[str]
) -> dict[str, Any]:
    """Show scores by group, their macro average, and what hides behind them; return the same."""
    from rich.table import Table

    from lit_llm.metrics.corpus import grouped, outcomes, score_rows
    from lit_llm.report.comparison import translations

    rows = {system: translations(found) for system, found in systems.items()}
    # Rows are grouped by the facts of the first file; another one may lack them.
    facts = [row.meta for row in next(iter(rows.values()))]
    same = {s: [replace(row, meta=meta) for row, meta in zip(found, facts, strict=True)] for s, found in rows.items()}
    report: dict[str, Any] = {"groups": [], "outcomes": {system: outcomes(found) for system, found in rows.items()}}
    if keys:
        table = Table(*keys, "n", *(f"{names[0]} {system}" for system in systems), title="by group")
        parts = {system: grouped(found, keys) for system, found in same.items()}
        means = dict.fromkeys(systems, 0.0)
        for group, members in next(iter(parts.values())).items():
            values = {system: score_rows(found[group], names[:1])[names[0]].value for system, found in parts.items()}
            table.add_row(*group, str(len(members)), *(f"{value:.2f}" for value in values.values()))
            report["groups"].append({**dict(zip(keys, group, strict=True)), "n": len(members), names[0]: values})
            means = {system: means[system] + values[system] for system in systems}
        report["macro"] = {system: total / len(report["groups"]) for system, total in means.items()}
        table.add_section()
        table.add_row(*["macro"], *[""] * len(keys), *(f"{value:.2f}" for value in report["macro"].values()))
        console.print(table)
    counts = Table("outcome", *systems, title="what hides behind the scores")
    for name in next(iter(report["outcomes"].values())):
        counts.add_row(name, *(str(found[name]) for found in report["outcomes"].values()))
    console.print(counts)
    return report
