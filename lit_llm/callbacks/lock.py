"""One training at a time in a run folder."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from lit_llm.errors import UserError

try:
    import fcntl
except ImportError:  # pragma: no cover
    # Windows has no such locks; there two trainings in one folder are not told apart.
    fcntl = None  # type: ignore[assignment]


class FolderLock:
    """Holds a folder for this process, and lets go of it however the process ends.

    The folder itself is locked, and nothing is written: the operating system forgets the lock with the process, so that
    one that was killed leaves none behind.
    """

    def __init__(self) -> None:
        self._handle: int | None = None
        if hasattr(os, "register_at_fork"):
            # A loader process that outlives a killed run for a moment must not hold its folder.
            os.register_at_fork(after_in_child=self.release)

    def take(self, folder: Path) -> None:
        """Take a folder that is there; does nothing where it is held already, or where its file system has no locks.

        Raises:
            UserError: if another process holds it.
        """
        if fcntl is None or self._handle is not None or not folder.is_dir():
            return
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise UserError(
                f"trainer.default_root_dir: another fit is training in {folder}: wait for its end, stop it, or name "
                "another folder with --trainer.default_root_dir"
            ) from None
        except OSError:
            os.close(handle)
            return
        self._handle = handle

    def release(self) -> None:
        """Let go of the folder."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)
            self._handle = None


def marks(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of what tells whether a folder's run has changed meanwhile."""
    names = ("last.ckpt", "best.ckpt", "config.yaml", "metrics.csv")
    found = {name: (folder / name).stat() for name in names if (folder / name).is_file()}
    return {name: (facts.st_size, facts.st_mtime_ns) for name, facts in found.items()}
