"""``python -m lit_llm prepare sign``: raw clips become a manifest and one array, and nothing is lost in silence."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.commands.prepare import video_of
from lit_llm.data import SignData
from lit_llm.data.clips import read_clip

LENGTHS = {"abc-1": 5, "abc-2": 9, "x-y-10": 1}


def raw(folder: Path, lengths: dict[str, int] = LENGTHS) -> list[str]:
    """Write clips and a table of ids and sentences; return the options that prepare them."""
    (folder / "clips").mkdir()
    rng = np.random.default_rng(0)
    for name, length in lengths.items():
        np.save(folder / "clips" / f"{name}.npy", rng.normal(size=(length, 4)).astype(np.float32))
    lines = ["uid,text", *(f"{name},sentence {at}" for at, name in enumerate(lengths))]
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return options(folder, folder / "clips")


def options(folder: Path, clips: Path) -> list[str]:
    paths = [str(folder / "table.csv"), "--clips", str(clips), "--output", str(folder / "out")]
    return ["prepare", "sign", *paths, "--suffix", ".npy"]


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def check_clips(folder: Path, names: list[str]) -> None:
    for row in manifest(folder):
        clip = read_clip(folder / "out" / row["path"], row["key"], int(row["length"]))
        np.testing.assert_allclose(clip.values, np.load(folder / "clips" / f"{row['id']}.npy"), atol=2e-3)
    assert [row["id"] for row in manifest(folder)] == names


def test_the_array_holds_the_clips_and_a_data_module_reads_it(tmp_path: Path, root: Path) -> None:
    assert main([*raw(tmp_path), "--lang", "Hindi"]) == 0
    check_clips(tmp_path, list(LENGTHS))
    assert [row["video_id"] for row in manifest(tmp_path)] == ["abc", "abc", "x-y"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["kept"], report["frames"], report["shortest"], report["longest"]) == (3, 15, 1, 9)
    module = SignData(train=str(tmp_path / "out" / "manifest.csv"))
    module.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    module.setup("fit")
    assert [module.splits["train"][(0, at)].features.shape for at in range(3)] == [(5, 4), (9, 4), (1, 4)]


@pytest.mark.parametrize("parts", [1, 3])
def test_clips_in_a_zip_file_are_read_in_place(tmp_path: Path, parts: int) -> None:
    raw(tmp_path)
    whole = tmp_path / "poses.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in LENGTHS:
            archive.write(tmp_path / "clips" / f"{name}.npy", f"deep/{name}.npy")
    given = whole
    if parts > 1:
        content = whole.read_bytes()
        whole.unlink()
        size = len(content) // parts + 1
        for part in range(parts):
            (tmp_path / f"poses.zip.{part:03d}").write_bytes(content[part * size : (part + 1) * size])
        given = tmp_path / "poses.zip.000"
    assert main(options(tmp_path, given)) == 0
    check_clips(tmp_path, list(LENGTHS))


def test_faulty_clips_are_left_out_counted_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = {f"v-{at}": 4 for at in range(20)}
    command = raw(tmp_path, lengths)
    (tmp_path / "clips" / "v-3.npy").unlink()
    np.save(tmp_path / "clips" / "v-4.npy", np.full((3, 4), np.nan))
    assert main(command) == 0
    assert len(manifest(tmp_path)) == 18
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["faults"] == {"there is no such file": 1, "no value is a finite number": 1}
    assert "v-3.npy: there is no such file" in report["examples"][0]
    assert "18 of 20 (90.0%)" in capsys.readouterr().out
    (tmp_path / "clips" / "v-5.npy").write_bytes(b"x")
    assert main([*command, "--overwrite"]) == 1
    assert "only 85.0% of the rows have a clip" in capsys.readouterr().out


@pytest.mark.parametrize("ambiguous", [False, True])
def test_files_of_one_name_in_a_zip_file_are_told_apart(tmp_path: Path, ambiguous: bool) -> None:
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for at, folder in enumerate(("train", "test")):
            np.save(tmp_path / "a.npy", np.full((2, 3), at + 1, dtype=np.float32))
            archive.write(tmp_path / "a.npy", f"{folder}/a.npy")
    names = ["a.npy", "a.npy"] if ambiguous else ["train/a.npy", "test/a.npy"]
    (tmp_path / "table.csv").write_text(f"uid,path,text\n1,{names[0]},one\n2,{names[1]},two\n")
    status = main([*options(tmp_path, tmp_path / "clips.zip"), "--least-match", "0.5"]) if not ambiguous else None
    if ambiguous:
        assert main(options(tmp_path, tmp_path / "clips.zip")) == 1
        assert not (tmp_path / "out" / "manifest.csv").exists()
    else:
        assert status == 0
        np.testing.assert_array_equal(np.load(tmp_path / "out" / "features.npy")[:, 0], [1, 1, 2, 2])


def test_a_damaged_or_missing_zip_file_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw(tmp_path)
    with zipfile.ZipFile(tmp_path / "clips.zip", "w") as archive:
        for name in LENGTHS:
            archive.write(tmp_path / "clips" / f"{name}.npy", f"{name}.npy")
    content = bytearray((tmp_path / "clips.zip").read_bytes())
    content[150] ^= 255
    (tmp_path / "clips.zip").write_bytes(bytes(content))
    assert main([*options(tmp_path, tmp_path / "clips.zip"), "--least-match", "0.5"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["faults"] == {"the archive is damaged there": 1}
    capsys.readouterr()
    assert main([*options(tmp_path, tmp_path / "nowhere.zip"), "--overwrite"]) == 1
    assert "nowhere.zip cannot be opened as a zip file: there is no such file" in capsys.readouterr().err


def test_numbers_that_the_array_cannot_hold_are_a_fault(tmp_path: Path) -> None:
    command = raw(tmp_path)
    np.save(tmp_path / "clips" / "abc-2.npy", np.full((3, 4), 1e6, dtype=np.float32))
    assert main([*command, "--least-match", "0.5"]) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["faults"] == {
        "a number is too large for the array": 1
    }


def test_what_an_earlier_run_wrote_is_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = raw(tmp_path)
    assert main(command) == 0
    capsys.readouterr()
    assert main(command) == 1
    assert "add --overwrite" in capsys.readouterr().err


def test_a_clip_of_another_kind_is_counted_and_named(tmp_path: Path) -> None:
    command = raw(tmp_path)
    path = tmp_path / "clips" / "abc-2.npy"
    np.save(path, np.zeros((3, 7), dtype=np.float32))
    assert main([*command, "--least-match", "0.5"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["faults"] == {"it is of another kind than the clips before it": 1}
    assert report["examples"] == [
        f"{path}: it is of another kind than the clips before it: it has 7 numbers a frame, they have 4"
    ]
    check_clips(tmp_path, ["abc-1", "x-y-10"])


@pytest.mark.parametrize(
    ("uid", "video"),
    [
        ("1782bea75c7d-7", "1782bea75c7d"),
        ("FyPkQyJWsjs--100", "FyPkQyJWsjs-"),
        ("-abc-7", "-abc"),
        ("abc-7_w", "abc"),
        ("abc_e2-7", "abc"),
        ("word", "word"),
    ],
)
def test_a_clip_belongs_to_the_video_that_its_id_names(uid: str, video: str) -> None:
    assert video_of(uid) == video


def test_an_earlier_array_stays_where_too_few_clips_are_kept(tmp_path: Path) -> None:
    command = raw(tmp_path)
    assert main(command) == 0
    before = {
        name: (tmp_path / "out" / name).read_bytes() for name in ("features.npy", "manifest.csv", "features.json")
    }
    np.save(tmp_path / "clips" / "abc-1.npy", np.zeros((3, 7), dtype=np.float32))
    assert main([*command, "--overwrite"]) == 1
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    assert not list((tmp_path / "out").glob("*.part"))
    assert json.loads((tmp_path / "out" / "report.json").read_text())["kept"] == 1


def test_damaged_poses_are_counted_and_named(tmp_path: Path, real_data: Path) -> None:
    from pose_format import Pose

    letters = real_data / "data/sign/sts_lexicon/ase"
    folder = tmp_path / "poses"
    folder.mkdir()
    for name in ("A", "D", "E"):
        shutil.copy(letters / f"{name}.pose", folder)
    whole = (letters / "H.pose").read_bytes()
    (folder / "cut.pose").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.pose").write_bytes(b"")
    unseen = Pose.read(whole)
    unseen.body.confidence[:] = 0
    with (folder / "unseen.pose").open("wb") as file:
        unseen.write(file)
    np.save(folder / "features.npy", np.zeros((5, 7)))
    names = ["A", "D", "E", "cut", "empty", "unseen", "features", "nowhere"]
    lines = ["path,text", *(f"{n}.{'npy' if n == 'features' else 'pose'},{n}" for n in names)]
    (tmp_path / "table.csv").write_text("\n".join(lines))
    assert main([*options(tmp_path, folder), "--least-match", "0.3"]) == 0
    assert [row["id"] for row in manifest(tmp_path)] == ["A", "D", "E"]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["kept"] == 3
    said = dict(zip(names[3:], report["examples"], strict=True))
    assert all(str(folder / name) in example for name, example in said.items())
    assert "cannot be read" in said["empty"]
    assert "no point was seen" in said["unseen"]
    assert "another kind" in said["features"]
    assert "there is no such file" in said["nowhere"]


def test_real_poses_become_an_array_of_points(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "data" / "sign" / "sts_lexicon"
    command = ["prepare", "sign", str(folder / "index.csv"), "--clips", str(folder), "--output", str(tmp_path / "out")]
    assert main(command) == 0
    for row in manifest(tmp_path):
        kept = read_clip(tmp_path / "out" / row["path"], row["key"], int(row["length"]))
        name = next(folder.rglob(f"{row['id']}.pose"))
        assert kept.is_pose
        np.testing.assert_allclose(kept.values, read_clip(name).values, atol=2e-3)


@pytest.mark.parametrize("given", [[], ["--suffix", "npy"], ["--suffix", ".npy"]])
@pytest.mark.parametrize("zipped", [False, True])
def test_files_are_found_whatever_their_ending(tmp_path: Path, given: list[str], zipped: bool) -> None:
    command = raw(tmp_path)[:-2]
    if zipped:
        with zipfile.ZipFile(tmp_path / "clips.zip", "w") as file:
            for path in (tmp_path / "clips").iterdir():
                file.write(path, path.name)
        command[command.index("--clips") + 1] = str(tmp_path / "clips.zip")
    assert main([*command, *given]) == 0
    check_clips(tmp_path, list(LENGTHS))


def test_endings_that_are_there_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = raw(tmp_path)[:-2]
    assert main([*command, "--suffix", "pose"]) == 1
    assert "there is no such file: the folder has .npy (3)" in capsys.readouterr().err
    (tmp_path / "clips" / "abc-1.pkl").write_bytes(b"")
    assert main(command) == 1
    assert "abc-1.npy and abc-1.pkl for 'abc-1': choose by --suffix" in capsys.readouterr().err
    assert not (tmp_path / "out" / "manifest.csv").exists()


@pytest.mark.parametrize(
    ("names", "videos"),
    [
        (["clip-0007", "clip-0008", "clip-9"], ["clip-0007", "clip-0008", "clip-9"]),
        (["a-1", "a-2", "b-1"], ["a", "a", "b"]),
        (["a-1"], ["a"]),
    ],
)
def test_clips_of_one_name_are_not_all_one_video(tmp_path: Path, names: list[str], videos: list[str]) -> None:
    assert main(raw(tmp_path, {name: 3 for name in names})) == 0
    assert [row["video_id"] for row in manifest(tmp_path)] == videos


def test_one_video_that_the_table_names_cannot_be_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = raw(tmp_path)
    table = (tmp_path / "table.csv").read_text().splitlines()
    (tmp_path / "table.csv").write_text(
        "\n".join([f"{table[0]},video_id", *(f"{line},v" for line in table[1:])]) + "\n"
    )
    assert main(command) == 0
    file = str(tmp_path / "out" / "manifest.csv")
    given = ["--fields", "id", "--near", "1", "--together", "video_id", "--output", str(tmp_path / "splits")]
    assert main(["split", file, *given]) == 1
    assert "all 3 rows have 'v' there" in capsys.readouterr().err and not (tmp_path / "splits").exists()
