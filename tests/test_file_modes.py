"""Files that are handed on have the mode that the umask asks for, whichever library wrote them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lit_llm.__main__ import main
from tests import short_runs


@pytest.fixture(params=[0o022, 0o027, 0o002])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("umask", [0o027], indirect=True)
def test_every_verb_writes_files_that_the_group_can_read(umask: int, tmp_path: Path, root: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"text": "quiero {k} panes", "json": {{"n": {k}}}}}\n' for k in range(8)))
    data = {"train": str(rows), "test": {"one": str(rows)}, "batch_size": 4}
    base = str(root / "checkpoints/qwen3-tiny")
    for name, settings in {"thin": {}, "whole": {"adapter": {"class_path": "lit_llm.adapters.Full"}}}.items():
        run = short_runs.fit(tmp_path / name, data, backbone=base, **settings)
        assert main(["export", "--run", str(run), "--merged", str(tmp_path / f"{name}-merged")]) == 0
    run = tmp_path / "thin"
    config = ["--config", str(run.with_suffix(".yaml"))]
    for options in (
        ["export", "--run", str(run), "--gguf", str(tmp_path / "thin.gguf")],
        ["quantize", "--run", str(run), "--output", str(tmp_path / "int4")],
        ["quantize", "--run", str(run), "--output", str(tmp_path / "nf4"), "--method", "nf4"],
        ["test", *config],
        ["predict", *config],
    ):
        assert main(options) == 0
    found = modes(tmp_path)
    for name in ("thin/best.ckpt", "thin/adapter/adapter_model.safetensors", "whole/model/model.safetensors"):
        assert name in found
    assert {name: oct(mode) for name, mode in found.items() if mode != 0o666 & ~umask} == {}


def test_a_tree_gets_the_mode_of_new_files(umask: int, tmp_path: Path) -> None:
    from lit_llm.storage import as_created

    (tmp_path / "in").mkdir()
    for name in ("a", "in/b"):
        (tmp_path / name).touch(0o600)
    as_created(tmp_path / "a")
    assert modes(tmp_path) == {"a": 0o666 & ~umask, "in/b": 0o600}
    as_created(tmp_path)
    assert set(modes(tmp_path).values()) == {0o666 & ~umask}
    assert os.umask(umask) == umask
