"""What is done to clips: changes in training, sampling where they are too long, and spoiling to test a model."""

from __future__ import annotations

import math
import random
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lit_llm.errors import ConfigError

Corruption = Literal["none", "rolled", "zeroed", "reversed", "shuffled"]
"""How clips can be spoilt."""


class ClipChanges:
    """Changes clips in training: their speed, frames, place and size, and small errors of the tracker.

    Signs are never mirrored: the hand that signs carries meaning. What is drawn depends on seed, epoch and row alone.

    Args:
        speed: share by which a clip is made faster or slower at most.
        drop: probability of leaving out a frame.
        noise: standard deviation of noise, in shoulder widths for poses, in its own unit for other features.
        rotation: largest turn in degrees; poses only, as are the two below.
        scale: share by which a signer is made larger or smaller at most.
        shift: largest shift in shoulder widths.
        mask: largest share of frames that are blanked in one piece.

    Raises:
        ConfigError: if a value is negative, or a share is 1 or more.
    """

    def __init__(
        self,
        speed: float = 0.2,
        drop: float = 0.05,
        noise: float = 0.01,
        rotation: float = 5.0,
        scale: float = 0.1,
        shift: float = 0.05,
        mask: float = 0.0,
    ) -> None:
        shares = {"speed": speed, "drop": drop, "scale": scale, "mask": mask}
        for name, value in shares.items():
            if not 0 <= value < 1:
                raise ConfigError(f"changes.{name}: {value} must lie from 0 to below 1")
        for name, value in {"noise": noise, "rotation": rotation, "shift": shift}.items():
            if value < 0:
                raise ConfigError(f"changes.{name}: {value} must be 0 or more")
        self.speed, self.drop, self.noise, self.mask = speed, drop, noise, mask
        self.rotation, self.scale, self.shift = rotation, scale, shift

    def apply(self, values: NDArray[np.float32], rng: random.Random, *, is_pose: bool) -> NDArray[np.float32]:
        """Return a changed clip.

        Args:
            values: ``[L, D]`` features, or ``[L, P, 2]`` normalised points.
            rng: the row's own stream.
            is_pose: whether ``values`` are points.

        Returns:
            As many dimensions; at least one frame.
        """
        values = values[self._frames(len(values), rng)]
        if is_pose:
            values = self._moved(values, rng)
        noise = np.random.default_rng(rng.getrandbits(63)).normal(0, self.noise, values.shape) if self.noise else 0
        changed: NDArray[np.float32] = (values + noise).astype(np.float32)
        if self.mask:
            width = int(rng.uniform(0, self.mask) * len(values))
            start = rng.randint(0, len(values) - width)
            # A point that was not seen becomes 0 only after gaps are filled.
            changed[start : start + width] = np.nan if is_pose else 0
        return changed

    def longest(self, length: int) -> int:
        """Return the most frames that a clip of this length may have afterwards."""
        return round(length / (1 - self.speed))

    def _frames(self, length: int, rng: random.Random) -> list[int]:
        """Return which frames to keep: at another speed, and without some that are dropped."""
        faster = rng.uniform(1 - self.speed, 1 + self.speed)
        resampled = [min(length - 1, int(at * faster)) for at in range(max(1, round(length / faster)))]
        return [at for at in resampled if rng.random() >= self.drop] or resampled[:1]

    def _moved(self, points: NDArray[np.float32], rng: random.Random) -> NDArray[np.float32]:
        angle = math.radians(rng.uniform(-self.rotation, self.rotation))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        size = rng.uniform(1 - self.scale, 1 + self.scale)
        shift = np.array([rng.uniform(-self.shift, self.shift) for _ in range(2)])
        moved: NDArray[np.float32] = (points @ turn.T * size + shift).astype(np.float32)
        return moved


def sampled(length: int, most: int, rng: random.Random | None) -> list[int]:
    """Return which frames to keep: evenly spaced ones, or with a stream random ones in order."""
    if length <= most:
        return list(range(length))
    if rng is not None:
        return sorted(rng.sample(range(length), most))
    return evenly_spaced(length, most)


def evenly_spaced(length: int, count: int) -> list[int]:
    """Return the places of frames from the first to the last; of fewer frames than asked for, some twice."""
    return [round(at * (length - 1) / max(1, count - 1)) for at in range(count)]


def corrupted(frames: NDArray[np.float32], how: Corruption, rng: random.Random) -> NDArray[np.float32]:
    """Return frames ``[L, C]`` that are spoilt, to see what a score owes to them; ``rolled`` is done by rows."""
    if how == "zeroed":
        return np.zeros_like(frames)
    if how == "reversed":
        return np.ascontiguousarray(frames[::-1])
    if how == "shuffled":
        return frames[rng.sample(range(len(frames)), len(frames))]
    return frames
