"""F1 of every field as a figure in TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lit_llm.callbacks.boards import SCREEN_DPI, writers

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from matplotlib.figure import Figure


class FieldBars(Callback):
    """Draws the F1 of each field at every validation, for all metrics that know fields.

    Args:
        most: fields to draw; those with the lowest F1 are kept.
    """

    def __init__(self, most: int = 30) -> None:
        self.most = most

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figures, before the module forgets the rows it has measured."""
        if trainer.sanity_checking:
            return
        # Counts are gathered in here, so every process has to come by, whether or not it draws.
        for name, scores in getattr(pl_module, "per_field", dict)().items():
            for writer in writers(trainer) if scores else []:
                writer.add_figure(f"fields/{name}", bars(scores, self.most), trainer.global_step)


def bars(scores: Mapping[str, Any], most: int) -> Figure:
    """Return a figure with a bar for each field, worst first, and its support.

    Args:
        scores: ``FieldScore`` by field.
        most: fields to draw.
    """
    # Not pyplot: it keeps every figure open and may look for a screen.
    from matplotlib.figure import Figure

    worst = sorted(scores.items(), key=lambda item: (item[1].f1, item[0]))[:most]
    figure = Figure(figsize=(7.0, 0.8 + 0.3 * len(worst)), dpi=SCREEN_DPI, layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.barh([name for name, _ in worst], [score.f1 for _, score in worst], color="#4c78a8")
    axes.bar_label(drawn, [f"{score.f1:.3f}  (n={score.support})" for _, score in worst], padding=3, fontsize=9)
    axes.set_xlim(0, 1.25)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0])
    axes.invert_yaxis()
    axes.set_xlabel("F1")
    axes.spines[["top", "right"]].set_visible(False)
    left = len(scores) - len(worst)
    if left:
        axes.set_title(f"{left} better fields are not shown", fontsize=9)
    return figure
