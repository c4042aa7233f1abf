"""Where encoded rows are kept, and how they come there once for all processes."""

from __future__ import annotations

import ctypes
import gc
import os
import shutil
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_info

from lit_llm.data.records.faults import Fault
from lit_llm.data.stored.keys import row_key
from lit_llm.data.stored.reading import StoredSplit, read_facts
from lit_llm.data.stored.source import RowSource
from lit_llm.data.stored.writing import ABOUT, Unstorable, write_rows
from lit_llm.errors import ConfigError
from lit_llm.storage import swap_into_place, write_atomically
from lit_llm.strict_json import dumps

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "LIT_LLM_CACHE"
"""Names the folder of what is kept for later runs."""

LARGE = 2_000_000
"""Bytes of a file from which on its rows are kept without being asked to."""

UNUSED = 30 * 24 * 3600
"""Seconds after which rows that no run has opened are removed, whenever others are written."""


def cache_folder() -> Path:
    """Return where encoded rows are kept."""
    named = os.environ.get(FOLDER)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(named) if named else Path(base) / "lit_llm").expanduser() / "rows"


def stored_split(data: RowSource, name: str, path: Path) -> StoredSplit | None:
    """Return the rows of a file, as they are kept on disk; they are written there the first time.

    Processes that need the same rows at one time wait for the first of them.

    Args:
        data: whose rows they are.
        name: of the split.
        path: the file.

    Returns:
        None where rows of this file are not kept, or it cannot be read.

    Raises:
        ConfigError: if they cannot be, and ``data.cache`` asks for it.
        DataError: if a record cannot be used.
    """
    folder, reason = _place(data, name, path)
    if folder:
        try:
            return _opened(data, name, path, folder)
        except Unstorable as error:
            reason = f"{error}: leave it out"
        except (OSError, UnicodeError) as error:
            said = getattr(error, "strerror", None) or error
            reason = f"encoded rows cannot be kept in {folder.parent}: {said}: make room, or name another in {FOLDER}"
    if reason and data.cache:
        raise ConfigError(f"data.init_args.cache: {reason}")
    if reason:
        # Nobody asked for it, so there is nothing to leave out.
        rank_zero_info(f"{path}: {reason.removesuffix(': leave it out')}; its rows are all in memory")
    return None


def kept_split(data: RowSource, name: str, path: Path) -> StoredSplit | None:
    """Return the rows of a file where they are kept already; nothing is read, and nothing noted, where they are not."""
    folder, _ = _place(data, name, path)
    facts = read_facts(folder) if folder else None
    return StoredSplit(name, folder, facts) if folder and facts else None


def _place(data: RowSource, name: str, path: Path) -> tuple[Path | None, str]:
    """Return the folder of a file's rows; None where they are not kept, and why where that could be otherwise."""
    wanted = is_large(data, path) if data.cache is None else data.cache
    if not wanted or not data.reads_texts or data.lenient:
        return None, ""
    if not data.encodes_one_by_one:
        return None, f"{type(data).__name__} encodes rows in its own way, all at once: leave it out"
    try:
        key = row_key(data, name, path)
    except OSError:
        # Whoever reads the file says what is wrong with it.
        return None, ""
    unknown = f"what decides the rows of {type(data).__name__} cannot all be written down: leave it out"
    return (cache_folder() / key, "") if key else (None, unknown)


def is_large(data: RowSource, path: Path) -> bool:
    """Whether a file is so large that its rows are kept unless ``data.cache`` says otherwise."""
    try:
        return sum(file.stat().st_size for file in data.files_at(path)) >= LARGE
    except OSError:
        return False


def _opened(data: RowSource, name: str, path: Path, folder: Path) -> StoredSplit:
    facts = read_facts(folder)
    if facts is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            facts = read_facts(folder) or _written(data, name, path, folder)
    with suppress(OSError):
        os.utime(folder / ABOUT)
    data.counts.update(facts["counts"])
    for file, faults in facts["skipped"].items():
        data.skipped[file] = [Fault(**fault | {"path": Path(fault["path"])}) for fault in faults]
    rank_zero_info(f"{path}: {facts['rows']:,} encoded rows, kept in {folder}")
    return StoredSplit(name, folder, facts, *data.variants(name))


def _written(data: RowSource, name: str, path: Path, folder: Path) -> dict[str, Any]:
    """Write the rows of a file and return what is known of them; the data's own counts are left as they were."""
    # All that is wrong with a file is told before any row is encoded, which takes much longer than to read it.
    with apart(data) as found:
        count = sum(1 for _ in data.chosen_one_by_one(name, path))
    facts = {"counts": dict(found.counts), "skipped": found.skipped}
    rank_zero_info(f"{path}: {count:,} rows are encoded, once for all runs")
    with apart(data), _unfinished(folder) as new:
        facts |= write_rows(new, data.encoded(name, data.chosen_one_by_one(name, path)), data.prefix.rstrip("."))
        write_atomically(new / ABOUT, dumps(facts, default=str).encode())
        swap_into_place(new, folder)
    _forget_unused(folder.parent)
    _give_back_memory()
    return facts


@dataclass
class Noted:
    """What reading a file has noted."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@contextmanager
def apart(data: RowSource, *, strictly: bool = False) -> Iterator[Noted]:
    """Give what is noted of a file meanwhile; the data's own notes are afterwards what they were.

    Args:
        data: whose notes they are.
        strictly: whether a row that cannot be used is an error meanwhile, also where rows are only to be answered.
    """
    noted, counts, skipped, lenient = Noted(), data.counts, data.skipped, data.lenient
    data.counts, data.skipped, data.lenient = noted.counts, {}, lenient and not strictly
    try:
        yield noted
        noted.skipped = {file: [asdict(fault) for fault in faults] for file, faults in data.skipped.items()}
    finally:
        data.counts, data.skipped, data.lenient = counts, skipped, lenient


def _forget_unused(folder: Path) -> None:
    """Remove rows that no run has opened for a long time, and what killed processes have left."""
    for about in folder.glob(f"*/{ABOUT}"):
        with suppress(OSError):
            if time.time() - about.stat().st_mtime > UNUSED:
                shutil.rmtree(about.parent)
    for left in (*folder.glob(".*.part"), *folder.glob(".*.old")):
        # Whoever still writes there holds the lock.
        with suppress(OSError, Timeout), FileLock(folder / f"{left.stem[1:]}.lock", timeout=0):
            shutil.rmtree(left)


def _give_back_memory() -> None:
    """Let the operating system have what many small objects took; glibc would keep it for the process."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside another one, which is gone afterwards whatever happens."""
    # Only the holder of the lock writes here, so one that is there already is of a process that was killed.
    new = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        yield new
    finally:
        shutil.rmtree(new, ignore_errors=True)
