"""One signer followed through a clip in which several people have places, or one changes places."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.data.clips.skeleton import Points

FARTHEST = 0.5
"""How far, in sizes of a person, the points of one person move from one frame in which they are seen to the next."""


def followed(points: NDArray[np.float32], sureness: NDArray[np.float32]) -> Points:
    """Return the points of the person of whom most is seen.

    People are followed from frame to frame by where their points are, whatever their places in the file: an estimator
    numbers people anew in every frame, and a place may be empty all along.

    Args:
        points: ``[L, N, P, 2]`` of ``N`` places, NaN where not seen.
        sureness: ``[L, N]``, how much is seen of whoever is in a place; NaN counts as 0.

    Returns:
        ``[L, P, 2]``, NaN in frames in which that person is not seen.
    """
    sure = np.nan_to_num(sureness)
    # A point of which one number is missing was not seen.
    points = np.where(np.isfinite(points).all(-1, keepdims=True), points, np.float32("nan"))
    seen: Any = np.isfinite(points).any(axis=(2, 3))
    if points.shape[1] == 1:
        return points[:, 0]
    size = _size(points, seen)
    tracks: list[_Track] = []
    for frame in range(len(points)):
        _extend(tracks, points[frame], np.flatnonzero(seen[frame]), frame, size)
    found: Points = np.full((len(points), *points.shape[2:]), np.nan, dtype=np.float32)
    if tracks:
        main = max(tracks, key=lambda track: sum(sure[at] for at in track.places.items()))
        for frame, place in main.places.items():
            found[frame] = points[frame, place]
    return found


class _Track:
    """One person: the place in each frame in which they are seen, and where they were last."""

    def __init__(self, frame: int, place: int, points: Any) -> None:
        self.places = {frame: place}
        self.last = points.copy()

    def add(self, frame: int, place: int, points: Any) -> None:
        """Note where the person is now; a point that is not seen is where it was."""
        self.places[frame] = place
        self.last = np.where(np.isfinite(points), points, self.last)


def _extend(tracks: list[_Track], points: NDArray[np.float32], here: Any, frame: int, size: float) -> None:
    """Give whoever is seen in a frame to the tracks that are nearest; who is near none begins another."""
    from scipy.optimize import linear_sum_assignment

    taken: set[int] = set()
    if tracks and len(here):
        far = np.array([[_distance(track.last, points[place]) / size for place in here] for track in tracks])
        for row, column in zip(*linear_sum_assignment(np.minimum(far, 1e6)), strict=True):
            if far[row, column] <= FARTHEST:
                tracks[row].add(frame, int(here[column]), points[here[column]])
                taken.add(int(here[column]))
    tracks += [_Track(frame, int(place), points[place]) for place in here if int(place) not in taken]


def _distance(one: Any, other: Any) -> float:
    """Return the mean distance of the points that both have; infinite where they share none."""
    between = np.linalg.norm(one - other, axis=-1)
    both = np.isfinite(between)
    return float(between[both].mean()) if both.any() else float("inf")


def _size(points: NDArray[np.float32], seen: Any) -> float:
    """Return the median diagonal of the boxes around whoever is seen."""
    boxes = points[seen]
    if not len(boxes):
        return 1.0
    diagonals = np.linalg.norm(np.nanmax(boxes, axis=1) - np.nanmin(boxes, axis=1), axis=-1)
    return float(np.median(diagonals)) or 1.0
