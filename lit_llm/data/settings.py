"""Small helpers for the settings of data modules."""

from __future__ import annotations

from lit_llm.errors import ConfigError


def stage_name(stage: str) -> str:
    """Return what the command line calls a stage; Lightning hands an enumeration."""
    return str(getattr(stage, "value", stage))


def positive(name: str, value: int) -> int:
    """Return a setting that is 1 or more; a smaller one is a ConfigError."""
    if value < 1:
        raise ConfigError(f"data.init_args.{name} is {value}: use 1 or more")
    return value
