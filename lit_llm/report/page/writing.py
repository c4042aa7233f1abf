"""Puts together what a run left and writes the page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from lit_llm.batch import Prediction
from lit_llm.errors import ConfigError, DataError
from lit_llm.report.page import facts, logged
from lit_llm.report.page.rows import Judged, confusion, judged, split_of, worst
from lit_llm.report.page.scores import Measured, latest
from lit_llm.report.predictions import read_predictions
from lit_llm.results import is_current, read_results
from lit_llm.storage import write_atomically
from lit_llm.version import __version__

DRAWN = ("field_f1", "exact_match", "chrfpp", "bleu", "bleu4")
"""Scores whose curves are drawn where a run has them, after the main ones that its results name."""

MOST_FIELDS = 40
"""Fields drawn of a file; those with the lowest F1 are kept."""


def write_page(folder: Path, output: Path, rows: int = 20) -> Path:
    """Write the page of a run.

    Args:
        folder: the run.
        output: the HTML file; written in one step.
        rows: how many of the worst rows to show.

    Returns:
        ``output``.

    Raises:
        ConfigError: if the folder holds no run.
        DataError: if its predictions cannot be read.
    """
    page = _template().render(**gather(folder, rows), shown=shown)
    write_atomically(output, page.encode())
    return output


def shown(value: float | None) -> str:
    """Return a number as the page writes it: whole ones with commas, others with three decimals."""
    if value is None:
        return "not finite"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def gather(folder: Path, rows: int) -> dict[str, Any]:
    """Return everything that the page shows, by name."""
    config = facts.read_config(folder)
    series = logged.read_logged(folder / "metrics.csv")
    measured = [Measured(result, is_current(result, folder)) for result in latest(read_results(folder))]
    predictions, refused = _predictions(folder)
    scored = judged(predictions)
    known = [*(measured[0].result.mains if measured else []), *DRAWN]
    scores = [name for name in dict.fromkeys(known) if series.get(f"val/{name}")]
    return {
        "name": folder.resolve().name,
        "folder": folder,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "version": __version__,
        "summary": facts.summary(config),
        "settings": facts.settings(config),
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True),
        "command": facts.command(folder),
        "charts": logged.charts(series, scores[:2]),
        "steps": max((step for points in series.values() for step, _ in points), default=-1) + 1,
        "best": _best(series, scores),
        "measured": measured,
        "latest": measured[0] if measured else None,
        "most_fields": MOST_FIELDS,
        "speed": logged.speed(series),
        "audit": _audit(folder),
        "answers": _answers(predictions, scored),
        "confusion": confusion(scored),
        "rows": worst(scored, rows),
        "wrong": sum(not row.right for row in scored),
        "scored": len(scored),
        "refused": refused,
    }


def _predictions(folder: Path) -> tuple[list[Prediction], str]:
    """Return the rows of ``predictions.csv``, or why they are left out."""
    if not (folder / "predictions.csv").exists():
        return [], f"no predictions yet: python -m lit_llm predict --config {folder / 'config.yaml'}"
    try:
        return read_predictions(folder), ""
    except (ConfigError, DataError) as error:
        return [], str(error)


def _best(series: logged.Series, scores: Sequence[str]) -> dict[str, Any]:
    """Return the best validation: name, value and step; nothing where there was none."""
    if not scores:
        return {}
    step, value = max(series[f"val/{scores[0]}"], key=lambda point: point[1])
    return {"name": scores[0], "value": value, "step": step + 1}


def _audit(folder: Path) -> dict[str, int]:
    path = folder / "audit.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _answers(predictions: Sequence[Prediction], scored: Sequence[Judged]) -> dict[str, Any]:
    tokens = [row.new_tokens for row in predictions]
    return {
        "rows": len(predictions),
        "with a reference": len(scored),
        "files": ", ".join(sorted({split_of(row) for row in predictions} - {""})),
        "new tokens (mean)": sum(tokens) / len(tokens) if tokens else 0.0,
        "new tokens (most)": max(tokens, default=0),
    }


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("lit_llm.report.page", ".")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("page.html.jinja")
