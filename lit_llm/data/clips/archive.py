"""Clips inside a zip file, also one that was cut into parts, read in place."""

from __future__ import annotations

import bisect
import io
import zipfile
from itertools import accumulate
from pathlib import Path


class Parts(io.RawIOBase):
    """Several files read as if they were one.

    Args:
        paths: the files, in order.
    """

    def __init__(self, paths: list[Path]) -> None:
        super().__init__()
        self._files = [path.open("rb") for path in paths]
        self._starts = [0, *accumulate(path.stat().st_size for path in paths)]
        self._place = 0

    def seekable(self) -> bool:
        """Whether any place can be read: always."""
        return True

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte and return its place."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._starts[-1]}[whence]
        return self._place

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer up to the end of the part that the place lies in."""
        part = min(bisect.bisect_right(self._starts, self._place), len(self._files)) - 1
        self._files[part].seek(self._place - self._starts[part])
        content = self._files[part].read(min(len(buffer), max(0, self._starts[part + 1] - self._place)))
        buffer[: len(content)] = content
        self._place += len(content)
        return len(content)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()
        super().close()


def open_zip(path: Path) -> zipfile.ZipFile:
    """Return an opened zip file; of one in parts (``poses.zip.00``, ``poses.zip.01``, …), any part names it.

    Raises:
        FileNotFoundError: if there is none.
    """
    stem = path.with_suffix("") if path.suffix != ".zip" else path
    parts = [path] if path.suffix == ".zip" and path.exists() else sorted(path.parent.glob(f"{stem.name}.*"))
    if not parts:
        raise FileNotFoundError("there is no such file")
    return zipfile.ZipFile(io.BufferedReader(Parts(parts)) if len(parts) > 1 else parts[0])


def is_zip(path: Path) -> bool:
    """Whether a path names a zip file or a part of one."""
    return path.suffix == ".zip" or path.with_suffix("").suffix == ".zip"
