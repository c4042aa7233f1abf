"""The points of a signer that a model sees, and how poses of any layout become vectors of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.errors import DataError

Points = NDArray[np.float32]
"""``[L, P, 2]``: frames, the points of ``POINTS``, x and y; NaN where a point was not seen."""

BODY = ("NOSE", "LEFT_SHOULDER", "RIGHT_SHOULDER", "LEFT_ELBOW", "RIGHT_ELBOW", "LEFT_WRIST", "RIGHT_WRIST")
_JOINTS = ("MCP", "PIP", "DIP", "TIP")
HAND = (
    "WRIST",
    *(f"THUMB_{joint}" for joint in ("CMC", "MCP", "IP", "TIP")),
    *(f"{finger}_FINGER_{joint}" for finger in ("INDEX", "MIDDLE", "RING") for joint in _JOINTS),
    *(f"PINKY_{joint}" for joint in _JOINTS),
)
"""Points of a hand in MediaPipe's order, which is OpenPose's too."""

_FACE = {  # MediaPipe's number → that of the 70 face points of OpenPose
    **{61: 48, 291: 54, 0: 51, 17: 57, 13: 62, 14: 66},  # mouth: corners, outer and inner lips
    **{70: 17, 105: 19, 107: 21, 336: 22, 334: 24, 300: 26},  # brows
    **{33: 36, 159: 37, 133: 39, 362: 42, 386: 44, 263: 45},  # eyes: corners and upper lids
}

POINTS = tuple(
    [f"body/{name}" for name in BODY]
    + [f"left_hand/{name}" for name in HAND]
    + [f"right_hand/{name}" for name in HAND]
    + [f"face/{number}" for number in _FACE]
)
"""Names of the points, in the order of an array of points."""

_LEFT = slice(len(BODY), len(BODY) + len(HAND))
_RIGHT = slice(_LEFT.stop, _LEFT.stop + len(HAND))
HANDS = (_LEFT, _RIGHT)
SHOULDERS = [BODY.index("LEFT_SHOULDER"), BODY.index("RIGHT_SHOULDER")]

_ARMS = ("LEFT_WRIST", "LEFT_ELBOW", "LEFT_SHOULDER", "RIGHT_SHOULDER", "RIGHT_ELBOW", "RIGHT_WRIST")
_FINGERS = [[0, *range(first, first + 4)] for first in range(1, len(HAND), 4)]
BONES = [
    [BODY.index(name) for name in _ARMS],
    *([hand.start + at for at in finger] for hand in HANDS for finger in _FINGERS),
]
"""Chains of points that are drawn as lines: the arms across the shoulders, and the fingers from the wrist on."""

VECTOR_SIZE = 2 * len(POINTS) + len(HANDS)
"""Numbers of a frame: x and y of every point, and whether each hand was seen."""

_OPENPOSE_BODY = {name: "".join([name[0] if "_" in name else "", name.split("_")[-1].capitalize()]) for name in BODY}
_OPENPOSE_HAND = "BASE T_STT T_BCMC T_MCP T_IP " + " ".join(
    f"{finger}_{joint}" for finger in "IMRP" for joint in ("CMC", "MCP", "PIP", "DIP")
)


def _places() -> list[list[tuple[str, str]]]:
    """Return for each point its component and name in every layout that is known."""
    openpose_hand = _OPENPOSE_HAND.split()
    found = [[("POSE_LANDMARKS", name), ("pose_keypoints_2d", _OPENPOSE_BODY[name])] for name in BODY]
    for side in ("LEFT", "RIGHT"):
        component, other = f"{side}_HAND_LANDMARKS", f"hand_{side.lower()}_keypoints_2d"
        found += [[(component, a), (other, b)] for a, b in zip(HAND, openpose_hand, strict=True)]
    # OpenPose names a face point by its part and number, such as FE_36: the number alone is matched.
    return found + [[("FACE_LANDMARKS", str(a)), ("face_keypoints_2d", str(b))] for a, b in _FACE.items()]


def openpose_hand() -> list[str]:
    """Return OpenPose's names of the points of a hand, in its order."""
    return _OPENPOSE_HAND.split()


def point_indices(components: list[tuple[str, list[str]]]) -> list[int | None]:
    """Return where each of ``POINTS`` stands in a layout, found by component and point name only.

    Args:
        components: names of a layout's components and of their points, in order.

    Returns:
        For each point its place among all points of the layout; None where the layout lacks it.

    Raises:
        DataError: if the layout has none of the points.
    """
    known: dict[tuple[str, str], int] = {}
    place = 0
    for component, names in components:
        for name in names:
            short = name.rsplit("_", 1)[-1] if component == "face_keypoints_2d" else name
            known[component, short] = place
            place += 1
    found = [next((known[at] for at in places if at in known), None) for places in _places()]
    if all(at is None for at in found):
        raise DataError(
            f"its layout {', '.join(f'{name} ({len(points)})' for name, points in components)} has no point of a body, "
            "hand or face that is known; known are MediaPipe Holistic and OpenPose"
        )
    return found


def normalised(points: Points) -> Points:
    """Return points with the clip's median shoulder midpoint at 0 and its median shoulder width as 1.

    Raises:
        DataError: if nothing was seen, or never both shoulders.
    """
    if not np.isfinite(points).any():
        raise DataError("no point was seen in any frame")
    left, right = (points[:, at] for at in SHOULDERS)
    seen = np.isfinite(left).all(1) & np.isfinite(right).all(1)
    if not seen.any():
        raise DataError("both shoulders were never seen together, so the pose has no centre and no scale")
    middle = np.median((left[seen] + right[seen]) / 2, axis=0)
    width = float(np.median(np.linalg.norm(left[seen] - right[seen], axis=1)))
    if not width > 0:
        raise DataError("the shoulders lie on one point, so the pose has no scale")
    result: Points = ((points - middle) / width).astype(np.float32)
    return result


def without_short_gaps(points: Points, longest: int = 5) -> Points:
    """Return points whose gaps of up to ``longest`` frames are filled on a straight line between their ends."""
    filled = points.copy()
    frames = np.arange(len(points))
    for at in range(points.shape[1]):
        seen = np.flatnonzero(np.isfinite(points[:, at, 0]))
        gaps = np.diff(seen)
        short = np.zeros(len(points), dtype=bool)
        for before, gap in zip(seen[:-1], gaps, strict=True):
            if 1 < gap <= longest + 1:
                short[before + 1 : before + gap] = True
        for axis in range(points.shape[2]) if short.any() else ():
            filled[short, at, axis] = np.interp(frames[short], seen, points[seen, at, axis])
    return filled


def vectors(points: Points) -> NDArray[np.float32]:
    """Return a vector ``[L, VECTOR_SIZE]`` for each frame of normalised points.

    Points of a hand but its wrist are relative to that wrist, or to their middle where it was not seen; short gaps are
    filled, and what is still missing is 0.
    """
    seen = np.stack([np.isfinite(points[:, hand, 0]).any(1) for hand in HANDS], axis=1)
    filled = without_short_gaps(points)
    for hand in HANDS:
        wrist = filled[:, hand.start : hand.start + 1]
        count = np.maximum(1, np.isfinite(filled[:, hand]).sum(1, keepdims=True))
        middle = np.nansum(filled[:, hand], 1, keepdims=True) / count
        filled[:, hand.start + 1 : hand.stop] -= np.where(np.isfinite(wrist), wrist, middle)
    flat: Any = np.concatenate([np.nan_to_num(filled).reshape(len(points), -1), seen], axis=1)
    return flat.astype(np.float32)  # type: ignore[no-any-return]
