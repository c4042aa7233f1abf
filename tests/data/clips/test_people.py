"""The signer is followed whatever place they have; key points of the whole body are read, and no pickle is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_llm.data.clips import POINTS, normalised, read_clip
from lit_llm.data.clips.people import followed
from lit_llm.data.clips.skeleton import SHOULDERS
from lit_llm.data.clips.whole_body import whole_body_points
from lit_llm.errors import DataError

RNG = np.random.default_rng(5)
SHAPE = RNG.normal(size=(len(POINTS), 2)).astype(np.float32) * 30


def person(frames: int, x: float, speed: float = 1.0) -> np.ndarray:
    """Return ``[L, P, 2]`` of someone who walks to the right."""
    walk = np.stack([x + speed * np.arange(frames), np.full(frames, 100.0)], axis=1)
    return (SHAPE + walk[:, None]).astype(np.float32)


def places(frames: int, count: int) -> np.ndarray:
    return np.full((frames, count, len(POINTS), 2), np.nan, dtype=np.float32)


@pytest.mark.parametrize("empty", [0.0, np.nan])
@pytest.mark.parametrize("signer_in", [[0] * 20, [1] * 20, [0] * 9 + [1] * 11, [2, 0, 1] * 6 + [2, 2]])
def test_a_signer_alone_is_found_in_whatever_place(signer_in: list[int], empty: float) -> None:
    points, wanted = places(20, 3), person(20, 0)
    points[np.arange(20), signer_in] = wanted
    sure = np.where(np.isfinite(points).any((2, 3)), 5.0, empty)
    np.testing.assert_array_equal(followed(points, sure), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_a_signer_beside_another_is_not_mixed_with_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    signer, other = person(30, 0), person(30, 400, speed=-2)
    points, sure = places(30, 2), np.zeros((30, 2))
    for frame, place in enumerate(rng.integers(0, 2, 30)):
        points[frame, place], points[frame, 1 - place] = signer[frame], other[frame]
        sure[frame, place], sure[frame, 1 - place] = 0.9, 0.5
    unseen = [4, 5, 17]
    for frame in unseen:
        points[frame, int(sure[frame].argmax())] = np.nan
    wanted = signer.copy()
    wanted[unseen] = np.nan
    np.testing.assert_array_equal(followed(points, sure), wanted)


def test_nobody_is_nobody() -> None:
    assert np.isnan(followed(places(3, 2), np.full((3, 2), np.nan))).all()


@pytest.mark.parametrize(("empty_place", "swap_at"), [(0, 0), (1, 40)])
def test_a_real_pose_with_an_empty_place_is_that_without(
    real_data: Path, tmp_path: Path, empty_place: int, swap_at: int
) -> None:
    from pose_format import Pose

    source = real_data / "data/sign/pose_format/holistic576_25fps_v0.2.pose"
    pose = Pose.read(source.read_bytes())
    data, sure = pose.body.data, pose.body.confidence
    blank, unsure = np.ma.masked_all_like(data), np.full_like(sure, np.nan)
    both = [(data, sure), (blank, unsure)][:: -1 if empty_place == 0 else 1]
    for target, parts in (("data", [p[0] for p in both]), ("confidence", [p[1] for p in both])):
        join = np.ma.concatenate if target == "data" else np.concatenate
        joined = join(parts, axis=1)
        joined = join([joined[:swap_at], joined[swap_at:, ::-1]], axis=0)
        setattr(pose.body, target, joined)
    with (tmp_path / "two.pose").open("wb") as file:
        pose.write(file)
    np.testing.assert_array_equal(read_clip(tmp_path / "two.pose").values, read_clip(source).values)


def whole_body(frames: int = 6, people: int = 1) -> np.ndarray:
    return RNG.uniform(0.1, 0.9, size=(frames, people, 133, 2)).astype(np.float32)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("ending", [".pkl", ".pickle"])
@pytest.mark.parametrize("form", ["array", "dict", "scores", "frames", "flat"])
def test_pickles_of_key_points_are_read(tmp_path: Path, protocol: int, ending: str, form: str) -> None:
    array = whole_body()
    held: Any = {
        "array": array,
        "dict": {"keypoints": array},
        "scores": {"keypoints": array, "scores": np.ones(array.shape[:3])},
        "frames": {"keypoints": list(array), "scores": [np.ones((1, 133))] * len(array)},
        "flat": {"keypoints": array[:, 0]},
    }[form]
    (tmp_path / f"a{ending}").write_bytes(pickle.dumps(held, protocol=protocol))
    clip = read_clip(tmp_path / f"a{ending}")
    assert clip.is_pose and clip.values.shape == (6, len(POINTS), 2)
    np.testing.assert_allclose(clip.values, normalised(whole_body_points(array)), rtol=1e-5)


def test_the_points_of_a_whole_body_are_those_of_its_table() -> None:
    array = np.arange(1, 134, dtype=np.float32)[None, :, None].repeat(2, axis=2)
    found = dict(zip(POINTS, whole_body_points(array)[0, :, 0].astype(int) - 1, strict=True))
    # Numbers of COCO-WholeBody: body 0 to 16, face 23 to 90 in dlib's order, left hand from 91, right hand from 112.
    wanted = {"body/NOSE": 0, "body/LEFT_SHOULDER": 5, "body/RIGHT_WRIST": 10, "face/61": 23 + 48, "face/33": 23 + 36}
    wanted |= {"left_hand/WRIST": 91, "left_hand/PINKY_TIP": 111, "right_hand/WRIST": 112, "right_hand/THUMB_TIP": 116}
    assert {name: found[name] for name in wanted} == wanted


def test_points_that_were_not_seen_are_none() -> None:
    array, scores = whole_body(), np.ones((6, 1, 133))
    array[0, 0, 5] = 0
    array[1, 0, 5] = np.nan
    scores[2, 0, 5] = 0
    shoulder = whole_body_points(array, scores)[:, SHOULDERS[0], 0]
    assert np.isnan(shoulder).tolist() == [True] * 3 + [False] * 3
    with_third = np.concatenate([array, scores[..., None]], axis=-1)
    np.testing.assert_array_equal(whole_body_points(with_third)[:, SHOULDERS[0], 0], shoulder)


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('ran')",)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({"keypoints": Evil()}, "builtins.exec"),
        (np.array([Evil()], dtype=object), "builtins.exec"),
        ({"keypoints": np.array([{}], dtype=object)}, "Python objects"),
        ({"keypoints": np.zeros((3, 17, 2))}, r"\[3, 17, 2\]"),
        ({"pose": np.zeros((3, 133, 2))}, "no 'keypoints'"),
        ({"keypoints": whole_body(), "scores": np.ones((5, 133))}, "scores have the shape"),
        ({"keypoints": [np.zeros((1, 133, 2)), np.zeros((2, 133, 2))]}, "one shape a frame"),
        (Path("a"), "pathlib"),
    ],
)
def test_another_pickle_is_refused_and_not_run(tmp_path: Path, held: Any, message: str) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(held))
    with pytest.raises(DataError, match=message):
        read_clip(tmp_path / "a.pkl")


def test_entries_of_groups_are_found_or_named(tmp_path: Path) -> None:
    import h5py

    frames = RNG.normal(size=(4, 3)).astype(np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one/features"] = frames
        file["two/features"], file["two/gloss"] = frames + 1, np.bytes_("casa")
    for key, wanted in {"one": frames, "one/features": frames, "two/features": frames + 1}.items():
        np.testing.assert_array_equal(read_clip(tmp_path / "a.h5", key).values, wanted)
    for key, message in {"two": "two/features, two/gloss", "two/gloss": "numbers", "three": "one/features"}.items():
        with pytest.raises(DataError, match=message):
            read_clip(tmp_path / "a.h5", key)
    with pytest.raises(DataError, match="3 entries"):
        read_clip(tmp_path / "a.h5")
