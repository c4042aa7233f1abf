"""``python -m lit_llm compare``: scores with paired tests; of runs and stored folders, what they cost too."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.paths import existing, predictions

if TYPE_CHECKING:
    from rich.console import Console

    from lit_llm.batch import Prediction
    from lit_llm.report.comparison import Compared
    from lit_llm.report.measuring import Measured


def main(argv: Sequence[str] | None = None) -> int:
    """Score prediction files and compare each with the first.

    Args:
        argv: the options; by default those of the process.
    """
    options = _options(argv)
    names = [name for name in options.scores.split(",") if name]
    for file in options.files:
        existing(file) if options.measure else predictions(file)
    if len(set(options.files)) < len(options.files):
        raise ConfigError(f"compare: {options.files[0]} is named twice")

    from rich.console import Console

    from lit_llm.metrics.corpus import scorer
    from lit_llm.report.comparison import aligned, compare_extractions, compare_translations, is_extraction
    from lit_llm.report.files import write_report
    from lit_llm.report.predictions import read_predictions, rows_with

    for name in names:
        scorer(name)
    measured = _measured(options.files, options.tokens, options.measure) if options.measure else {}
    answers = {name: system.rows for name, system in measured.items()}
    read = {name: rows_with(answers.get(name) or read_predictions(name), options.only, name) for name in options.files}
    systems = aligned(read)
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
    if measured:
        report["costs"] = _show_costs(console, measured, found, options.measure)
    if keys := [key for key in options.by.split(",") if key]:
        report |= _groups(console, systems, next(iter(next(iter(found.values())))), keys)
    if not is_extraction(first):
        report |= _outcomes(console, systems)
    if options.report:
        write_report(options.report, report)
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm compare",
        description="Score predictions.csv files (or run folders) and compare each with the first by paired bootstrap.",
    )
    parser.add_argument("files", nargs="+", help="predictions.csv or run folder; the first is the baseline")
    parser.add_argument(
        "--measure",
        type=Path,
        help="folder for answers, table and figure: run every system, a run or a folder of quantize or export, on the "
        "test files, and measure loss, bytes and speed too",
    )
    parser.add_argument("--tokens", type=int, default=64, help="length of the answers timed by --measure (64)")
    parser.add_argument("--scores", default="chrfpp,chrf,bleu", help="of translations: chrfpp, chrf, bleu, ter")
    parser.add_argument("--by", default="", help="facts to group by, such as direction,dialect,origin,length")
    parser.add_argument("--only", action="append", default=[], help="rows with this fact, such as direction=es-nah")
    parser.add_argument("--samples", type=int, default=1000, help="bootstrap resamples (1000)")
    parser.add_argument("--seed", type=int, default=12345, help="of the resampling (12345, as sacrebleu)")
    parser.add_argument("--report", type=Path, help="JSON file to write everything to")
    return parser.parse_args(argv)


def _show_scores(console: Console, found: dict[str, dict[str, Compared]], rows: int) -> None:
    from lit_llm.report.comparison import FEW_ROWS, WIDE
    from lit_llm.report.files import short_names
    from lit_llm.terminal import show

    names = list(next(iter(found.values())))
    head = ["score", *short_names(list(found)).values()]
    cells = [[name, *(_cell(scores[name]) for scores in found.values())] for name in names]
    show(console, head, cells, title=f"{rows} rows, 95 % intervals by bootstrap")
    for name in names:
        console.print(f"{name}: {next(iter(found.values()))[name].signature}", style="dim", soft_wrap=True)
    widest = max(scores[names[0]].half_interval for scores in found.values())
    if rows < FEW_ROWS or widest > WIDE:
        console.print(f"note: {rows} rows and ±{widest:.2f} tell apart only what differs by much", style="yellow")


def _measured(paths: list[str], tokens: int, folder: Path) -> dict[str, Measured]:
    from lit_llm.callbacks.prediction_file import PartialFile
    from lit_llm.commands.gate import ASKED
    from lit_llm.report.files import refuse_existing
    from lit_llm.report.measuring import measure, table, write_table

    refuse_existing(folder, "--measure")

    def write(number: int, rows: list[Prediction]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = PartialFile(folder / f"predictions_{number}.csv", ())
        file.write(rows)
        file.close()

    systems = measure(paths, ASKED, tokens, write)
    # Once without scores: answers of other rows cannot be scored together, and what was measured is to be kept.
    write_table(folder / "table.csv", table(systems, {}))
    return systems


def _show_costs(
    console: Console, systems: dict[str, Measured], scores: dict[str, dict[str, Compared]], folder: Path
) -> list[dict[str, Any]]:
    """Show, write and return what each system costs beside its scores, and their differences from the first's."""
    from lit_llm.report.files import short_names
    from lit_llm.report.measuring import figure, table, write_table
    from lit_llm.terminal import show

    rows = table(systems, scores)
    main = next(iter(next(iter(scores.values()))))
    names, shown = short_names(list(systems)), []
    for row in rows:
        drop = f"{row[f'{main}_difference']:+.2f} [{row[f'{main}_low']:+.2f}, {row[f'{main}_high']:+.2f}]"
        size = "?" if row["disk_bytes"] is None else f"{row['disk_bytes'] / 1e6:.2f}"
        costs = f"{row['loaded_bytes'] / 1e6:.2f}", f"{row['latency_s']:.3f}", f"{row['tokens_per_s']:.0f}"
        shown.append([names[row["system"]], f"{row[main]:.2f}", drop, f"{row['loss']:.4f}", size, *costs])
    head = ["system", main, "difference", "loss", "disk MB", "loaded MB", "answer s", "tokens/s"]
    show(console, head, shown, title="weights and speed")
    write_table(folder / "table.csv", rows)
    figure(rows, main).savefig(folder / "quality_bytes.png")
    console.print(f"wrote {folder}: predictions_N.csv in this order, table.csv, quality_bytes.png", soft_wrap=True)
    return rows


def _cell(score: Compared) -> str:
    p_value = "" if score.p_value is None else f"  p={score.p_value:.4f}"
    return f"{score.value:.2f} ±{score.half_interval:.2f}{p_value}"


def _groups(console: Console, systems: dict[str, list[Prediction]], name: str, keys: list[str]) -> dict[str, Any]:
    """Show a score by group and its macro average; return the same."""
    from lit_llm.report.comparison import group_scores
    from lit_llm.report.files import short_names
    from lit_llm.terminal import show

    found = group_scores(systems, keys, name)
    short = short_names(list(systems))
    macro = {system: sum(values[system] for _, _, values in found) / len(found) for system in systems}
    cells = [[*group, str(count), *(f"{value:.2f}" for value in values.values())] for group, count, values in found]
    cells.append(["macro", *[""] * len(keys), *(f"{value:.2f}" for value in macro.values())])
    head = [*keys, "n", *(f"{name} {short[system]}" for system in systems)]
    show(console, head, cells, labels=len(keys), title="by group", sections={len(cells) - 1})
    groups = [{**dict(zip(keys, group, strict=True)), "n": count, name: values} for group, count, values in found]
    return {"groups": groups, "macro": macro}


def _outcomes(console: Console, systems: dict[str, list[Prediction]]) -> dict[str, Any]:
    """Show and return what hides behind the scores of translations."""
    from lit_llm.metrics.corpus import outcomes
    from lit_llm.report.comparison import translations
    from lit_llm.report.files import short_names
    from lit_llm.terminal import show

    found = {system: outcomes(translations(rows)) for system, rows in systems.items()}
    counts = next(iter(found.values()))
    cells = [[name, *(str(own[name]) for own in found.values())] for name in counts]
    show(console, ["outcome", *short_names(list(systems)).values()], cells, title="what hides behind the scores")
    return {"outcomes": found}
