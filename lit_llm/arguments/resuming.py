"""Which settings a resumed run takes from its run file, and which it has to share with the run so far."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lit_llm.errors import ConfigError
from lit_llm.models.base import ADAMW, adamw

Change = tuple[str, Any, Any]

# Whatever these name may change: it neither says what the weights mean nor which batches come next.
TAKEN_OVER = (
    r"trainer\.(?!default_root_dir)",
    r"model\.init_args\.(optimizer\.init_args|schedule|generator|also|metrics)\b",
    r"model\.init_args\.(gradient_checkpointing|compile|label_smoothing|merge|generate_every|rolled)$",
    # The checkpoint holds what was started from.
    r"model\.init_args\.(adaptor_learning_rate|adaptor_from|start_from)$",
    r"model\.init_args\.loading\b",
    r"model\.init_args\.(adapter|compressor|reasoner)\.init_args\.dropout$",
)
# What these name is compared by content as data and weights are opened: a file or folder may have moved.
COMPARED = (
    r"model\.init_args\.(backbone|encoder)$",
    r"data\.(.*\.)?init_args\.(train|valid|predict|test)\b",
    r"data\.(.*\.)?init_args\.(features|folder|root)$",
    # An epoch that is over may be followed by one of other batches.
    r"data\.(.*\.)?init_args\.(batch_size|max_batch_tokens|pad_to_multiple_of|eval_batch_size|num_workers)$",
    # The rows of a batch are the same.
    r"data\.(.*\.)?init_args\.(packing|cache)$",
    # How a file is read changes its rows, if anything.
    r"data\.(.*\.)?init_args\.(delimiter|encoding|quoting|header|id_field|keep|bad_rows)\b",
)
IGNORED = (r"(ckpt_path|overwrite|predictions|flat|excel|weights_only|config)$", r"trainer\.default_root_dir$")


def changes(folder: Path, config: dict[str, Any]) -> list[Change]:
    """Return the settings of a resumed run that are other than those of the run so far.

    Args:
        folder: the run folder; nothing is compared if it has no ``config.yaml``.
        config: the whole configuration of the run that goes on.

    Returns:
        Key, old value and new value of each.

    Raises:
        ConfigError: that names all settings which cannot change, with both values.
    """
    path = folder / "config.yaml"
    if not path.exists():
        return []
    try:
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0]
        raise ConfigError(f"{path}: is not YAML ({said}): restore it to go on with its run") from None
    before, config = _spelled_out(before), _spelled_out(config)
    found = [change for change in _differing(before, config, "") if not _matches(change[0], IGNORED)]
    refused = [change for change in found if not _matches(change[0], TAKEN_OVER + COMPARED)]
    if refused:
        listed = "; ".join(f"{key}: the run has {_said(old)}, this command {_said(new)}" for key, old, new in refused)
        raise ConfigError(
            f"{listed}: a run goes on with the settings that it was begun with: use --config {path}, or start a new "
            "run in another --trainer.default_root_dir. Learning rate, schedule, trainer and generator may change"
        )
    return found


def _spelled_out(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration whose default optimizer is named by class and arguments, as another may be."""
    model = config.get("model") or {}
    made = model.get("init_args") or {}
    if made.get("optimizer") != f"{adamw.__module__}.{adamw.__name__}":
        return config
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": dict(ADAMW)}
    return config | {"model": model | {"init_args": made | {"optimizer": optimizer}}}


def _differing(old: Any, new: Any, key: str) -> Iterator[Change]:
    """Yield what two configurations say otherwise; of another class, the class alone."""
    if isinstance(old, dict) and isinstance(new, dict):
        if old.get("class_path") != new.get("class_path"):
            yield f"{key}.class_path".lstrip("."), old.get("class_path"), new.get("class_path")
            return
        # A setting that one of the two does not have is of another version, and has no old or new value.
        for name in [name for name in old if name in new]:
            yield from _differing(old[name], new[name], f"{key}.{name}".lstrip("."))
        if not re.search(r"init_args$|^$|^(trainer|model|data)$", key) and set(old) != set(new):
            for name in sorted(set(old) ^ set(new)):
                yield f"{key}.{name}".lstrip("."), old.get(name), new.get(name)
    elif isinstance(old, list) and isinstance(new, list) and _told_apart(old) and _told_apart(new):
        mine = dict(zip(_classes(old), old, strict=True))
        for number, theirs in enumerate(new):
            if (name := theirs["class_path"]) in mine:
                yield from _differing(mine[name], theirs, f"{key}.{number}")
        if _classes(old) != _classes(new):
            yield key, old, new
    elif _plain(old) != _plain(new):
        yield key, old, new


def _told_apart(entries: list[Any]) -> bool:
    """Return whether a list holds classes, and none of them twice."""
    return len(set(_classes(entries))) == len(entries) > 0


def _classes(entries: list[Any]) -> list[str]:
    return [entry["class_path"] for entry in entries if isinstance(entry, dict) and "class_path" in entry]


def _plain(value: Any) -> Any:
    """Return a value as YAML would give it back: tuples as lists, paths as text."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _matches(key: str, patterns: tuple[str, ...]) -> bool:
    return any(re.match(pattern, key) for pattern in patterns)


def _said(value: Any) -> str:
    if isinstance(value, dict) and "class_path" in value:
        return str(value["class_path"])
    text = "null" if value is None else str(value)
    return text if len(text) <= 60 else text[:59] + "…"
