"""Curves of logged numbers as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 28
MOST_POINTS = 300
"""Points drawn of a line; of a longer one, the mean of neighbours."""


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: what was logged.
        points: ``(step, value)`` in order of steps.
        dots: whether each point is marked, as for a few validations.
    """

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


@dataclass(frozen=True)
class Scale:
    """The vertical axis.

    Attributes:
        ticks: of what is drawn: values, or their logarithms to base 10.
        logarithmic: which of the two.
    """

    ticks: Sequence[float]
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Sequence[float], logarithmic: bool = False) -> Scale:
        """Return the axis that holds some values."""
        low, high = min(values), max(values)
        if logarithmic and low > 0 and high > 10 * low:
            first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
            return cls([float(tick) for tick in range(first, last + 1)], True)
        # A share that never moved is shown in its place between nothing and all.
        return cls(_ticks([0.0, 1.0] if low == high and 0 <= low <= 1 else values))

    def place(self, value: float) -> float:
        """Return the height of a value in the drawing."""
        drawn = math.log10(value) if self.logarithmic else value
        return _place(drawn, self.ticks, HEIGHT - BOTTOM, TOP)

    def labels(self) -> list[tuple[float, str]]:
        """Return the height and text of each tick."""
        heights = [_place(tick, self.ticks, HEIGHT - BOTTOM, TOP) for tick in self.ticks]
        return [(y, number(10**t if self.logarithmic else t)) for y, t in zip(heights, self.ticks, strict=True)]


@dataclass(frozen=True)
class Chart:
    """Lines that share their axes.

    Attributes:
        title: shown above.
        lines: the first in the main colour.
        logarithmic: whether values that span more than a power of ten are drawn by their logarithm.
    """

    title: str
    lines: Sequence[Line] = field(default_factory=list)
    logarithmic: bool = False

    def svg(self) -> Markup:
        """Return the drawing; empty where no line has a finite point."""
        lines = [(line, thinned(finite(line.points))) for line in self.lines]
        every = [point for _, points in lines for point in points]
        if not every:
            return Markup("")
        values = [y for _, y in every]
        scale = Scale.of(values, self.logarithmic)
        xs = _ticks([0.0, *(x for x, _ in every)])
        drawn = [_axis(xs, scale)]
        drawn += [_drawn(number, line, points, xs, scale) for number, (line, points) in enumerate(lines)]
        head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.title)}">'
        return Markup(head + "".join(drawn) + "</svg>")


def finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that can be drawn."""
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def thinned(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """Return at most so many points, each the mean of as many neighbours."""
    size = math.ceil(len(points) / most) or 1
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in groups]


def number(value: float) -> str:
    """Return a number in at most four digits that matter, without an exponent where that is readable."""
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e6 else f"{value:,.4g}"


def _ticks(values: Sequence[float]) -> list[float]:
    """Return three to six round numbers that enclose the values."""
    low, high = min(values), max(values)
    if low == high:
        low, high = (low - 0.5, high + 0.5) if low == 0 else (low - abs(low) / 2, high + abs(high) / 2)
    rough = (high - low) / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * times for times in (1, 2, 2.5, 5, 10) if unit * times >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _place(value: float, ticks: Sequence[float], low: float, high: float) -> float:
    return low + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (high - low)


def _x(value: float, ticks: Sequence[float]) -> float:
    return _place(value, ticks, LEFT, WIDTH - RIGHT)


def _axis(xs: Sequence[float], scale: Scale) -> str:
    parts = []
    for y, text in scale.labels():
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for tick in xs:
        # The last one ends at the edge, past which nothing is seen.
        anchor, x = ("end", WIDTH - 1.0) if tick == xs[-1] else ("middle", _x(tick, xs))
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{number(tick)}</text>')
    return "".join(parts)


def _drawn(order: int, line: Line, points: list[tuple[float, float]], xs: list[float], scale: Scale) -> str:
    places = [(_x(x, xs), scale.place(y)) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    drawn = f'<polyline class="line c{order}" points="{path}"/>' if len(places) > 1 else ""
    if line.dots or len(places) == 1:
        named = zip(points, places, strict=True)
        drawn += "".join(
            f'<circle class="dot c{order}" cx="{px:.1f}" cy="{py:.1f}" r="3">'
            f"<title>{escape(line.name)} {number(y)} at step {number(x)}</title></circle>"
            for (x, y), (px, py) in named
        )
    return drawn
