"""Many clips become one array that is mapped into memory, with a manifest and a report of what was found."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from lit_llm.data.clips.reading import Clip, ClipError
from lit_llm.data.clips.skeleton import POINTS
from lit_llm.errors import DataError

COLUMNS = ("id", "path", "text", "lang", "split", "video_id", "length", "key")
ARRAY = "features.npy"
KEPT = 20
"""Faulty clips that a report names."""


@dataclass(frozen=True)
class Source:
    """A clip to cache.

    Attributes:
        where: names its file in errors.
        facts: its ``id``, ``text``, ``lang``, ``split`` and ``video_id``.
        read: returns it, or raises a DataError that says what is wrong.
    """

    where: str
    facts: dict[str, str]
    read: Callable[[], Clip]


@dataclass
class Report:
    """What was found.

    Attributes:
        rows: clips that were asked for.
        kept: clips in the array.
        frames: of all of them.
        shortest: frames of the shortest.
        longest: frames of the longest.
        missing_points: share of the points of poses that were not seen.
        faults: why clips were left out, and how many for each reason.
        examples: a few of them, each with its file and fault.
    """

    rows: int = 0
    kept: int = 0
    frames: int = 0
    shortest: int = 0
    longest: int = 0
    missing_points: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)

    @property
    def match(self) -> float:
        """The share of clips that were kept."""
        return self.kept / self.rows if self.rows else 0.0


def cache_clips(sources: Iterable[Source], folder: Path, *, dtype: str = "float16", least_match: float = 0.0) -> Report:
    """Write ``features.npy``, ``features.json``, ``manifest.csv`` and ``report.json``.

    The array grows clip by clip, so that a corpus larger than the memory is no trouble. Files take their places only
    when all are whole and enough clips were kept; the report alone is written in any case.

    Args:
        sources: clips; one that cannot be used is counted and left out.
        folder: is made.
        dtype: of the array; half precision keeps a pose to a thousandth of a shoulder width.
        least_match: least share of the clips that must be kept for the array to be written.

    Raises:
        DataError: if no clip can be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report, reasons, unseen = Report(), Counter[str](), 0
    writer: _Array | None = None
    part = folder / f"{ARRAY}.part"
    with part.open("wb") as file, (folder / "manifest.csv.part").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(COLUMNS)
        for source, clip in _readable(sources, float(np.finfo(dtype).max), report, reasons):
            flat = clip.values.reshape(len(clip.values), -1)
            writer = writer or _Array(file, flat.shape[1], dtype, is_pose=clip.is_pose)
            start = writer.add(flat)
            facts = {"path": ARRAY, "length": str(len(flat)), "key": str(start)}
            rows.writerow([(source.facts | facts).get(name, "") for name in COLUMNS])
            report.shortest = min(report.shortest or len(flat), len(flat))
            report.longest = max(report.longest, len(flat))
            unseen += int(np.isnan(flat).sum())
        if writer is None:
            raise DataError(f"{folder}: none of {report.rows} clips can be used; the first: {report.examples[:1]}")
        writer.finish()
    report.frames, report.faults = writer.frames, dict(reasons)
    report.missing_points = unseen / (writer.frames * writer.size) if writer.is_pose else 0.0
    shown = asdict(report) | {"match": report.match}
    (folder / "report.json").write_text(json.dumps(shown, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    parts = [folder / f"{name}.part" for name in (ARRAY, "features.json", "manifest.csv")]
    kind = {"kind": "pose", "points": POINTS} if writer.is_pose else {"kind": "features"}
    parts[1].write_text(json.dumps(kind) + "\n", encoding="utf-8")
    for path in parts:
        if report.match >= least_match:
            os.replace(path, path.with_suffix(""))
        else:
            path.unlink()
    return report


def _readable(
    sources: Iterable[Source], largest: float, report: Report, reasons: Counter[str]
) -> Iterator[tuple[Source, Clip]]:
    kind: tuple[bool, int] | None = None
    for source in sources:
        report.rows += 1
        try:
            clip = source.read()
            found = clip.is_pose, clip.values[0].size
            if kind not in (None, found):
                how = f": it has {found[1]} numbers a frame, they have {kind[1] if kind else 0}"
                raise ClipError(f"{source.where}: ", "it is of another kind than the clips before it", how)
            if np.nanmax(np.abs(clip.values)) > largest:
                raise ClipError(f"{source.where}: ", "a number is too large for the array", f" ({largest:.0f})")
        except DataError as error:
            reasons[getattr(error, "reason", str(error))] += 1
            report.examples += [str(error)] * (len(report.examples) < KEPT)
            continue
        kind = found
        report.kept += 1
        yield source, clip


class _Array:
    """A ``.npy`` file that grows: its header keeps its size whatever the number of frames."""

    def __init__(self, file: IO[bytes], size: int, dtype: str, *, is_pose: bool) -> None:
        self._file, self._dtype = file, np.dtype(dtype)
        self.size, self.is_pose, self.frames = size, is_pose, 0
        self._write_header()
        self._begin = file.tell()

    def add(self, values: np.ndarray[Any, Any]) -> int:
        """Append the frames of a clip and return the place of its first."""
        start = self.frames
        self._file.write(values.astype(self._dtype).tobytes())
        self.frames += len(values)
        return start

    def finish(self) -> None:
        """Write how many frames there are."""
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._begin:
            raise DataError("the header of a .npy file has changed its size: this version of NumPy is not supported")

    def _write_header(self) -> None:
        described = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.frames, self.size)}
        np.lib.format.write_array_header_1_0(self._file, described)
