from __future__ import annotations

import numpy as np
import pytest

from lit_llm.batch import Prediction
from lit_llm.callbacks.clip_figures import clip_figure
from lit_llm.data.clips import BONES, POINTS

SAID = Prediction("a", "a", "it rains $now", "it snows " * 40)


def poses(frames: int) -> np.ndarray:
    points = np.random.default_rng(0).normal(size=(frames, len(POINTS), 2)).astype(np.float32)
    points[: frames // 2, 3] = np.nan
    return points


def test_each_view_of_a_pose_is_a_row_of_frames_from_first_to_last():
    figure = clip_figure({"in the file": 300 + 90 * poses(20), "normalised": poses(20), "changed": poses(1)}, SAID, 5)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["0", "5", "10", "14", "19"] * 2 + ["0"] * 5
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "in the file\n20 frames",
        "normalised\n20 frames",
        "changed\n1 frames",
    ]
    assert all(len(axes.lines) == 1 + len(BONES) for axes in figure.axes)
    low, high = sorted(figure.axes[0].get_ylim())
    assert figure.axes[0].get_ylim() == (high, low)  # the top of a picture is its small end
    figure.canvas.draw()


def test_a_view_in_which_nothing_is_seen_is_drawn_empty():
    clip_figure({"changed": np.full((5, len(POINTS), 2), np.nan, np.float32)}, SAID, 3).canvas.draw()


def test_reference_and_prediction_stand_below_and_are_broken_into_lines():
    figure = clip_figure({"features": np.zeros((6, 4), np.float32)}, SAID, 5)
    below = figure.get_supxlabel()
    assert "reference: it snows" in below
    assert below.endswith("prediction: it rains $now")
    assert max(map(len, below.splitlines())) <= 90
    assert len(figure.axes) == 1
    figure.canvas.draw()


@pytest.mark.parametrize("bone", BONES)
def test_lines_join_points_of_one_part(bone: list[int]):
    parts = {POINTS[at].split("/")[0] for at in bone}
    assert len(parts) == 1
    assert parts == {"body"} or POINTS[bone[0]].endswith("WRIST")
    assert len({POINTS[at].split("/")[1].split("_")[0] for at in bone[1:]}) == 1 or parts == {"body"}
