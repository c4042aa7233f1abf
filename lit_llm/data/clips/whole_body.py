"""Key points of the whole body as COCO-WholeBody numbers them (https://arxiv.org/abs/2007.11858): 133 a person."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.data.clips.people import followed
from lit_llm.data.clips.skeleton import POINTS, Points, openpose_hand, point_indices
from lit_llm.errors import DataError

COUNT = 133
_BODY = "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist LHip RHip LKnee RKnee LAnkle RAnkle"
_LAYOUT: list[tuple[str, list[str]]] = [
    ("pose_keypoints_2d", _BODY.split()),
    ("feet", [str(number) for number in range(6)]),
    ("face_keypoints_2d", [str(number) for number in range(68)]),
    ("hand_left_keypoints_2d", openpose_hand()),
    ("hand_right_keypoints_2d", openpose_hand()),
]


def is_whole_body(array: NDArray[Any]) -> bool:
    """Whether an array is of key points: ``[L, 133, 2 or 3]``, or ``[L, N, 133, 2 or 3]`` for ``N`` people."""
    return array.ndim in (3, 4) and array.shape[-2] == COUNT and array.shape[-1] in (2, 3)


def whole_body_points(array: NDArray[Any], scores: NDArray[Any] | None = None) -> Points:
    """Return the points that a model sees, of the person of whom most is seen.

    A point that is not finite, lies at (0, 0) or has a score of 0 or less was not seen. With three numbers a point, the
    third is its score.

    Args:
        array: as ``is_whole_body`` says, x and y in any unit.
        scores: ``[L, 133]`` or ``[L, N, 133]``, how sure the estimator is.

    Raises:
        DataError: if the array has another shape, or the scores one that does not fit.
    """
    if not is_whole_body(array):
        raise DataError(f"its key points have the shape {list(array.shape)}: needed is [frames, people, {COUNT}, 2]")
    people = np.asarray(array, dtype=np.float32).reshape(len(array), -1, COUNT, array.shape[-1])
    if people.shape[-1] == 3:
        scores, people = people[..., 2], people[..., :2]
    sure = np.ones(people.shape[:3], dtype=np.float32)
    if scores is not None:
        if np.asarray(scores).size != sure.size:
            raise DataError(f"its scores have the shape {list(np.shape(scores))}, its key points {list(array.shape)}")
        sure = np.nan_to_num(np.asarray(scores, dtype=np.float32)).reshape(sure.shape)
    seen = np.isfinite(people).all(-1) & people.any(-1) & (sure > 0)
    places = point_indices(_LAYOUT)
    points = np.full((*people.shape[:2], len(POINTS), 2), np.nan, dtype=np.float32)
    for point, place in enumerate(places):
        if place is not None:
            points[:, :, point] = np.where(seen[:, :, place, None], people[:, :, place], np.nan)
    return followed(points, np.where(seen, sure, 0).sum(-1))


def from_pickle(found: Any) -> Points | NDArray[np.float32]:
    """Return the points, or the features ``[L, D]``, of what a pickle holds.

    Args:
        found: an array; or a dict with ``keypoints`` and perhaps ``scores``, each an array or one a frame.

    Raises:
        DataError: if it is neither.
    """
    if isinstance(found, dict):
        if "keypoints" not in found:
            raise DataError(f"it holds {', '.join(map(str, list(found)[:6]))}, and no 'keypoints'")
        scores = found.get("scores", found.get("keypoint_scores"))
        return whole_body_points(_stacked(found["keypoints"]), None if scores is None else _stacked(scores))
    array = _stacked(found)
    return whole_body_points(array) if is_whole_body(array) else array


def _stacked(value: Any) -> NDArray[np.float32]:
    try:
        return np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        raise DataError(f"it holds a {type(value).__name__} that is no array of numbers of one shape a frame") from None
