"""Feature files of PHOENIX14T: gzip pickles, read without running what a pickle may hold."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.data.clips.pickles import load_arrays
from lit_llm.errors import DataError


def phoenix_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file: ``name``, ``signer``, ``gloss``, ``text`` and ``sign``, the features ``[L, D]``.

    Raises:
        DataError: if the file holds anything else, or its rows have no features.
    """
    with gzip.open(path, "rb") as file:
        rows = load_arrays(file)
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"name", "sign"} <= set(row) for row in rows):
        raise DataError("it is not a list of rows with name and sign, as PHOENIX14T's files are")
    if rows and all(not len(row["sign"]) for row in rows):
        raise DataError("its rows have no features: these are the annotations alone; take the files of features")
    return rows


@lru_cache(maxsize=4)
def phoenix_clips(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the features of each row of a file by its name."""
    return {row["name"]: np.asarray(row["sign"], dtype=np.float32) for row in phoenix_rows(path)}
