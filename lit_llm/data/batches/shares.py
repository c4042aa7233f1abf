"""How much of an epoch each source of a mixture makes up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from lit_llm.errors import ConfigError


@dataclass(frozen=True)
class Share:
    """How much of an epoch one source makes up.

    Attributes:
        name: of the source.
        unique: rows that it has.
        effective: rows of it in an epoch.
    """

    name: str
    unique: int
    effective: int

    @property
    def repeats(self) -> float:
        """How often an epoch holds each of its rows, on average."""
        return self.effective / self.unique

    def draw(self, seed: int, epoch: int) -> list[int]:
        """Return the rows of an epoch: all of them as often as they fit, and others drawn without repetition."""
        whole, rest = divmod(self.effective, self.unique)
        rng = random.Random(f"{seed}/{epoch}/mix/{self.name}")
        return list(range(self.unique)) * whole + sorted(rng.sample(range(self.unique), rest))


def shares(
    sizes: Mapping[str, int],
    multipliers: Mapping[str, float] | None = None,
    weights: Mapping[str, float] | None = None,
    temperature: float = 1.0,
    caps: Mapping[str, float] | None = None,
) -> list[Share]:
    """Return how many rows of each source an epoch holds.

    Multipliers scale each source by itself. Weights, or sizes to the power of 1/temperature (Arivazhagan et al. 2019),
    divide an epoch of as many rows as there are in all. Caps are applied last.

    Args:
        sizes: rows of each source.
        multipliers: how often an epoch holds each row; 1 where it is not named.
        weights: share of the epoch, in any unit.
        temperature: 1 leaves sources in proportion to their size, more evens them out.
        caps: most of an epoch that a source may make up, between 0 and 1.

    Raises:
        ConfigError: if settings exclude each other, name no source, or are not possible.
    """
    for key, given in (("multipliers", multipliers), ("weights", weights), ("caps", caps)):
        if unknown := [name for name in given or {} if name not in sizes]:
            raise ConfigError(f"data.init_args.{key}: {unknown[0]!r} is none of the parts {', '.join(sizes)}")
        if wrong := {name: value for name, value in (given or {}).items() if value <= 0}:
            raise ConfigError(f"data.init_args.{key}: {wrong} must be greater than 0; leave a part out instead")
    if sum([bool(multipliers), bool(weights), temperature != 1]) > 1:
        raise ConfigError("data.init_args: multipliers, weights and temperature exclude each other; use one of them")
    if temperature < 1:
        raise ConfigError(f"data.init_args.temperature: {temperature} must be at least 1")
    total = sum(sizes.values())
    if weights:
        if missing := [name for name in sizes if name not in weights]:
            raise ConfigError(f"data.init_args.weights: the part {missing[0]!r} has none; give every part one")
        parts = {name: float(weights[name]) for name in sizes}
    else:
        parts = {name: size ** (1 / temperature) for name, size in sizes.items()}
    scale = total / sum(parts.values())
    effective = {name: part * scale * (multipliers or {}).get(name, 1) for name, part in parts.items()}
    effective = _capped(effective, caps or {})
    return [Share(name, size, max(1, round(effective[name]))) for name, size in sizes.items()]


def _capped(effective: dict[str, float], caps: Mapping[str, float]) -> dict[str, float]:
    """Shrink what is over its cap; the other sources keep their rows."""
    if not caps:
        return effective
    if max(caps.values()) >= 1 or set(caps) == set(effective):
        raise ConfigError(f"data.init_args.caps: {dict(caps)}: a cap is below 1, and one part has to be without")
    over: set[str] = set()
    total = sum(effective.values())
    # What one cap takes away may put another source over its own.
    while more := {name for name, cap in caps.items() if name not in over and effective[name] > cap * total}:
        over |= more
        room = 1 - sum(caps[name] for name in over)
        if room <= 0:
            raise ConfigError(f"data.init_args.caps: {dict(caps)} leave nothing to the other parts")
        total = sum(rows for name, rows in effective.items() if name not in over) / room
    return {name: caps[name] * total if name in over else rows for name, rows in effective.items()}
