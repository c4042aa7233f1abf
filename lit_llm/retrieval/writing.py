"""Writing an index so that it can be killed at any moment and goes on to the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_llm.errors import ConfigError, DataError
from lit_llm.retrieval.files import (
    ABOUT,
    FORMAT,
    GRAPH,
    NORMS,
    OFFSETS,
    PASSAGES,
    PROGRESS,
    PROJECTION,
    VECTORS,
)
from lit_llm.retrieval.index import Entry
from lit_llm.storage import write_atomically

TOKENS, PLACES = "tokens.npy", "places.npy"
"""Files that are there, as that of the progress, until the index is finished."""

LISTED = f".{PASSAGES}.new"
"""The passages, until all of them are known to be readable."""

OWN = {ABOUT, VECTORS, NORMS, PASSAGES, OFFSETS, PROGRESS, TOKENS, PLACES, GRAPH, PROJECTION}
OWN |= {LISTED, *(f".{name}.new" for name in (ABOUT, PROGRESS))}
"""All files that an index may have."""

WINDOW = 256
"""Passages between two notes of the progress."""

Compute = Callable[[Tensor, Tensor], Tensor]
"""Makes the vectors ``[N, l, H]`` of ids and mask ``[N, T]``."""


class IndexWriter:
    """Makes the folder of an index, or goes on with one.

    Args:
        folder: of the index.
        about: ``model``, ``vectors`` and ``width``, and whatever else decides its content.
        overwrite: begin anew where there is another, once the passages of the new one are known.

    Attributes:
        is_finished: whether all vectors are there.
        has_approximate: whether there is an approximate search over them.

    Raises:
        ConfigError: if the folder holds an index of something else.
    """

    def __init__(self, folder: Path, about: dict[str, Any], *, overwrite: bool = False) -> None:
        self.folder, self.about = folder, about
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--output: {folder} is a file: name a folder")
        found = self._read(ABOUT) or self._read(PROGRESS)
        present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        # Nothing is ever taken away but the files of an index, and those only from a folder that says it is one.
        strangers = present - OWN if found else present
        if strangers:
            raise ConfigError(
                f"--output: {folder} holds files that are no index, such as {min(strangers)}: name another folder"
            )
        differing = [name for name in about if found and found.get(name) != about[name]]
        if differing and not overwrite:
            raise ConfigError(
                f"--output: {folder} holds an index whose {', '.join(differing)} "
                f"{'are' if len(differing) > 1 else 'is'} another: name another folder, or add --overwrite"
            )
        self._anew = overwrite
        self.is_finished = (folder / ABOUT).exists() and not overwrite
        self.has_approximate = self.is_finished and bool((found or {}).get("approximate"))

    def begin(self, passages: Iterable[tuple[Entry, list[int]]]) -> int:
        """Write down what is to be compressed, unless that was done, and return how many passages there are.

        Args:
            passages: each with its tokens.

        Raises:
            DataError: if there is none, or two have one name.
        """
        known = self._read(ABOUT) or self._read(PROGRESS) or {}
        if known.get("passages") and not self._anew:
            return int(known["passages"])
        is_new = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        if not known:
            self._note(0, 0)
        try:
            offsets, places, tokens = _list(self.folder / LISTED, passages)
        except Exception:
            # A corpus that is refused leaves everything as it was.
            (self.folder / LISTED).unlink(missing_ok=True)
            if not known:
                (self.folder / PROGRESS).unlink()
            if is_new:
                self.folder.rmdir()
            raise
        self._note(0, 0)
        # What says that an index is whole goes first.
        for name in (ABOUT, *(OWN - {ABOUT, PROGRESS, LISTED})):
            (self.folder / name).unlink(missing_ok=True)
        self._anew = False
        (self.folder / LISTED).replace(self.folder / PASSAGES)
        count = len(tokens)
        np.save(self.folder / OFFSETS, np.array(offsets, dtype=np.int64))
        np.save(self.folder / PLACES, np.array(places, dtype=np.int64))
        np.save(self.folder / TOKENS, np.concatenate(tokens))
        size = int(self.about["vectors"]) * int(self.about["width"])
        np.lib.format.open_memmap(self.folder / VECTORS, mode="w+", dtype=np.float16, shape=(count, size)).flush()
        np.lib.format.open_memmap(self.folder / NORMS, mode="w+", dtype=np.float32, shape=(count,)).flush()
        self._note(count, 0)
        return count

    def windows(self) -> Iterator[tuple[int, int]]:
        """Yield where each window that is still to be done begins and ends."""
        known = self._read(PROGRESS) or {"passages": 0, "done": 0}
        for start in range(int(known["done"]), int(known["passages"]), WINDOW):
            yield start, min(start + WINDOW, int(known["passages"]))

    def write(self, start: int, end: int, compute: Compute, device: torch.device) -> None:
        """Compute the vectors of a window and note that they are there.

        Raises:
            DataError: if a number is not finite, or too large for float16.
        """
        ids, mask = self._tokens(start, end)
        found = compute(ids.to(device), mask.to(device)).flatten(1).float().cpu()
        stored = found.half()
        if not stored.isfinite().all():
            row = int((~stored.isfinite()).any(1).nonzero()[0])
            raise DataError(f"--corpus: the vectors of passage {start + row} do not fit float16: was the run trained?")
        vectors = np.load(self.folder / VECTORS, mmap_mode="r+")
        norms = np.load(self.folder / NORMS, mmap_mode="r+")
        vectors[start:end] = stored.numpy()
        norms[start:end] = stored.float().norm(dim=1).numpy()
        vectors.flush()
        norms.flush()
        self._note(len(vectors), end)

    def _tokens(self, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Return ids and mask ``[end - start, T]`` of passages, padded on the right."""
        flat, places = np.load(self.folder / TOKENS, mmap_mode="r"), np.load(self.folder / PLACES, mmap_mode="r")
        rows = [torch.from_numpy(flat[places[n] : places[n + 1]].astype(np.int64)) for n in range(start, end)]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        return ids, mask

    def finish(self, approximate: dict[str, Any] | None = None) -> None:
        """Write ``index.json``, after which the index can be opened.

        Args:
            approximate: what there is to know of its approximate search, where it has one.
        """
        known = self._read(ABOUT) or self._read(PROGRESS) or {}
        whole = {"format": FORMAT, "passages": known["passages"]} | self.about | {"approximate": approximate}
        write_atomically(self.folder / ABOUT, (json.dumps(whole, indent=2, ensure_ascii=False) + "\n").encode())
        for name in (PROGRESS, TOKENS, PLACES):
            (self.folder / name).unlink(missing_ok=True)

    def _note(self, passages: int, done: int) -> None:
        content = {"format": FORMAT, "passages": passages, "done": done} | self.about
        write_atomically(self.folder / PROGRESS, json.dumps(content, ensure_ascii=False).encode())

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            found: Any = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return None
        return found if isinstance(found, dict) and found.get("format") == FORMAT else None


def _list(
    path: Path, passages: Iterable[tuple[Entry, list[int]]]
) -> tuple[list[int], list[int], list[np.ndarray[Any, Any]]]:
    """Write passages to a file; return where each begins in it, where its tokens begin among all, and its tokens."""
    names: set[str] = set()
    offsets, places, tokens = [0], [0], []
    with path.open("wb") as file:
        for entry, ids in passages:
            if entry.id in names:
                raise DataError(f"--corpus: two passages are named {entry.id!r}: give each a name of its own")
            names.add(entry.id)
            file.write(json.dumps(entry._asdict(), ensure_ascii=False).encode() + b"\n")
            tokens.append(np.array(ids, dtype=np.int32))
            offsets.append(file.tell())
            places.append(places[-1] + len(ids))
    if not names:
        raise DataError("--corpus: it holds no passage")
    return offsets, places, tokens
