"""``.pose`` files become arrays of the points that a model sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lit_llm.data.clips.people import followed
from lit_llm.data.clips.skeleton import POINTS, Points, point_indices
from lit_llm.errors import DataError


@dataclass(frozen=True)
class PoseFile:
    """What a ``.pose`` file holds of one person.

    Attributes:
        points: ``[L, P, 2]`` of the person whom the file is most sure of, whichever place they have in a frame, in the
            file's unit.
        rate: frames per second.
        layout: how many points each component of the file has, used or not.
        people: how many people the file has places for.
    """

    points: Points
    rate: float
    layout: dict[str, int]
    people: int


def read_pose(content: bytes) -> PoseFile:
    """Return what is used of a file.

    Args:
        content: of a ``.pose`` file of any version.

    Raises:
        DataError: if the file has no frame, or its layout no known point, or its reader is not installed.
    """
    try:
        from pose_format import Pose
    except ImportError:
        raise DataError(".pose files need an extra: pip install -e '.[sign]'") from None
    pose = Pose.read(content)
    data, confidence = pose.body.data, np.asarray(pose.body.confidence)
    if not len(data) or not data.shape[1]:
        raise DataError(f"it has {len(data)} frames and {data.shape[1]} people")
    # A place without anyone may hold NaN, which is neither seen nor unseen.
    sure = np.nan_to_num(confidence)
    seen = (sure > 0) & ~np.ma.getmaskarray(data)[..., 0]
    values = np.asarray(np.ma.getdata(data)[..., :2], dtype=np.float32)
    places = point_indices([(part.name, list(part.points)) for part in pose.header.components])
    points = np.full((*values.shape[:2], len(POINTS), 2), np.nan, dtype=np.float32)
    for point, place in enumerate(places):
        if place is not None:
            points[:, :, point] = np.where(seen[:, :, place, None], values[:, :, place], np.nan)
    signer = followed(points, np.where(seen, sure, 0).sum(-1))
    layout = {part.name: len(part.points) for part in pose.header.components}
    return PoseFile(signer, float(pose.body.fps), layout, data.shape[1])
