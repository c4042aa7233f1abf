"""Which base fits this machine, and what it is good for."""

from __future__ import annotations

import os
import re
import threading
import urllib.request
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from urllib.error import HTTPError

from lit_llm.errors import ConfigError
from lit_llm.models.backbone import EMBEDDED

GIB = 1 << 30
QUICK = 2.0
"""Seconds that the hub has to answer."""

SIZES = ((40, "Qwen/Qwen3-8B"), (20, "Qwen/Qwen3-4B"), (11, "Qwen/Qwen3-1.7B"), (5, "Qwen/Qwen3-0.6B"))
"""GiB of GPU memory from which LoRA on a base in bfloat16 fits with room for activations."""

SMALL = 50e6
"""Parameters up to which a base is treated as tiny."""

TINY_LIMITS = {
    "extraction": "copies names, numbers and dates that stand in the text into JSON. It knows no language: it is not "
    "good for values that must be inferred, classified or reworded, nor for wordings unlike those it was trained on",
    "translation": "knows no language: its translations show that a run works from end to end, and are of no other use",
    "sign": "knows no language: its sentences show that a run works from end to end, and are of no other use",
}
"""What the embedded base is good for and not, by task."""


@dataclass(frozen=True)
class Base:
    """A base and where it runs.

    Attributes:
        backbone: hub id or absolute folder.
        tiny: whether it has so few parameters that it learns with a high rate.
        gpu: whether there is a GPU.
        reason: why it was chosen, in words.
        embedded: whether it is the one that comes with the project.
    """

    backbone: str
    tiny: bool
    gpu: bool
    reason: str
    embedded: bool = False


def embedded() -> Path:
    """Return the folder of the base that comes with the project, wherever the command runs."""
    return Path(__file__).resolve().parents[2] / EMBEDDED


def choose(backbone: str | None = None) -> Base:
    """Return the base that a user names, or else the largest that fits and can be had within two seconds.

    Raises:
        ConfigError: if a base that is named cannot be had, or there is none at all.
    """
    memory = gpu_memory()
    if backbone:
        return _named(backbone, memory is not None)
    if memory is None:
        return _embedded("there is no GPU here")
    wanted = next((name for least, name in SIZES if memory >= least), None)
    if wanted is None:
        return _embedded(f"the GPU has {memory:.0f} GiB, too few for a larger one")
    if not (cached(wanted) or reachable(wanted)):
        return _embedded(
            f"the GPU has {memory:.0f} GiB, but {wanted} is not on this machine and its hub does not answer"
        )
    return Base(wanted, tiny=False, gpu=True, reason=f"the GPU has {memory:.0f} GiB")


def gpu_memory() -> float | None:
    """Return the GiB of the first GPU; None without one."""
    import torch

    return torch.cuda.get_device_properties(0).total_memory / GIB if torch.cuda.is_available() else None


def cached(backbone: str) -> bool:
    """Return whether the weights of a hub model are on this machine."""
    from huggingface_hub import try_to_load_from_cache

    names = ("model.safetensors", "model.safetensors.index.json")
    return any(isinstance(try_to_load_from_cache(backbone, name), str) for name in names)


def reachable(backbone: str) -> bool:
    """Return whether the hub answers for a model within ``QUICK`` seconds; asked once."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return False
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    answers: list[bool] = []

    def ask() -> None:
        """Note that the hub knows the model."""
        request = urllib.request.Request(f"{endpoint}/{backbone}/resolve/main/config.json", method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=QUICK) as response:
                answers.append(response.status < 400)
        except HTTPError as error:
            # What is handed out on request only is there.
            answers.append(error.code in (401, 403))
        except (OSError, ValueError):
            answers.append(False)

    # Looking up a name knows no time limit, so it is waited for from outside.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(QUICK)
    return bool(answers and answers[0])


def parameters(backbone: str) -> float:
    """Return about how many parameters a base has, from its name or the size of its files; 0 where neither tells."""
    folder = Path(backbone)
    if folder.is_dir():
        return sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 4
    sizes = re.findall(r"(\d+(?:\.\d+)?)([BM])\b", backbone, re.IGNORECASE)
    return float(sizes[-1][0]) * (1e9 if sizes[-1][1].upper() == "B" else 1e6) if sizes else 0.0


def _named(backbone: str, gpu: bool) -> Base:
    folder = Path(backbone).expanduser()
    if backbone == EMBEDDED and not folder.is_dir():
        folder = embedded()
    if folder.is_dir():
        size = parameters(str(folder))
        home = folder.resolve() == embedded()
        return Base(str(folder.resolve()), tiny=0 < size < SMALL, gpu=gpu, reason="--backbone names it", embedded=home)
    if backbone.startswith((".", "/", "~", "checkpoints/")) or not re.fullmatch(r"[\w.-]+/[\w.-]+", backbone):
        raise ConfigError(
            f"--backbone: there is no folder {backbone}{_near(folder)}; a hub id looks like Qwen/Qwen3-0.6B"
        )
    if not (cached(backbone) or reachable(backbone)):
        raise ConfigError(
            f"--backbone: {backbone} is not on this machine, and the hub has no such model or does not answer: "
            f"download it where there is a network (`hf download {backbone}`), copy the folder here and name it"
        )
    return Base(backbone, tiny=False, gpu=gpu, reason="--backbone names it")


def _embedded(reason: str) -> Base:
    folder = embedded()
    if not folder.is_dir():
        raise ConfigError(f"--backbone: {reason}, and the embedded base is not at {folder}: name a base")
    return Base(str(folder), tiny=True, gpu=gpu_memory() is not None, reason=reason, embedded=True)


def _near(folder: Path) -> str:
    if not folder.parent.is_dir():
        return ""
    near = get_close_matches(folder.name, [path.name for path in folder.parent.iterdir() if path.is_dir()], n=1)
    return f"; did you mean {folder.parent / near[0]}?" if near else ""
