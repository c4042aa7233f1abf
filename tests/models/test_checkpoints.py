"""What is named as a checkpoint and is none is one clear error, before anything is loaded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lit_llm.errors import ConfigError
from lit_llm.models.checkpoints import check_checkpoint

WEIGHTS = {"network.w": torch.arange(4000.0)}
WHOLE: dict[str, Any] = {
    "state_dict": WEIGHTS,
    "lit_llm": {"base": "0"},
    "optimizer_states": [],
    "lr_schedulers": [],
    "loops": {},
}


def good(path: Path) -> bytes:
    torch.save(WHOLE, path)
    return path.read_bytes()


def without(*names: str) -> Callable[[Path], None]:
    return lambda path: torch.save({key: value for key, value in WHOLE.items() if key not in names}, path)


def written(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def cut(path: Path) -> None:
    path.write_bytes(good(path)[:-3000])


def flipped(path: Path) -> None:
    """Change one bit in the numbers, which torch would load without a word."""
    content = bytearray(good(path))
    content[content.index(WEIGHTS["network.w"].numpy().tobytes()) + 5000] ^= 4
    path.write_bytes(content)


def directory_flipped(path: Path) -> None:
    content = bytearray(good(path))
    content[content.rindex(b"PK\x01\x02") + 2] ^= 255
    path.write_bytes(content)


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("letter.txt", "hola")


def folder_of_run(path: Path) -> None:
    path.mkdir()
    good(path / "last.ckpt")


def folder_of_weights(path: Path) -> None:
    path.mkdir()
    save_file(WEIGHTS, path / "adapter_model.safetensors")


class Custom:
    """Anything that is not a number or a text."""


KINDS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "empty": ("last.ckpt", written(b""), "is empty"),
    "cut": ("last.ckpt", cut, r"cut off or damaged \([\d,]+ bytes"),
    "cut to its head": ("last.ckpt", written(b"PK\x03\x04abc"), "cut off or damaged"),
    "one bit of a weight": ("best.ckpt", flipped, "is damaged"),
    "its directory": ("best.ckpt", directory_flipped, "damaged"),
    "its beginning": ("a.ckpt", lambda path: path.write_bytes(b"\0\0" + good(path)[2:]), "damaged"),
    "text": ("notes.ckpt", written(b"learning rate 3e-4\n"), "none of torch's"),
    "git-lfs": ("last.ckpt", written(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"), "git lfs pull"),
    "another archive": ("letters.ckpt", archive, "cannot be read"),
    "objects": ("odd.ckpt", lambda path: torch.save({"state_dict": Custom()}, path), "more than numbers"),
    "a list": ("list.ckpt", lambda path: torch.save([1, 2], path), "holds a list"),
    "weights of another library": ("pytorch_model.bin", lambda path: torch.save(WEIGHTS, path), "weights alone"),
    "of another program": ("theirs.ckpt", without("lit_llm"), "not written by lit_llm"),
    "weights without an optimizer": (
        "small.ckpt",
        without("optimizer_states", "loops"),
        "without optimizer_states, loops",
    ),
    "safetensors": ("adapter_model.safetensors", lambda path: save_file(WEIGHTS, path), "holds weights alone"),
    "a run file": ("config.yaml", written(b"model: {}\n"), "--config takes"),
    "a record": ("lit_llm.json", lambda path: path.write_text(json.dumps({})), "is no checkpoint"),
    "a run folder": ("run", folder_of_run, r"of a run: use .*run/last\.ckpt"),
    "an adapter's folder": ("adapter", folder_of_weights, "weights alone"),
    "an empty folder": ("new", Path.mkdir, "without a checkpoint"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_checkpoint_is_said(kind: str, tmp_path: Path) -> None:
    name, make, message = KINDS[kind]
    make(tmp_path / name)
    with pytest.raises(ConfigError, match=message) as caught:
        check_checkpoint(tmp_path / name, resumes=True)
    assert str(caught.value).startswith(f"ckpt_path: {tmp_path / name} ")


def test_the_other_checkpoint_of_a_damaged_one_is_named(tmp_path: Path) -> None:
    good(tmp_path / "best.ckpt")
    flipped(tmp_path / "last.ckpt")
    with pytest.raises(ConfigError, match="use --ckpt_path best, which lies beside it"):
        check_checkpoint(tmp_path / "last.ckpt", resumes=True)


def test_a_good_one_passes_and_weights_are_enough_to_measure(tmp_path: Path) -> None:
    good(tmp_path / "last.ckpt")
    check_checkpoint(tmp_path / "last.ckpt", resumes=True)
    without("optimizer_states", "lr_schedulers", "loops")(tmp_path / "small.ckpt")
    check_checkpoint(tmp_path / "small.ckpt", resumes=False)
