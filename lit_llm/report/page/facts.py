"""What a run is: its settings in words, and the command that makes it again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from lit_llm.errors import ConfigError

Settings = list[tuple[str, str]]


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        ConfigError: if the folder holds no run.
    """
    path = folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"report: there is no {path}: name the folder of a run, such as checkpoints/extraction_tiny")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"report: {path} cannot be read ({str(error).splitlines()[0]}): it was changed") from error
    if not isinstance(config, dict) or not {"model", "data"} <= set(config):
        raise ConfigError(f"report: {path} is no configuration of a run: it lacks model or data")
    return config


def settings(config: dict[str, Any]) -> Settings:
    """Return what decided the run, as names and values for people."""
    model, data = _arguments(config["model"]), _arguments(config["data"])
    trainer = config.get("trainer") or {}
    batch, accumulated = data.get("batch_size"), trainer.get("accumulate_grad_batches") or 1
    found = [
        ("base", model.get("backbone")),
        ("adapter", part(model.get("adapter")) or "LoRA, as it is by default"),
        ("quantizer", part(model.get("quantizer"))),
        ("rounding in training", part(model.get("qat"))),
        ("optimizer", part(model.get("optimizer"))),
        ("schedule", part({"class_path": "", "init_args": model.get("schedule")}).strip(" ·")),
        ("batch", f"{batch} rows × {accumulated} accumulated" if batch else None),
        ("length", f"{data['max_length']} tokens at most" if data.get("max_length") else None),
        ("epochs", trainer.get("max_epochs")),
        ("steps at most", None if trainer.get("max_steps") in (None, -1) else trainer["max_steps"]),
        ("precision", trainer.get("precision") or "32-true"),
        ("augmentation", _augmentation(data)),
        ("decoding", _decoding(model.get("generator"))),
        ("seed", config.get("seed_everything")),
        ("task", short_class(config["data"])),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "", False)]


def summary(config: dict[str, Any]) -> str:
    """Return base, adapter, rounding and task on one line."""
    model = _arguments(config["model"])
    classes = [short_class(model.get(name)) for name in ("adapter", "quantizer", "qat")]
    return " · ".join(filter(None, [str(model.get("backbone") or ""), *classes, short_class(config["data"])]))


def part(given: Any) -> str:
    """Return a class of a run file and those of its arguments that hold something, on one line."""
    if not isinstance(given, dict):
        return "" if given is None else str(given)
    told = {k: v for k, v in (given.get("init_args") or {}).items() if v not in (None, False, [], {})}
    values = ", ".join(f"{key} {_plain(value)}" for key, value in told.items())
    return " · ".join(filter(None, [short_class(given), values]))


def short_class(given: Any) -> str:
    """Return the name of a class without its modules."""
    path = given.get("class_path", "") if isinstance(given, dict) else ""
    return str(path).rpartition(".")[2]


def command(folder: Path) -> str:
    """Return the command that makes a run again, beside the one that is there."""
    config, again = folder / "config.yaml", folder.with_name(f"{folder.name}_again")
    options = ["--config", str(config), "--trainer.default_root_dir", str(again)]
    return shlex.join(["python", "-m", "lit_llm", "fit", *options])


def _arguments(given: Any) -> dict[str, Any]:
    return dict((given.get("init_args") if isinstance(given, dict) else None) or {})


def _augmentation(data: dict[str, Any]) -> str:
    factor = data.get("augmentation_factor") or 1
    return f"{factor} rows for each row · {part(data.get('augmenter'))}" if factor > 1 else ""


def _decoding(generator: Any) -> str:
    arguments = _arguments(generator)
    if not arguments:
        return ""
    how = "sampled" if arguments.get("do_sample") else "greedy"
    beams = arguments.get("num_beams") or 1
    constraint = short_class(arguments.get("constraint"))
    parts = [f"{beams} beams" if beams > 1 else how, f"{arguments.get('max_new_tokens')} new tokens at most"]
    return ", ".join([*parts, *([f"constrained by {constraint}"] if constraint else [])])


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_plain(item) for item in value)
    return part(value) if isinstance(value, dict) and "class_path" in value else str(value)
