"""The commands of docs/sign.md, run in order as they stand there, and the scores that it promises."""

from __future__ import annotations

import csv
import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lit_llm.__main__ import main
from lit_llm.data.clips.skeleton import BODY, HAND
from scripts.demo_data import make_signs, make_spelling
from tests.short_runs import logged

FEWER = {"sign_tiny_align": "8", "sign_spelling_align": "8", "sign_spelling": "4"}
"""Epochs in which the adaptor learns alone, of 16, and in which all does, of 6."""


def guide(root: Path) -> list[list[str]]:
    text = (root / "docs/sign.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line)[1:] for block in blocks for line in block.splitlines()]


def write_poses(folder: Path) -> None:
    """Write fifteen clips of five videos as ``.pose`` files, with a table of sentences."""
    write = pose_writer()
    (folder / "poses").mkdir(parents=True)
    lines = ["uid,text"]
    for number in range(15):
        uid = f"video{number // 3}-{number % 3}"
        write(folder / "poses" / f"{uid}.pose", number)
        lines.append(f"{uid},sentence {number}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


def pose_writer() -> Callable[[Path, int], None]:
    """Return what writes a ``.pose`` file of random points."""
    from pose_format import Pose
    from pose_format.numpy import NumPyPoseBody
    from pose_format.pose_header import PoseHeader, PoseHeaderComponent, PoseHeaderDimensions

    parts = {"POSE_LANDMARKS": BODY, "LEFT_HAND_LANDMARKS": HAND, "RIGHT_HAND_LANDMARKS": HAND}
    components = [PoseHeaderComponent(name, list(points), [], [], "XYZC") for name, points in parts.items()]
    header = PoseHeader(0.2, PoseHeaderDimensions(640, 480, 100), components)

    def write(path: Path, number: int) -> None:
        rng = np.random.default_rng(number)
        data = rng.normal(300, 50, (int(rng.integers(10, 30)), 1, len(BODY) + 2 * len(HAND), 3)).astype(np.float32)
        with path.open("wb") as file:
            Pose(header, NumPyPoseBody(25, data, np.ones(data.shape[:3], dtype=np.float32))).write(file)

    return write


def put_letters(folder: Path) -> bool:
    """Put recorded letters into a folder, or random ones where there are none; return whether they are recorded."""
    real = Path(os.environ.get("LIT_LLM_REAL_DATA", "")) / "data/sign/sts_lexicon/ase"
    if recorded := real.is_dir():
        folder.symlink_to(real.resolve())
    else:
        folder.mkdir()
        for number, letter in enumerate("ABCDEF"):
            pose_writer()(folder / f"{letter}.pose", number)
    return recorded


def answers(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["id"], row["prediction"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_every_command_of_the_guide(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.symlink(root / "configs", "configs")
    Path("checkpoints").mkdir()
    os.symlink(root / "checkpoints/qwen3-tiny", "checkpoints/qwen3-tiny")
    write_poses(Path("data"))
    recorded = put_letters(Path("data/letters"))
    found, spelled = {}, {}
    makers = {
        "scripts/demo_data/make_signs.py": make_signs.main,
        "scripts/demo_data/make_spelling.py": make_spelling.main,
    }
    for command in guide(root):
        if command[0] in makers:
            monkeypatch.setattr(sys, "argv", command)
            makers[command[0]]()
            continue
        monkeypatch.setattr(sys, "argv", ["lit_llm"])
        verb, *options = command[2:]
        if verb == "fit" and (run := Path(options[-1]).stem) in FEWER:
            options += ["--trainer.max_epochs", FEWER[run]]
        status = main([verb, *options])
        printed = capsys.readouterr()
        assert status == 0, (verb, options, printed.err)
        if verb == "test":
            how = options[-1] if "--data.corrupt" in options else "none"
            folder = Path(options[options.index("--config") + 1]).parent
            (spelled if "spelling" in folder.name else found)[how] = logged(folder)["test/test/bleu4"]
    aligned = logged(Path("checkpoints/sign_tiny_align"))["val/retrieval"]
    print(f"retrieval among 64: {aligned}")
    assert aligned >= 0.9
    print({how: round(score, 1) for how, score in found.items()})
    assert found.pop("none") >= 80
    assert set(found) == {"rolled", "zeroed", "reversed", "shuffled"}
    assert max(found.values()) <= 5
    print("spelled:", {how: round(score, 1) for how, score in spelled.items()})
    assert spelled["rolled"] <= 5
    # The page's figures are of all epochs.
    assert spelled["none"] >= 50 or not recorded
    alone = ["--data.eval_batch_size", "1", "--predictions", "alone.csv"]
    assert main(["predict", "--config", "checkpoints/sign_tiny/config.yaml", *alone]) == 0
    assert answers(Path("alone.csv")) == answers(Path("checkpoints/sign_tiny/predictions.csv"))
    for run, rows in (("sign_tiny", 64), ("sign_poses", 3)):
        assert len(answers(Path(f"checkpoints/{run}/predictions.csv"))) == rows
