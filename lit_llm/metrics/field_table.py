"""The per-field scores as a table that people read."""

from __future__ import annotations

from lit_llm.metrics.base import FieldScore


def field_table(scores: dict[str, FieldScore]) -> str:
    """Return a Markdown table of fields in alphabetical order, with the sum (micro) as its last row."""
    rows = [*sorted(scores.items()), ("**all**", sum(scores.values(), FieldScore()))]
    lines = ["| field | support | TP | FP | FN | F1 |", "|---|---:|---:|---:|---:|---:|"]
    for name, score in rows:
        cell = name.replace("|", "\\|")
        lines.append(f"| {cell} | {score.support} | {score.tp} | {score.fp} | {score.fn} | {score.f1:.3f} |")
    return "\n".join(lines)
