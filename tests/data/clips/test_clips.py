"""Clips: every format gives the same frames, and a damaged file is named with its fault."""

from __future__ import annotations

import gzip
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lit_llm.data.clips import POINTS, VECTOR_SIZE, ClipChanges, clip_length, normalised, read_clip, vectors
from lit_llm.data.clips.pose import read_pose
from lit_llm.data.clips.skeleton import HANDS, SHOULDERS, point_indices, without_short_gaps
from lit_llm.errors import ConfigError, DataError

FRAMES = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
HAND = [f"{n}" for n in range(21)]


def phoenix(path: Path, rows: Any) -> None:
    with gzip.open(path, "wb") as file:
        pickle.dump(rows, file)


def hdf5(path: Path, **arrays: np.ndarray) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


WRITERS: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "a.npy": (lambda path: np.save(path, FRAMES), None),
    "half.npy": (lambda path: np.save(path, FRAMES.astype(np.float16)), None),
    "one.npz": (lambda path: np.savez(path, frames=FRAMES), None),
    "two.npz": (lambda path: np.savez(path, a=FRAMES, b=FRAMES[:2]), "a"),
    "a.pt": (lambda path: torch.save(torch.from_numpy(FRAMES), path), None),
    "dict.pt": (lambda path: torch.save({"a": torch.from_numpy(FRAMES), "b": torch.zeros(1, 1)}, path), "a"),
    "a.h5": (lambda path: hdf5(path, a=FRAMES, b=FRAMES[:1]), "a"),
    "a.hdf5": (lambda path: hdf5(path, a=FRAMES), None),
    "a.gz": (lambda path: phoenix(path, [{"name": "x", "sign": torch.from_numpy(FRAMES), "text": "t"}]), "x"),
    "phoenix14t.pami0.dev": (lambda path: phoenix(path, [{"name": "x", "sign": torch.from_numpy(FRAMES)}]), "x"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_frames_that_were_written(name: str, tmp_path: Path) -> None:
    write, key = WRITERS[name]
    write(tmp_path / name)
    clip = read_clip(tmp_path / name, key)
    assert clip.values.dtype == np.float32
    assert not clip.is_pose
    np.testing.assert_allclose(clip.values, FRAMES, atol=2e-3 if name == "half.npy" else 0)
    assert clip_length(tmp_path / name, key) == 9


def test_a_piece_of_a_long_array_is_a_clip(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", FRAMES)
    np.testing.assert_array_equal(read_clip(tmp_path / "all.npy", "3", 4).values, FRAMES[3:7])
    with pytest.raises(DataError, match=r"all\.npy: 6: frames 6 to 10 are not among its 9"):
        read_clip(tmp_path / "all.npy", "6", 4)


class Hostile:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def cut(path: Path, name: str) -> None:
    np.save(path.with_suffix(".whole.npy"), FRAMES)
    content = path.with_suffix(".whole.npy").read_bytes()
    path.write_bytes(content[: len(content) - 40])


def one_nan() -> np.ndarray:
    frames = FRAMES.copy()
    frames[4, 2] = np.nan
    return frames


def hostile(path: Path) -> Any:
    return Hostile(path.parent / "trace")


def infinite_pose(path: Path) -> None:
    points = np.zeros((2, 2 * len(POINTS)))
    points[1, 3] = np.inf
    np.save(path, points)
    path.with_suffix(".json").write_text('{"kind": "pose"}')


FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("a.npy", lambda path: None, "there is no such file"),
    "unknown kind": ("a.avi", lambda path: path.write_bytes(b"x"), "'.avi' are not read"),
    "truncated array": ("a.npy", lambda path: cut(path, "npy"), "cannot be read"),
    "empty file": ("a.npy", lambda path: path.write_bytes(b""), "cannot be read"),
    "no frame": ("a.npy", lambda path: np.save(path, FRAMES[:0]), r"it is empty: its shape is \[0, 5\]"),
    "one dimension": ("a.npy", lambda path: np.save(path, FRAMES[0]), r"its shape is not that of a clip: it is \[5\]"),
    "three dimensions": ("a.npy", lambda path: np.save(path, FRAMES[None]), r"not that of a clip: it is \[1, 9, 5\]"),
    "nothing but NaN": ("a.npy", lambda path: np.save(path, FRAMES * np.nan), "no value is a finite number"),
    "one NaN": (
        "a.npy",
        lambda path: np.save(path, np.where(FRAMES[4, 2] == FRAMES, np.nan, FRAMES)),
        "frame 4 holds nan",
    ),
    "objects": ("a.npy", lambda path: np.save(path, np.array([hostile(path)]), allow_pickle=True), "cannot be read"),
    "many entries": ("a.npz", lambda path: np.savez(path, a=FRAMES, b=FRAMES), "it holds 2 entries, a, b"),
    "text for a tensor": ("a.pt", lambda path: torch.save({"a": "x"}, path), "it holds a str"),
    "hostile tensor file": ("a.pt", lambda path: torch.save(hostile(path), path), "cannot be read"),
    "hostile pickle": ("a.gz", lambda path: phoenix(path, hostile(path)), r"asks for posix\.mkdir, .*refused"),
    "annotations alone": ("a.gz", lambda path: phoenix(path, [{"name": "x", "sign": []}]), "no features"),
    "no list": ("a.gz", lambda path: phoenix(path, {"a": 1}), "not a list of rows"),
    "no gzip": ("a.gz", lambda path: path.write_bytes(b"abc"), "cannot be read"),
    "infinity in a pose": ("a.npy", infinite_pose, "frame 1 holds inf, and 1 values are not finite"),
    "damaged HDF5": ("a.h5", lambda path: path.write_bytes(b"abc"), "cannot be read"),
    "damaged pose": ("a.pose", lambda path: path.write_bytes(b"\x00" * 30), "a.pose: "),
    "empty pose": ("a.pose", lambda path: path.write_bytes(b""), "cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_used_is_named_with_its_fault(fault: str, tmp_path: Path) -> None:
    name, write, message = FAULTS[fault]
    write(tmp_path / name)
    with pytest.raises(DataError, match=message) as error:
        read_clip(tmp_path / name)
    assert str(error.value).startswith(str(tmp_path / name))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "trace").exists()


def test_an_entry_that_is_not_there_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=FRAMES)
    with pytest.raises(DataError, match=r"a\.npz: b: there is no such entry"):
        read_clip(tmp_path / "a.npz", "b")


def skeleton(frames: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(frames, len(POINTS), 2)).astype(np.float32)


def test_place_and_size_of_a_signer_do_not_count() -> None:
    points = skeleton()
    np.testing.assert_allclose(normalised(points * 300 + 120), normalised(points), atol=1e-4)
    unit = normalised(points)
    middle = unit[:, SHOULDERS].mean(1)
    np.testing.assert_allclose(np.median(middle, axis=0), 0, atol=1e-6)
    width = np.linalg.norm(unit[:, SHOULDERS[0]] - unit[:, SHOULDERS[1]], axis=1)
    assert np.median(width) == pytest.approx(1)


def test_frames_without_both_shoulders_do_not_move_the_centre() -> None:
    points = skeleton(13)
    hidden = points.copy()
    hidden[3, SHOULDERS[0]] = np.nan
    expected = normalised(np.delete(points, 3, axis=0))
    np.testing.assert_allclose(normalised(hidden)[np.arange(13) != 3], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [(slice(None), "no point was seen"), (SHOULDERS[0], "both shoulders were never seen together")],
)
def test_a_pose_without_scale_is_refused(spoil: Any, message: str) -> None:
    points = skeleton()
    points[:, spoil] = np.nan
    with pytest.raises(DataError, match=message):
        normalised(points)


def test_vectors_hold_relative_hands_and_tell_whether_hands_were_seen() -> None:
    points = normalised(skeleton())
    points[5:, HANDS[0]] = np.nan
    found = vectors(points)
    assert found.shape == (12, VECTOR_SIZE)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[:, -2], [1] * 5 + [0] * 7)
    np.testing.assert_array_equal(found[:, -1], 1)
    flat = found[:, :-2].reshape(12, -1, 2)
    right = HANDS[1]
    np.testing.assert_allclose(flat[:, right.start], points[:, right.start])
    np.testing.assert_allclose(
        flat[:, right.start + 1 : right.stop], points[:, right.start + 1 : right.stop] - points[:, right.start, None]
    )
    assert not flat[5:, HANDS[0]].any()


def test_fingers_without_a_wrist_are_relative_to_their_middle() -> None:
    points = normalised(skeleton())
    points[:, HANDS[0].start] = np.nan
    fingers = vectors(points)[:, :-2].reshape(12, -1, 2)[:, HANDS[0]][:, 1:]
    given = points[:, HANDS[0]][:, 1:]
    np.testing.assert_allclose(fingers, given - given.mean(1, keepdims=True), atol=1e-5)


def test_short_gaps_are_filled_on_a_line_and_long_ones_are_not() -> None:
    points = np.repeat(np.arange(20, dtype=np.float32)[:, None, None], len(POINTS), axis=1).repeat(2, axis=2)
    gapped = points.copy()
    gapped[2:7, 0] = np.nan  # five frames
    gapped[9:15, 0] = np.nan  # six
    gapped[:3, 1] = np.nan  # no frame before
    filled = without_short_gaps(gapped)
    np.testing.assert_array_equal(filled[2:7, 0], points[2:7, 0])
    assert np.isnan(filled[9:15, 0]).all()
    assert np.isnan(filled[:3, 1]).all()


def test_points_are_found_by_name_whatever_their_order() -> None:
    layout = [("FACE_LANDMARKS", ["13", "0"]), ("POSE_LANDMARKS", ["RIGHT_WRIST", "NOSE"])]
    found = dict(zip(POINTS, point_indices(layout), strict=True))
    assert {name: at for name, at in found.items() if at is not None} == {
        "body/NOSE": 3,
        "body/RIGHT_WRIST": 2,
        "face/0": 1,
        "face/13": 0,
    }
    with pytest.raises(DataError, match=r"TAIL \(2\) has no point"):
        point_indices([("TAIL", ["a", "b"])])


def test_changes_depend_on_the_stream_alone_and_keep_the_kind() -> None:
    changes, points = ClipChanges(mask=0.3), normalised(skeleton(40))
    first, again, other = (changes.apply(points, random.Random(seed), is_pose=True) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape[1:] == points.shape[1:]
    assert first.shape != other.shape or not np.array_equal(first, other)
    plain = ClipChanges().apply(FRAMES, random.Random(0), is_pose=False)
    assert plain.shape[1] == FRAMES.shape[1]
    assert np.isfinite(plain).all()


def test_changes_that_are_off_change_nothing() -> None:
    off = ClipChanges(speed=0, drop=0, noise=0, rotation=0, scale=0, shift=0)
    np.testing.assert_array_equal(off.apply(FRAMES, random.Random(0), is_pose=False), FRAMES)
    points = normalised(skeleton())
    np.testing.assert_allclose(off.apply(points, random.Random(0), is_pose=True), points)


def test_a_turn_keeps_distances_and_a_clip_keeps_a_frame() -> None:
    points = normalised(skeleton(1))
    turned = ClipChanges(speed=0, drop=0, noise=0, scale=0).apply(points, random.Random(3), is_pose=True)
    distances = [np.linalg.norm(p[0, :, None] - p[0, None], axis=-1) for p in (points, turned)]
    np.testing.assert_allclose(*distances, atol=1e-5)
    assert not np.allclose(points, turned)
    for seed in range(20):
        assert len(ClipChanges(drop=0.9).apply(FRAMES, random.Random(seed), is_pose=False)) >= 1


@pytest.mark.parametrize("options", [{"drop": 1.0}, {"noise": -0.1}, {"speed": -0.1}])
def test_impossible_changes_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        ClipChanges(**options)


def poses(real_data: Path) -> list[Path]:
    return sorted((real_data / "data" / "sign").rglob("*.pose"))


def test_every_real_pose_is_read_as_its_own_library_does(real_data: Path) -> None:
    from pose_format import Pose

    layouts, counts = set(), {}
    for path in poses(real_data):
        wanted = Pose.read(path.read_bytes())
        found = read_pose(path.read_bytes())
        frames, people, points, _ = wanted.body.data.shape
        assert (len(found.points), found.people, sum(found.layout.values())) == (frames, people, points), path
        assert found.rate == wanted.body.fps, path
        assert list(found.layout) == [part.name for part in wanted.header.components]
        layouts.add(points)
        person = int(wanted.body.confidence.sum(axis=(0, 2)).argmax())
        parts = {part.name: part.points for part in wanted.header.components}
        same = {
            "body/NOSE": [("POSE_LANDMARKS", "NOSE"), ("pose_keypoints_2d", "Nose")],
            "body/RIGHT_ELBOW": [("POSE_LANDMARKS", "RIGHT_ELBOW"), ("pose_keypoints_2d", "RElbow")],
            "left_hand/WRIST": [("LEFT_HAND_LANDMARKS", "WRIST"), ("hand_left_keypoints_2d", "BASE")],
            "right_hand/WRIST": [("RIGHT_HAND_LANDMARKS", "WRIST"), ("hand_right_keypoints_2d", "BASE")],
            "right_hand/THUMB_TIP": [("RIGHT_HAND_LANDMARKS", "THUMB_TIP"), ("hand_right_keypoints_2d", "T_IP")],
        }
        compared = 0
        for name, places in same.items():
            for component, point in places:
                if point in parts.get(component, []):
                    place = wanted.header.get_point_index(component, point)
                    expected = wanted.body.data[:, person, place, :2].filled(np.nan)
                    np.testing.assert_array_equal(found.points[:, POINTS.index(name)], expected, f"{path} {name}")
                    compared += 1
        assert compared >= 1, path
        counts[path.name] = compared
    assert sorted(counts.values())[-17:] >= [4] * 17
    assert layouts >= {576, 586, 178, 137}
    assert len(poses(real_data)) == 19


def test_every_real_pose_with_shoulders_becomes_vectors(real_data: Path) -> None:
    for path in poses(real_data):
        if "hand" in path.name:
            with pytest.raises(DataError, match="shoulders were never seen"):
                read_clip(path)
            continue
        frames = vectors(read_clip(path).values)
        assert frames.shape == (clip_length(path), VECTOR_SIZE)
        assert np.isfinite(frames).all()
        assert np.abs(frames).max() < 10
