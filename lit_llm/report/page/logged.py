"""Numbers that a run has logged."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from lit_llm.report.page.curves import Chart, Line, finite

Series = dict[str, list[tuple[int, float]]]


def read_logged(path: Path) -> Series:
    """Return the points ``(step, value)`` of each name in ``metrics.csv``; nothing where there is no file.

    A line that was cut by a crash is left out, as the run itself does when it goes on.
    """
    found: Series = {}
    if not path.exists():
        return found
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            try:
                found.setdefault(row["name"], []).append((int(row["step"]), float(row["value"])))
            except (KeyError, TypeError, ValueError):
                continue
    return found


def charts(series: Series, main: Sequence[str]) -> list[Chart]:
    """Return the charts of a page: losses, the scores that matter, learning rate, gradient norm and speed.

    Args:
        series: the logged points.
        main: names of the scores to draw, without ``val/``.
    """
    wanted = [
        ("loss", ["train/loss", "val/loss"]),
        *((f"validation {name}", [f"val/{name}"]) for name in main),
        ("learning rate", ["train/lr"]),
        ("gradient norm", ["train/grad_norm"]),
        ("tokens per second", ["speed/tokens_per_second"]),
    ]
    made = [
        Chart(
            title,
            [Line(name, series[name], dots=name.startswith("val/")) for name in names if series.get(name)],
            logarithmic=title == "loss",
        )
        for title, names in wanted
    ]
    return [chart for chart in made if any(finite(line.points) for line in chart.lines)]


def speed(series: Series) -> dict[str, float]:
    """Return medians and peaks of what was logged about speed and memory, by what they are called for people."""
    middle = {
        "tokens per second (median)": "speed/tokens_per_second",
        "learned tokens per second (median)": "speed/supervised_tokens_per_second",
        "padding, share of positions (median)": "speed/padding",
    }
    found = {title: median(v for _, v in series[name]) for title, name in middle.items() if series.get(name)}
    if series.get("memory/peak_gib"):
        found["peak memory, GiB"] = max(value for _, value in series["memory/peak_gib"])
    return found
