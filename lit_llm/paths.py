"""Whether what a command line or run file names is there, found without importing anything heavy."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from difflib import get_close_matches
from pathlib import Path

from lit_llm.errors import ConfigError, DataError
from lit_llm.wording import typed

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
"""``organisation/name``, or ``name`` alone; anything else can only be a folder."""

BASES = "checkpoints"
"""Folder of the base that comes with the project, beside which runs are written."""


def similar(path: Path, folders: bool = False) -> str:
    """Say which file beside one that is not there was probably meant; of ``folders``, which folder."""
    folder = Path(os.path.normpath(path.parent))
    if not folder.is_dir():
        return f"; its folder {folder} does not exist either"
    pattern = "*" if folders else f"*{path.suffix}"
    found = [file for file in folder.glob(pattern) if not file.name.startswith(".") and (file.is_dir() or not folders)]
    names = [file.name for file in found]
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {folder / near[0]}?" if near else f"; {folder.resolve()} has {_some(names)}"


def run_folder(given: str) -> str:
    """Return the path of a run folder as it was given.

    Raises:
        ConfigError: if there is none, with the nearest.
    """
    path = Path(given)
    if path.is_file() and path.name == "config.yaml":
        raise ConfigError(f"{path} is the configuration of a run; name its folder: {path.parent}")
    if not path.is_dir():
        raise ConfigError(f"there is no run folder {path}{similar(path, folders=True)}")
    if not (path / "config.yaml").is_file():
        runs = sorted(str(file.parent) for file in path.glob("*/config.yaml"))
        hint = f"did you mean {_some(runs, ' or ')}?" if runs else "name one that fit wrote into"
        raise ConfigError(f"{path} is no run folder, there is no config.yaml in it; {hint}")
    return given


def predictions(given: str) -> str:
    """Return the path of a file of predictions, or of a run folder that holds one, as it was given.

    Raises:
        DataError: if there is none, with the nearest or the command that writes it.
    """
    path = Path(given)
    if not path.exists():
        raise DataError(f"{given}: no such file or run folder{similar(path)}")
    if path.is_dir() and not (path / "predictions.csv").exists():
        config = path / "config.yaml" if (path / "config.yaml").exists() else "…"
        raise DataError(
            f"{path / 'predictions.csv'}: no such file; write it with python -m lit_llm predict --config {config}"
        )
    return given


def existing(given: str) -> Path:
    """Return the path of a file or folder to read.

    Raises:
        ConfigError: if it is not there, with the nearest.
    """
    if not Path(given).exists():
        raise ConfigError(f"{given}: no such file{similar(Path(given))}")
    return Path(given)


def missing_base(name: str) -> str:
    """Say what is wrong with the name of a base that can only be that of a folder, and is not there.

    Args:
        name: hub id or folder.

    Returns:
        What is wrong, with the nearest; nothing for a folder that is there, or for what may be a hub id.
    """
    path = Path(at_home(name))
    if path.exists():
        return ""
    beside = Path(BASES) / name
    if beside.is_dir():
        return f"there is no folder {name} here; did you mean {beside}?"
    parent = path.parent
    begins_here = "/" in name and parent.is_dir()
    near = similar(path, folders=True) if begins_here or not HUB_ID.fullmatch(name) else ""
    if HUB_ID.fullmatch(name) and parent != Path(BASES) and "did you mean" not in near:
        return ""
    return f"there is no folder {name}{near or similar(path, folders=True)}"


def base(given: str) -> str:
    """Return the name of a base as it was given.

    Raises:
        ConfigError: if it can only be that of a folder, and is not there.
    """
    given = at_home(given)
    if wrong := missing_base(given) or no_base(given):
        raise ConfigError(wrong)
    return given


def at_home(path: str) -> str:
    """Return a path with a ``~`` at its beginning as the home folder; any other text as it is."""
    return os.path.expanduser(path) if path == "~" or path.startswith("~/") else path


def option_at_home(word: str) -> str:
    """Return a word of a command line with a ``~`` at the beginning of its value as the home folder."""
    name, equals, value = word.partition("=")
    return f"{name}={at_home(value)}" if equals and name.startswith("-") else at_home(word)


def no_base(name: str) -> str:
    """Say what a folder or file is that was named as a base and is none; nothing where it may be one."""
    path = Path(name)
    if path.is_file():
        kind = "is a file for llama.cpp: name the base that it was made from" if path.suffix == ".gguf" else ""
        return f"{name} {kind}" if kind else f"{name} is a file: name the folder of the base: {path.parent}"
    if not path.is_dir() or (path / "config.json").is_file():
        return ""
    if (path / "adapter_config.json").is_file():
        return _adapter(path)
    if (path / "config.yaml").is_file():
        return f"{name} is a run folder, and no base: {_going_on(path)}"
    inner = sorted(str(file.parent) for file in (*path.glob("*/config.json"), *path.glob("snapshots/*/config.json")))
    return f"{name} holds no config.json; did you mean {_some(inner, ' or ')}?" if inner else ""


def _adapter(path: Path) -> str:
    try:
        base = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        base = None
    named = f"of {base}, and no base: name {base}" if base else "and no base"
    run = path.resolve().parent
    if (run / "config.yaml").is_file():
        return f"{path} is an adapter {named}; {_going_on(run)}"
    merged = "peft.PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(new)"
    return f"{path} is an adapter {named}; to go on from it, merge it into its base ({merged}) and name the new folder"


def _going_on(run: Path) -> str:
    """Say how the weights of a run are trained further."""
    given, verb = typed(run), program()
    return (
        f"to train the run further, type {verb} fit --config {given}/config.yaml --ckpt_path last; to begin another "
        f"run with its weights, {verb} export --run {given} --merged FOLDER and name that folder as the base"
    )


def _some(names: list[str], joined: str = ", ") -> str:
    return joined.join(sorted(names)[:6]) + (", …" if len(names) > 6 else "") if names else "none of that kind"


def from_here(path: Path) -> str:
    """Return a path as one types it in a shell, short where it lies in the current folder."""
    absolute = Path(os.path.abspath(path))
    inside = absolute.is_relative_to(Path.cwd())
    return typed(absolute.relative_to(Path.cwd()) if inside else absolute)


def interpreter() -> str:
    """Return how Python is called, such that it can be typed again in this shell."""
    return program().removesuffix(" -m lit_llm")


def program() -> str:
    """Return how this program is called, such that it can be typed again in this shell."""
    python = shutil.which("python")
    ours = bool(python) and os.path.realpath(str(python)) == os.path.realpath(sys.executable)
    same = ours and os.path.dirname(str(python)) == os.path.dirname(sys.executable)
    return "python -m lit_llm" if same else f"{shlex.quote(sys.executable)} -m lit_llm"
