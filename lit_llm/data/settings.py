"""Small helpers for the settings of data modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lit_llm.errors import ConfigError


def stage_name(stage: str) -> str:
    """Return what the command line calls a stage; Lightning hands an enumeration."""
    return str(getattr(stage, "value", stage))


def positive(name: str, value: int) -> int:
    """Return a setting that is 1 or more; a smaller one is a ConfigError."""
    return at_least(name, value, 1)


def at_least(name: str, value: int, least: int) -> int:
    """Return a setting that is ``least`` or more; a smaller one is a ConfigError."""
    if value < least:
        raise ConfigError(f"data.init_args.{name} is {value}: use {least} or more")
    return value


def refuse_unknown(task: str, facts: Mapping[str, Any], known: tuple[str, ...] = ()) -> None:
    """Refuse facts beside a question that its task has no use for.

    Raises:
        ConfigError: if there is one.
    """
    if unknown := [name for name, value in facts.items() if value is not None and name not in known]:
        listed = f"there {'is' if len(known) == 1 else 'are'} {', '.join(known)}" if known else "leave it out"
        raise ConfigError(f"{unknown[0]}: {facts[unknown[0]]!r}: the task {task} has no such option; {listed}")
