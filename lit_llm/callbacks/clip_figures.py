"""A few clips of sign language as figures in TensorBoard, with what was answered."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lit_llm.callbacks.boards import SCREEN_DPI, writers
from lit_llm.callbacks.kept_rows import KeptRows

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from lit_llm.batch import Prediction


class ClipFigures(KeptRows):
    """Draws a few validation clips before and after normalisation and changes, with reference and prediction below.

    The clips are the same at every validation. Data without clips are left alone.

    Args:
        count: clips to draw.
        frames: frames of each clip to draw, evenly spaced.
    """

    def __init__(self, count: int = 3, frames: int = 7) -> None:
        super().__init__(count)
        self.frames = frames

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the figures."""
        views = getattr(getattr(trainer, "datamodule", None), "views", None)
        if trainer.sanity_checking or views is None:
            return
        for writer in writers(trainer):
            for prediction in self.kept:
                figure = clip_figure(views(prediction.id), prediction, self.frames)
                writer.add_figure(f"clips/{prediction.id}", figure, trainer.global_step)


def clip_figure(views: Mapping[str, NDArray[np.float32]], prediction: Prediction, frames: int) -> Figure:
    """Return a figure with a row for each view of a clip, and reference and prediction below.

    Args:
        views: points ``[L, P, 2]``, drawn frame by frame, or features ``[L, D]``, drawn as a map over time.
        prediction: of the clip.
        frames: to draw of points.
    """
    # Not pyplot: it keeps every figure open and may look for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 * frames, 1.7 * len(views) + 0.6), dpi=SCREEN_DPI, layout="constrained")
    grid = figure.add_gridspec(len(views), frames)
    for row, (name, values) in enumerate(views.items()):
        if values.ndim == 2:
            axes = figure.add_subplot(grid[row, :])
            axes.imshow(values.T, aspect="auto", cmap="coolwarm", interpolation="nearest")
            axes.set_xlabel("frame", fontsize=8)
        else:
            axes = _draw_points(figure, grid, row, values, frames)
        axes.set_ylabel(f"{name}\n{len(values)} frames", fontsize=9)
    lines = [f"reference: {prediction.reference}", f"prediction: {prediction.prediction or prediction.raw}"]
    below = "\n".join(textwrap.fill(line, 18 * frames) for line in lines)
    figure.supxlabel(below, fontsize=10, parse_math=False)
    return figure


def _draw_points(figure: Figure, grid: Any, row: int, values: NDArray[np.float32], frames: int) -> Axes:
    """Draw evenly spaced frames side by side, all to one scale; return the first."""
    from lit_llm.data.clips import BONES, evenly_spaced

    seen = values[np.isfinite(values).all(-1)]
    # Changes may leave out the few frames in which anything was seen.
    low, high = (seen.min(0), seen.max(0)) if len(seen) else (np.zeros(2), np.ones(2))
    margin = 0.05 * (high - low)
    drawn = []
    for column, at in enumerate(evenly_spaced(len(values), frames)):
        axes = figure.add_subplot(grid[row, column])
        drawn.append(axes)
        points = values[at]
        axes.plot(*points.T, ".", color="#4c78a8", markersize=1.5)
        for bone in BONES:
            axes.plot(*points[bone].T, color="#f58518", linewidth=0.8)
        axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
        # Pictures count their rows from the top.
        axes.set_ylim(high[1] + margin[1], low[1] - margin[1])
        axes.set_aspect("equal")
        axes.set_xticks([])
        # One scale for the row: it tells pixels from shoulder widths.
        axes.tick_params(labelsize=7, left=column == 0, labelleft=column == 0)
        axes.set_title(str(at), fontsize=7, pad=2)
    return drawn[0]
