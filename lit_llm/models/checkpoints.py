"""Files that are named as checkpoints: what is none is said before anything is loaded."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_llm.errors import ConfigError
from lit_llm.models.weights import POINTER

OTHER_KINDS = {
    ".safetensors": "holds weights alone",
    ".gguf": "is a model for llama.cpp",
    ".yaml": "is a run file, which --config takes",
    ".yml": "is a run file, which --config takes",
    ".json": "is no checkpoint",
    ".jsonl": "is no checkpoint",
    ".csv": "is a table",
}
"""What files of these endings are."""

NAME = "name the last.ckpt or best.ckpt of a run, or write last or best for those of trainer.default_root_dir"
TRAINING = ("optimizer_states", "lr_schedulers", "loops")
"""What a checkpoint holds for a run that goes on, besides its weights."""


def check_checkpoint(path: Path, *, resumes: bool) -> None:
    """Look at a file that is to be used as a checkpoint, without opening its weights.

    Args:
        path: file, or folder of a checkpoint that several processes have written.
        resumes: whether a run is to go on from it, which takes more than weights.

    Raises:
        ConfigError: if it is cut, damaged, of another kind or not of lit_llm; it says which, and what to name.
    """
    if path.is_dir():
        if not ((path / "meta.pt").is_file() or (path / "checkpoint").is_dir()):
            raise ConfigError(f"ckpt_path: {path} is a folder{_in_folder(path)}")
        return
    if path.suffix.lower() in OTHER_KINDS:
        raise ConfigError(f"ckpt_path: {path} {OTHER_KINDS[path.suffix.lower()]}: {NAME}")
    if fault := _fault(path):
        raise ConfigError(f"ckpt_path: {path} {fault}: {_instead(path)}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise ConfigError(f"ckpt_path: {path} holds more than numbers and text, and is not opened: {NAME}") from None
    except (RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        said = str(error).splitlines()[0][:120]
        raise ConfigError(f"ckpt_path: {path} cannot be read ({said}): {_instead(path)}") from None
    if fault := _foreign(state, resumes):
        raise ConfigError(f"ckpt_path: {path} {fault}: {NAME}")


def refuse_misfit(saved: Mapping[str, Tensor], own: Mapping[str, Tensor], adapter: str) -> None:
    """Compare the weights of a checkpoint with those that learn.

    Args:
        saved: of the checkpoint.
        own: of this configuration.
        adapter: what puts them there, for the error.

    Raises:
        ConfigError: if one of them is missing, unknown or of another shape.
    """
    missing, unknown = sorted(set(own) - set(saved)), sorted(set(saved) - set(own))
    wrong = [name for name, weight in saved.items() if name in own and weight.shape != own[name].shape]
    if missing or unknown or wrong:
        raise ConfigError(
            f"model.init_args.adapter: the checkpoint does not fit {adapter}: {len(missing)} weights are missing "
            f"{missing[:1]}, {len(unknown)} unknown {unknown[:1]}, {len(wrong)} of another shape {wrong[:1]}; use the "
            "adapter settings of the run's config.yaml"
        )


def _in_folder(folder: Path) -> str:
    own = [name for name in ("last", "best") if (folder / f"{name}.ckpt").is_file()]
    if own:
        return f", of a run: use {folder / own[0]}.ckpt, or --trainer.default_root_dir {folder} --ckpt_path {own[0]}"
    if any(folder.glob("*.safetensors")):
        return f" of weights alone, beside which its run keeps checkpoints: {NAME}"
    return f" without a checkpoint: {NAME}"


def _fault(path: Path) -> str | None:
    """Return what is wrong with a file's bytes."""
    try:
        with path.open("rb") as file:
            head = file.read(len(POINTER))
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not head:
        return "is empty"
    if head == POINTER:
        return "is a pointer of git-lfs, not the file itself (git lfs pull fetches it)"
    if not head.startswith(b"PK"):
        return "is no checkpoint: its beginning is none of torch's, or is damaged"
    if not zipfile.is_zipfile(path):
        return f"is cut off or damaged ({path.stat().st_size:,} bytes are there)"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        return f"is damaged ({error})"
    return f"is damaged: its part {damaged} does not have the sum that was noted" if damaged else None


def _instead(path: Path) -> str:
    other = path.with_name({"last.ckpt": "best.ckpt", "best.ckpt": "last.ckpt"}.get(path.name, path.name))
    if other != path and other.is_file():
        return f"use --ckpt_path {other.stem}, which lies beside it, or a copy of this one"
    return "use a copy of it, or start the run again"


def _foreign(state: Any, resumes: bool) -> str | None:
    """Return why an object is not a checkpoint of this program."""
    if not isinstance(state, dict):
        return f"holds a {type(state).__name__}, and is no checkpoint"
    if "state_dict" not in state:
        tensors = bool(state) and all(isinstance(value, torch.Tensor) for value in state.values())
        return f"holds {'weights alone' if tensors else 'no weights'}, and is no checkpoint of a run"
    if not isinstance(state.get("lit_llm"), dict):
        return "was not written by lit_llm"
    lacks = [name for name in TRAINING if name not in state]
    if resumes and lacks:
        return f"holds weights without {', '.join(lacks)}, from which no run can go on"
    return None


def of_base(saved: dict[str, Any] | None, backbone: str, base: str) -> dict[str, Any]:
    """Return what lit_llm noted in a checkpoint, which has to be of a base.

    Args:
        saved: what was noted; None in a file of another program.
        backbone: name of the base.
        base: its hash.

    Raises:
        ConfigError: if the checkpoint is of another program or another base.
    """
    if saved is None:
        raise ConfigError("ckpt_path: this file was not written by lit_llm; name the last.ckpt or best.ckpt of a run")
    if saved["base"] != base:
        raise ConfigError(
            f"model.init_args.backbone: the checkpoint was trained on {saved['backbone']!r} ({saved['base']}), but "
            f"{backbone!r} is {base}: use the base that it was trained on"
        )
    return saved
