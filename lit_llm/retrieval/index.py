"""The vectors of a corpus in a folder, read from the disk as they are needed."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lit_llm.errors import ConfigError
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
from lit_llm.retrieval.search import Found, nearest, nearest_of


class Entry(NamedTuple):
    """A passage of a corpus.

    Attributes:
        id: its name, of which there is one.
        document: the name of its document.
        start: its first character there.
        end: the character behind its last one.
        text: what it says.
    """

    id: str
    document: str
    start: int
    end: int
    text: str


class VectorIndex:
    """What ``python -m lit_llm compress`` has made of a corpus.

    Args:
        folder: of the index.

    Attributes:
        about: what ``index.json`` says: the number of ``passages``, the ``vectors`` of each and their ``width``, the
            ``model`` that made them, and the settings of the ``approximate`` search, if there is one.

    Raises:
        ConfigError: if there is no index, or it was not finished.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        file = self.folder / ABOUT
        found: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            is_begun = (self.folder / PROGRESS).is_file()
            begun = "; it was begun and not finished: give the command again" if is_begun else ""
            raise ConfigError(
                f"index: there is no {ABOUT} in {folder}{begun}: make one by python -m lit_llm compress --run RUN "
                f"--corpus FILE --output {folder}"
            )
        self.about: dict[str, Any] = found
        needed = [VECTORS, NORMS, PASSAGES, OFFSETS]
        needed += [GRAPH, PROJECTION] if found.get("approximate") else []
        if missing := [name for name in needed if not (self.folder / name).is_file()]:
            raise ConfigError(f"index: {folder} lacks {', '.join(missing)}: copy it whole, or compress it anew")
        try:
            sizes = self.flat.shape, self.norms.shape, self._offsets.shape, (self.folder / PASSAGES).stat().st_size
        except ValueError as error:
            raise ConfigError(f"index: {folder} is damaged ({error}): copy it whole, or compress it anew") from error
        count, width = len(self), int(found["vectors"]) * int(found["width"])
        if sizes != ((count, width), (count,), (count + 1,), int(self._offsets[-1])):
            raise ConfigError(
                f"index: {folder}: its files are not of one size {sizes}: copy it whole, or compress it anew"
            )

    def __len__(self) -> int:
        return int(self.about["passages"])

    def refuse_foreign(self, model: dict[str, Any]) -> None:
        """Refuse an index that another model has made.

        Args:
            model: what the vectors of this one depend on.

        Raises:
            ConfigError: if something differs.
        """
        theirs = self.about["model"]
        differing = [name for name in model if theirs.get(name) != model[name]]
        if differing:
            said = "; ".join(f"{name}: {theirs.get(name)}, and here {model[name]}" for name in differing)
            raise ConfigError(f"index: {self.folder} holds the vectors of another model ({said}): compress it anew")

    def entry(self, number: int) -> Entry:
        """Return a passage."""
        start, end = int(self._offsets[number]), int(self._offsets[number + 1])
        with (self.folder / PASSAGES).open("rb") as file:
            file.seek(start)
            return Entry(**json.loads(file.read(end - start)))

    def vectors(self, numbers: Tensor) -> Tensor:
        """Return the vectors ``[*numbers.shape, l, H]`` of passages, float16."""
        flat = torch.from_numpy(np.array(self.flat[numbers.flatten().cpu().numpy()]))
        return flat.view(*numbers.shape, int(self.about["vectors"]), int(self.about["width"])).to(numbers.device)

    def search(self, questions: Tensor, count: int, *, exact: bool = False) -> Found:
        """Return the passages whose vectors are most like those of questions.

        Args:
            questions: ``[Q, l * H]``.
            count: how many of each are wanted.
            exact: look at every passage, also where there is a quicker way that may miss one.

        Returns:
            At most ``count`` of each, the likest first, with their cosines.
        """
        if exact or not self.about.get("approximate"):
            return nearest(self.flat, self.norms, questions, count)
        candidates = self._approximate.candidates(questions, max(count, int(self.about["approximate"]["candidates"])))
        if int((candidates >= 0).sum(1).min()) < count:
            return nearest(self.flat, self.norms, questions, count)
        return nearest_of(self.flat, self.norms, questions, candidates, count)

    @cached_property
    def flat(self) -> Any:
        """The vectors of all passages end to end, ``[N, l * H]`` float16, on the disk."""
        return np.load(self.folder / VECTORS, mmap_mode="r")

    @cached_property
    def norms(self) -> Any:
        """Their lengths, ``[N]`` float32."""
        return np.load(self.folder / NORMS)

    @cached_property
    def _offsets(self) -> Any:
        return np.load(self.folder / OFFSETS)

    @cached_property
    def _approximate(self) -> Any:
        from lit_llm.retrieval.approximate import Neighbours

        return Neighbours.opened(self.folder)
