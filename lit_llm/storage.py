"""Writing files so that a crash at any moment leaves either the old content or the new."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content in one step, after the bytes have reached the disk."""
    new = path.with_name(f".{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
    # The rename itself is lost in a crash until the folder is on the disk too.
    sync_folder(path.parent)


def swap_into_place(new: Path, final: Path) -> None:
    """Put a file or folder where another may be; ``recover`` mends a crash between the two renames of folders."""
    as_created(new)
    sync_tree(new)
    if final.is_dir() or new.is_dir():
        # A folder cannot be renamed onto one that is not empty, so the old one steps aside first.
        old = _retired(final)
        _remove(old)
        if final.exists():
            os.replace(final, old)
        os.replace(new, final)
        _remove(old)
    else:
        os.replace(new, final)
    sync_folder(final.parent)


def present(final: Path) -> Path | None:
    """Return where ``final`` lies, which a crash amid ``swap_into_place`` may have moved; None if nowhere."""
    return next((path for path in (final, _retired(final)) if path.exists()), None)


def as_created(path: Path) -> None:
    """Give a file, or every file of a folder, the mode that ``open`` would: 0666 less the process's umask.

    safetensors and temporary files that are renamed come with 0600, which no group and no web server can read.
    """
    # The umask can only be read by setting it; the strictest is set meanwhile.
    umask = os.umask(0o077)
    os.umask(umask)
    for file in [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]:
        file.chmod(0o666 & ~umask)


def recover(final: Path) -> None:
    """Bring back what was at ``final`` if ``swap_into_place`` was killed after moving it away."""
    old = _retired(final)
    if old.exists() and not final.exists():
        os.replace(old, final)
    _remove(old)


def sync_tree(path: Path) -> None:
    """Wait until a file, or every file of a folder, is on the disk."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        _sync(file)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's list of names is on the disk."""
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _retired(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
