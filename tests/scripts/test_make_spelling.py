"""Words that are spelled from recorded letters: none of a test is in the training."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest

from scripts.demo_data import make_spelling


def make(monkeypatch: pytest.MonkeyPatch, *options: object) -> None:
    monkeypatch.setattr(sys, "argv", ["make_spelling.py", *map(str, options)])
    make_spelling.main()


def test_words_of_the_test_are_in_no_other_split(
    tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = ["--train", 200, "--valid", 10, "--test", 20]
    make(monkeypatch, real_data / "data/sign/sts_lexicon/ase", tmp_path / "out", *sizes)
    with (tmp_path / "out" / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    words = {split: [row["text"] for row in rows if row["split"] == split] for split in ("train", "valid", "test")}
    assert [len(found) for found in words.values()] == [200, 10, 20]
    assert len({*words["valid"], *words["test"]}) == 30
    assert not {*words["valid"], *words["test"]} & set(words["train"])
    assert {len(text.split()) for text in words["train"]} == {1, 2, 3, 4}
    assert {len(text.split()) for text in words["test"]} == {3, 4}


@pytest.mark.parametrize(("letters", "message"), [("A", "spell 2 words"), ("AD", "spell 24 words"), ("", "holds 0")])
def test_too_few_letters_are_said(
    letters: str, message: str, tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for letter in letters:
        (tmp_path / f"{letter}.pose").symlink_to(real_data / "data/sign/sts_lexicon/ase" / f"{letter}.pose")
    with pytest.raises(SystemExit, match=message):
        make(monkeypatch, tmp_path, tmp_path / "out")


def test_a_pose_that_cannot_be_used_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "A.pose").write_bytes(b"")
    with pytest.raises(SystemExit, match=r"error: .*A\.pose: cannot be read"):
        make(monkeypatch, tmp_path, tmp_path / "out")
