"""Names of numbers that callbacks and schedulers wait for, against those that will be logged."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, Any

from lit_llm.batch import as_text
from lit_llm.callbacks.checkpoint import RunCheckpoint
from lit_llm.callbacks.throughput import Throughput
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM, SignAligner
from lit_llm.results import place

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

ALWAYS = {"train/loss", "train/grad_norm", "train/lr", "epoch", "step"}
SPEED = {"speed/tokens_per_second", "speed/supervised_tokens_per_second", "speed/padding", "memory/peak_gib"}
FIRST_ROWS = 32
"""Rows that metrics are tried on; all of them only where a name is not among what these give."""


def check_monitors(trainer: Trainer, module: LightningModule) -> None:
    """Refuse a ``monitor`` that will never be logged.

    Nothing is said where that cannot be known: of a model, a metric or a callback that is not of lit_llm.

    Raises:
        ConfigError: that names the monitor, who waits for it, the nearest name and all others.
    """
    wanted = list(_monitors(trainer))
    known = _names(trainer, module, FIRST_ROWS) if wanted else None
    if known is None or all(name in known for _, name in wanted):
        return
    known = _names(trainer, module, None) or set()
    for owner, name in wanted:
        if name not in known:
            raise ConfigError(f"{owner}.monitor is {name!r}, which this run will never log{_remedy(name, known)}")


def _monitors(trainer: Trainer) -> Iterator[tuple[str, str]]:
    """Yield who waits for which number."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        name = callback._asked[0] if isinstance(callback, RunCheckpoint) else getattr(callback, "monitor", None)
        if isinstance(name, str) and getattr(callback, "strict", True):
            yield f"trainer.callbacks: {type(callback).__name__}", name
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau and config.monitor and config.strict:
            yield type(config.scheduler).__name__, config.monitor


def _names(trainer: Trainer, module: Any, rows: int | None) -> set[str] | None:
    """Return all names that will be logged; None where they cannot be told."""
    mine = [*trainer.callbacks, module]  # type: ignore[attr-defined]
    if not all(type(x).__module__.startswith(("lit_llm.", "lightning.")) for x in mine):
        return None
    found = set(ALWAYS)
    if module.qat:
        found.add("train/weight_bits")
    if any(isinstance(callback, Throughput) for callback in mine):
        found |= SPEED
    datamodule: Any = getattr(trainer, "datamodule", None)
    if trainer.limit_val_batches == 0 or datamodule is None:
        return found
    if isinstance(module, SignAligner):
        return found | {f"val/{name}" for _ in _validation(datamodule) for name in ("loss", "retrieval")}
    if not isinstance(module, CausalLM):
        return None
    for task, label, split in _validation(datamodule):
        where = place("val", label)
        found |= {"val/loss", *("/".join([*where, name]) for name in ("loss", "perplexity"))}
        for metric in module.metrics:
            values = _values(metric, split.examples[:rows]) if metric.task == task else set()
            if values is None:
                return None
            found |= {"/".join([*where, *way, value]) for value in values for way in _ways(module)}
    return found


def _ways(module: Any) -> list[list[str]]:
    rolled = [["rolled"]] if getattr(module, "rolled", False) else []
    return [[], *rolled, *([name] for name in module.also)]


def _validation(datamodule: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield task, label and rows of every validation split."""
    for part in (getattr(datamodule, "parts", None) or {"": datamodule}).values():
        if "valid" in getattr(part, "splits", {}):
            yield part.task, part.label("valid"), part.splits["valid"]


def _values(metric: Any, examples: list[Any]) -> set[str] | None:
    """Return the names of a metric's values, from answers that are all right; None if it cannot be asked."""
    trial = metric.clone()
    try:
        meta = [example.meta | {"id": example.id, "source": example.text, "finished": True} for example in examples]
        trial.update([as_text(example.answer) for example in examples], [e.reference for e in examples], meta)
        return set(trial.compute())
    except Exception:
        # A metric of others may need what only a model's answer has; then it says itself what is wrong.
        return None


def _remedy(name: str, known: set[str]) -> str:
    if name.startswith("val/") and not any(other.startswith("val/") for other in known):
        return ": there is no validation; name a file in data.init_args.valid, or leave the monitor out"
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(islice(sorted(known, key=lambda other: (not other.startswith("val"), other)), 30))
    return f"{meant} It logs: {listed}"
