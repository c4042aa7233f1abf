"""Seeds that depend on what is drawn, not on what was drawn before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

NAME = "PL_GLOBAL_SEED"
"""The variable in which Lightning keeps the seed of a process."""


def global_seed() -> int:
    """Return the seed of the process, set by ``seed_everything`` (0 without one)."""
    return int(os.environ.get(NAME, "0"))


def derive(*parts: object) -> int:
    """Return a 63-bit seed for a named draw, such as ``derive(seed, "dropout", epoch, batch)``."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let ``global_seed`` return a seed meanwhile; no random state is touched."""
    before = os.environ.get(NAME)
    os.environ[NAME] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ[NAME]
        else:
            os.environ[NAME] = before
