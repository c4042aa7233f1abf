"""What one stage of training hands on to the next: adapters and memory, in the folder of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from lit_llm.adapters.base import replace_file
from lit_llm.adapters.peft_base import PeftAdapter, tuner_layers
from lit_llm.adapters.together import adapter_parameters
from lit_llm.errors import ConfigError
from lit_llm.storage import write_atomically

Stage = Literal["compress", "instruct", "end_to_end"]
"""What is trained; see ``ClaraLM``."""

MEMORY = "memory"
"""The name of the memory vectors among a model's parameters, and of the tensor in their file."""

FILE, ABOUT = "memory.safetensors", "clara.json"
"""Files of the memory vectors and of what they belong to, beside the adapters."""


def refuse_values(stage: str, rate: int, passage_tokens: int, temperature: float, gap_weight: float) -> None:
    """Refuse settings of a ``ClaraLM`` that are not possible, with a ConfigError."""
    if stage not in get_args(Stage):
        raise ConfigError(f"model.init_args.stage is {stage!r}: use {', '.join(get_args(Stage))}")
    if not 1 <= rate <= passage_tokens:
        raise ConfigError(
            f"model.init_args.rate is {rate}, and passage_tokens {passage_tokens}: a passage becomes as many "
            "vectors as one goes into the other: use a rate of 1 or more, and no more than passage_tokens"
        )
    if temperature <= 0 or gap_weight < 0:
        name, value = ("temperature", temperature) if temperature <= 0 else ("gap_weight", gap_weight)
        raise ConfigError(f"model.init_args.{name} is {value}: use more than 0" + ", or 0" * (name == "gap_weight"))


def refuse_of_one(settings: Mapping[str, Any]) -> None:
    """Refuse settings that are for a backbone with one adapter, where they are set, with a ConfigError."""
    reasons = {
        "qat": "weights are rounded with one adapter, and there are several",
        "merge": "the adapters share one backbone, so none can be merged into it",
        "compile": "layers compute under several adapters in turns",
    }
    for key, value in settings.items():
        if value:
            raise ConfigError(f"model.init_args.{key}: {reasons[key]}: leave it out")


def refuse_reads(stage: Stage, reads: int | None, *, has_start: bool) -> None:
    """Refuse to train a stage on data that says otherwise what is read, or without the stage before it.

    Args:
        stage: what is trained.
        reads: how many passages are read of those of a row; None for all.
        has_start: whether there are parts to go on from.

    Raises:
        ConfigError: with the remedy.
    """
    if stage == "end_to_end" and reads is None:
        raise ConfigError("data.init_args.reads: the stage end_to_end chooses passages: say how many are read")
    if stage != "end_to_end" and reads is not None:
        raise ConfigError(
            f"data.init_args.reads is {reads}: the stage {stage} reads all passages of a row: leave it out"
        )
    if stage == "end_to_end" and not has_start:
        raise ConfigError(
            "model.init_args.start_from: the stage end_to_end goes on from a run of compress or instruct: name it"
        )


def write_parts(
    folder: Path, network: nn.Module, adapters: Mapping[str, PeftAdapter], memory: Tensor, about: dict[str, Any]
) -> None:
    """Write adapters, each to a folder of its name, the memory, and what both belong to."""
    for name, adapter in adapters.items():
        adapter.save(network, folder / name)
    replace_file(folder / FILE, {MEMORY: memory})
    write_atomically(folder / ABOUT, (json.dumps(about, indent=2) + "\n").encode())


def take_over(
    run: Path, network: nn.Module, adapters: Mapping[str, PeftAdapter], memory: nn.Parameter, about: dict[str, Any]
) -> list[str]:
    """Load the parts that a run has written into this network.

    Args:
        run: its folder, or the folder of its adapter.
        network: with the adapters on it.
        adapters: of this run, by name.
        memory: of this run.
        about: what has to agree.

    Returns:
        What was taken over, in words.

    Raises:
        ConfigError: if a part is missing, or belongs to other vectors or another base.
    """
    from safetensors.torch import load_file

    folder = next((path for path in (run / "adapter", run) if (path / ABOUT).is_file()), None)
    key = "model.init_args.start_from"
    if folder is None:
        raise ConfigError(f"{key}: there is no {ABOUT} in {run}: name the folder of a run of ClaraLM that has ended")
    found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    for name, mine in about.items():
        if found.get(name) != mine:
            raise ConfigError(
                f"{key}: {run} was trained with {name} {found.get(name)}, and this run has {mine}: use the same"
            )
    needed = {"compressor": folder / "compressor" / "adapter_model.safetensors", "memory": folder / FILE}
    needed["generator"] = folder / "adapter_model.safetensors"
    if missing := [name for name, path in needed.items() if not path.is_file()]:
        raise ConfigError(f"{key}: {run} lacks its {missing[0]} ({needed[missing[0]]}): was it copied whole?")
    adapters["generator"].load(network, folder)
    adapters["compressor"].load(network, folder / "compressor")
    taken = ["generator", "compressor", "memory"]
    with torch.no_grad():
        memory.copy_(load_file(needed["memory"])[MEMORY])
    if "reasoner" in adapters:
        has_own = (folder / "reasoner").is_dir()
        if has_own:
            adapters["reasoner"].load(network, folder / "reasoner")
        else:
            copy_adapter(network, "compressor", "reasoner")
        taken.append("reasoner" if has_own else "reasoner (a copy of the compressor)")
    return taken


def digest(network: nn.Module, name: str, memory: Tensor) -> str:
    """Return a hash of what makes vectors: the weights of an adapter, and the memory."""
    found = hashlib.sha256()
    weights = [weight for own, weights in adapter_parameters(network) if own == name for weight in weights]
    for weight in [*weights, memory]:
        found.update(weight.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def copy_adapter(network: nn.Module, source: str, target: str) -> None:
    """Give an adapter the weights of another.

    Raises:
        ConfigError: if they are on other layers, or of another rank or scale.
    """
    with torch.no_grad():
        for _, layer in tuner_layers(network):
            given, taking = _weights(layer, source), _weights(layer, target)
            alike = layer.scaling.get(source) == layer.scaling.get(target)
            if not alike or [one.shape for one in given] != [other.shape for other in taking]:
                raise ConfigError(
                    f"model.init_args.{target}: it starts from the weights of the {source}, and has other layers, "
                    "another rank or another scale: give both the same settings"
                )
            for one, other in zip(given, taking, strict=True):
                other.copy_(one)


def _weights(layer: Any, name: str) -> list[nn.Parameter]:
    """Return the weights of one adapter on a layer; none where it is not on it."""
    return [weight for own, weights in adapter_parameters(layer) if own == name for weight in weights]
