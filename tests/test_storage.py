from __future__ import annotations

import os

import pytest

from lit_llm import storage


def fill(folder, text):
    folder.mkdir()
    (folder / "weights").write_text(text)
    return folder


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    storage.write_atomically(path, b"old")
    storage.write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_swap_of_folders_killed_at_either_rename_leaves_old_or_new(tmp_path, monkeypatch, killed_at):
    final, new = fill(tmp_path / "adapter", "old"), fill(tmp_path / ".adapter.new", "new")
    calls = 0
    real = os.replace

    def replace(*args):
        nonlocal calls
        calls += 1
        if calls == killed_at:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        storage.swap_into_place(new, final)
    monkeypatch.undo()
    storage.recover(final)
    assert (final / "weights").read_text() == "old"
    storage.swap_into_place(new, final)
    assert (final / "weights").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["adapter"]


def test_a_file_and_a_folder_take_each_others_place(tmp_path):
    final = tmp_path / "last.ckpt"
    final.write_text("file")
    storage.swap_into_place(fill(tmp_path / "new", "folder"), final)
    assert (final / "weights").read_text() == "folder"
    (tmp_path / "new").write_text("file")
    storage.swap_into_place(tmp_path / "new", final)
    assert final.read_text() == "file"
    assert [p.name for p in tmp_path.iterdir()] == ["last.ckpt"]
