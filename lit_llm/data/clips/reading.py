"""Files of clips in; errors that name the file and the cause out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.data.clips.skeleton import POINTS, normalised
from lit_llm.errors import DataError

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """The frames of one clip.

    Attributes:
        values: ``[L, D]`` features, or ``[L, P, 2]`` points in shoulder widths, NaN where not seen.
        is_pose: whether they are points, those of ``POINTS``.
    """

    values: Array
    is_pose: bool = False


class ClipError(DataError):
    """A clip that cannot be used.

    Args:
        where: names it.
        reason: what is wrong, the same for all clips with that fault.
        detail: what else is to be said.
    """

    def __init__(self, where: str, reason: str, detail: str = "") -> None:
        super().__init__(f"{where}{reason}{detail}")
        self.reason = reason


def read_clip(path: Path, key: str | None = None, length: int | None = None, content: bytes | None = None) -> Clip:
    """Return a clip.

    Args:
        path: a ``.npy``, ``.npz``, ``.pt``, ``.h5`` or ``.pose`` file, or a gzip pickle of PHOENIX14T.
        key: which array of a file that holds several; the first frame in an array that holds many clips.
        length: frames of the clip, where the file holds more.
        content: the file's, where it is not on disk; only its name is taken from ``path`` then.

    Raises:
        DataError: if there is no such clip or it cannot be used, naming file and cause.
    """
    where = f"{path}: {key}: " if key else f"{path}: "
    try:
        found = _in_memory(path, key, content) if content is not None else _reader(path)(path, key, length)
    except DataError as error:
        reason, _, detail = str(error).partition(":")
        raise ClipError(where, reason, f":{detail}" if detail else "") from None
    except FileNotFoundError:
        raise ClipError(
            f"{path}: ", "there is no such file", ": mend the manifest, or take the row out of it"
        ) from None
    except KeyError as error:
        raise ClipError(where, "there is no such entry in the file", f" ({error})") from None
    # What a damaged file makes its library raise is not said anywhere, so everything is caught and named.
    except Exception as error:
        raise ClipError(where, "cannot be read", f" ({type(error).__name__}: {_first_line(error)})") from error
    _check(found.values, where, is_pose=found.is_pose)
    return found


def clip_length(path: Path, key: str | None = None) -> int:
    """Return how many frames a clip has, from the file's header where it has one.

    Raises:
        DataError: as ``read_clip``.
    """
    if path.suffix == ".npy" and key is None:
        try:
            return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[0])
        except (OSError, ValueError, IndexError):
            pass
    return len(read_clip(path, key).values)


def _check(values: NDArray[Any], where: str, *, is_pose: bool) -> None:
    dimensions = 3 if is_pose else 2
    if values.ndim != dimensions or (is_pose and values.shape[1:] != (len(POINTS), 2)):
        shape = f"[frames, {len(POINTS)}, 2]" if is_pose else "[frames, features]"
        raise ClipError(where, "its shape is not that of a clip", f": it is {list(values.shape)}, needed is {shape}")
    if not values.size:
        raise ClipError(where, "it is empty", f": its shape is {list(values.shape)}")
    finite = np.isfinite(values)
    if not finite.any():
        raise ClipError(where, "no value is a finite number")
    # In a pose, NaN says that a point was not seen.
    wrong = np.isinf(values) if is_pose else ~finite
    if wrong.any():
        bad = tuple(np.argwhere(wrong)[0].tolist())
        found = f": frame {bad[0]} holds {values[bad]}, and {int(wrong.sum())} values are not finite"
        raise ClipError(where, "not all values are finite", found)


def _npy(path: Path, key: str | None, length: int | None) -> Clip:
    # With the time of the file's last change: one that was written again is another file.
    array, facts = _mapped(path, path.stat().st_mtime_ns), _beside(path)
    if key is not None:
        start = int(key)
        if not length:
            raise DataError("the manifest names a first frame in 'key', and must say how many follow in 'length'")
        if start < 0 or start + length > len(array):
            raise DataError(f"frames {start} to {start + length} are not among its {len(array)}")
        array = array[start : start + length]
    if facts.get("kind") == "pose":
        return Clip(np.asarray(array, dtype=np.float32).reshape(len(array), -1, 2), is_pose=True)
    return _clip(array)


def _clip(array: NDArray[Any]) -> Clip:
    """Return features as they are, and key points of a whole body as a pose."""
    from lit_llm.data.clips.whole_body import is_whole_body, whole_body_points

    if array.dtype.kind not in "fiub":
        raise DataError(f"it holds values of the kind {array.dtype}, needed are numbers")
    if is_whole_body(array):
        return Clip(normalised(whole_body_points(array)), is_pose=True)
    return Clip(np.asarray(array, dtype=np.float32))


@lru_cache(maxsize=64)
def _mapped(path: Path, changed: int) -> NDArray[Any]:
    # Mapped, not read: a cache of a whole corpus is larger than the memory.
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _beside(path: Path) -> dict[str, Any]:
    """Return what ``prepare`` noted about an array, from the JSON file of the same name."""
    facts = path.with_suffix(".json")
    return _facts(facts, facts.stat().st_mtime_ns) if facts.exists() else {}


@lru_cache(maxsize=64)
def _facts(path: Path, changed: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _npz(path: Path, key: str | None, length: int | None) -> Clip:
    with np.load(path, allow_pickle=False) as file:
        return _clip(file[_entry(list(file.files), key)])


def _pt(path: Path, key: str | None, length: int | None) -> Clip:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(found, dict):
        found = found[_entry(list(found), key)]
    if not isinstance(found, torch.Tensor):
        raise DataError(f"it holds a {type(found).__name__}, needed is a tensor or a dict of tensors")
    return _clip(found.float().numpy())


def _hdf5(path: Path, key: str | None, length: int | None) -> Clip:
    try:
        import h5py
    except ImportError:
        raise DataError("HDF5 files need an extra: pip install -e '.[sign]'") from None
    with h5py.File(path, "r") as file:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        # A clip may be a group of its own, such as clip/features.
        within = [name for name in names if key is None or name == key or name.startswith(f"{key}/")]
        if not within and key is not None:
            raise DataError(f"there is no such entry in the file: it has {_listed(names)}")
        return _clip(np.asarray(file[_entry(within, None)]))


def _in_memory(path: Path, key: str | None, content: bytes) -> Clip:
    with tempfile.TemporaryDirectory() as folder:
        # Every reader opens files; a clip is small, and a temporary folder mostly lies in memory.
        copy = Path(folder) / path.name
        copy.write_bytes(content)
        return _reader(path)(copy, key, None)


def _pickle(path: Path, key: str | None, length: int | None) -> Clip:
    from lit_llm.data.clips.pickles import load_pickle
    from lit_llm.data.clips.whole_body import from_pickle

    found = load_pickle(path)
    if key is not None:
        if not isinstance(found, dict):
            raise DataError(f"it holds no entries by name, and so none that is {key!r}")
        found = found[key]
    values = from_pickle(found)
    return Clip(normalised(values), is_pose=True) if values.ndim == 3 else Clip(values)


def _pose(path: Path, key: str | None, length: int | None) -> Clip:
    from lit_llm.data.clips.pose import read_pose

    return Clip(normalised(read_pose(path.read_bytes()).points), is_pose=True)


def _phoenix(path: Path, key: str | None, length: int | None) -> Clip:
    from lit_llm.data.clips.phoenix import phoenix_clips

    return Clip(phoenix_clips(path)[key or ""])


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "") or "none"


def _entry(names: list[str], key: str | None) -> str:
    if key is None and len(names) != 1:
        raise DataError(f"it holds {len(names)} entries, {_listed(names)}: name one in the column 'key'")
    return names[0] if key is None else key


_READERS: dict[str, Callable[[Path, str | None, int | None], Clip]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".pt": _pt,
    ".h5": _hdf5,
    ".hdf5": _hdf5,
    ".pkl": _pickle,
    ".pickle": _pickle,
    ".pose": _pose,
    ".gz": _phoenix,
    ".gzip": _phoenix,
}


SUFFIXES = frozenset(_READERS)
"""Endings of the files that hold a clip each."""


def _reader(path: Path) -> Callable[[Path, str | None, int | None], Clip]:
    # PHOENIX14T's files have the splits' names as their last part: phoenix14t.pami0.train.
    known = _READERS | dict.fromkeys((".train", ".dev", ".test"), _phoenix)
    if path.suffix not in known:
        raise DataError(f"files of the kind {path.suffix!r} are not read; known are {', '.join(_READERS)}")
    return known[path.suffix]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")[:200]
