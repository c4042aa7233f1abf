"""Seeds that depend on what is drawn, not on what was drawn before."""

from __future__ import annotations

import hashlib
import os


def global_seed() -> int:
    """Return the seed of the process, set by ``seed_everything`` (0 without one)."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


def derive(*parts: object) -> int:
    """Return a 63-bit seed for a named draw, such as ``derive(seed, "dropout", epoch, batch)``."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
