"""The commands of docs/sign.md, run in order as they stand there, and the scores that it promises."""

from __future__ import annotations

import csv
import os
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from lit_llm.__main__ import main
from lit_llm.data.clips.skeleton import BODY, HAND
from scripts import make_signs


def guide(root: Path) -> list[list[str]]:
    text = (root / "docs/sign.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def write_poses(folder: Path) -> None:
    """Write fifteen clips of five videos as ``.pose`` files, with a table of sentences."""
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    parts = {"POSE_LANDMARKS": BODY, "LEFT_HAND_LANDMARKS": HAND, "RIGHT_HAND_LANDMARKS": HAND}
    components = [PoseHeaderComponent(name, list(points), [], [], "XYZC") for name, points in parts.items()]
    header = PoseHeader(0.2, PoseHeaderDimensions(640, 480, 100), components)
    rng = np.random.default_rng(0)
    (folder / "poses").mkdir(parents=True)
    lines = ["uid,text"]
    for number in range(15):
        uid = f"video{number // 3}-{number % 3}"
        data = rng.normal(300, 50, (int(rng.integers(10, 30)), 1, len(BODY) + 2 * len(HAND), 3)).astype(np.float32)
        with (folder / "poses" / f"{uid}.pose").open("wb") as file:
            Pose(header, NumPyPoseBody(25, data, np.ones(data.shape[:3], dtype=np.float32))).write(file)
        lines.append(f"{uid},sentence {number}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


def scores(run: Path) -> dict[str, float]:
    with (run / "metrics.csv").open() as file:
        return {row["name"]: float(row["value"]) for row in csv.DictReader(file)}


@pytest.mark.slow
def test_every_command_of_the_guide(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink(root / "configs", "configs")
    Path("checkpoints").mkdir()
    os.symlink(root / "checkpoints/qwen3-tiny", "checkpoints/qwen3-tiny")
    write_poses(Path("data"))
    found = {}
    for command in guide(root):
        if command[0] == "scripts/make_signs.py":
            monkeypatch.setattr(sys, "argv", command)
            make_signs.main()
            continue
        monkeypatch.setattr(sys, "argv", ["lit_llm"])
        verb, *options = command[2:]
        status = main([verb, *options])
        printed = capsys.readouterr()
        assert status == 0, (verb, options, printed.err)
        if verb == "test":
            how = options[-1] if "--data.corrupt" in options else "none"
            found[how] = scores(Path("checkpoints/sign_tiny"))["test/test/bleu4"]
    aligned = scores(Path("checkpoints/sign_tiny_align"))["val/retrieval"]
    print(f"retrieval among 64: {aligned}")
    assert aligned >= 0.9
    print({how: round(score, 1) for how, score in found.items()})
    assert found.pop("none") >= 80
    assert set(found) == {"rolled", "zeroed", "reversed", "shuffled"}
    assert max(found.values()) <= 5
    for run, rows in (("sign_tiny", 64), ("sign_poses", 3)):
        with Path(f"checkpoints/{run}/predictions.csv").open(encoding="utf-8", newline="") as file:
            assert len(list(csv.DictReader(file))) == rows
