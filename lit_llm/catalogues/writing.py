"""Makes a catalogue: the arrays of a folder, which are mapped into memory and not read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.catalogues.catalogue import ABOUT, FORMAT, encoded, fold_hash, idf
from lit_llm.catalogues.grams import grams
from lit_llm.errors import DataError
from lit_llm.storage import swap_into_place


def write_catalogue(names: Iterable[str], folder: Path) -> int:
    """Write names, each once, as a catalogue; what stood there is replaced when it is whole.

    Args:
        names: in any order; texts that are blank are left out.
        folder: where to.

    Returns:
        How many names it holds.

    Raises:
        DataError: if there is none.
    """
    # In the order of the bytes that answers are written with: names that begin alike stand side by side.
    letters = sorted({encoded(name) for name in names if name.strip()})
    if not letters:
        raise DataError("it holds no name: is it the right file, and the right column?")
    texts = [json.loads(b'"' + name) for name in letters]
    arrays: dict[str, NDArray[Any]] = {
        "letters": np.frombuffer(b"".join(letters), np.uint8),
        "starts": np.cumsum([0, *map(len, letters)], dtype=np.int64),
        **_folds(texts),
        **_postings(texts),
    }
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for name, array in arrays.items():
        np.save(new / f"{name}.npy", array, allow_pickle=False)
    (new / ABOUT).write_text(json.dumps({"format": FORMAT, "names": len(letters)}), encoding="utf-8")
    swap_into_place(new, folder)
    return len(letters)


def _folds(texts: list[str]) -> dict[str, NDArray[Any]]:
    """Return hashes of the names without case and surplus white space, in order, and whose each is."""
    hashes = np.array([fold_hash(text) for text in texts], np.uint64)
    order = np.argsort(hashes, kind="stable")
    return {"folds": hashes[order], "fold_names": order.astype(np.int32)}


def _postings(texts: list[str]) -> dict[str, NDArray[Any]]:
    """Return which names hold each n-gram, and what the n-grams of each name weigh together."""
    owners, codes = grams(texts)
    found, first, counts = np.unique(codes, return_index=True, return_counts=True)
    weight = np.repeat(idf(counts, len(texts)), counts)
    return {
        "grams": found,
        "gram_starts": np.append(first, len(codes)).astype(np.int64),
        "gram_names": owners,
        "sums": np.bincount(owners, weight, len(texts)).astype(np.float32),
        "norms": np.sqrt(np.bincount(owners, weight**2, len(texts))).astype(np.float32),
    }
