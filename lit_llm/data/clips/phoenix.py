"""Feature files of PHOENIX14T: gzip pickles, read without running what a pickle may hold."""

from __future__ import annotations

import gzip
import io
import pickle
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_llm.errors import DataError


def _storage(content: bytes) -> Any:
    """Read a tensor's numbers, with torch's own restricted reader in place of its unrestricted one."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


class _Restricted(pickle.Unpickler):
    """Knows the three names that tensors in these files need, and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a global of the pickle stands for.

        Raises:
            DataError: if it is not one that a tensor needs.
        """
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            from torch._utils import _rebuild_tensor_v2

            return _rebuild_tensor_v2
        known = {("torch.storage", "_load_from_bytes"): _storage, ("collections", "OrderedDict"): OrderedDict}
        if (module, name) not in known:
            raise DataError(f"the pickle asks for {module}.{name}, which no feature file needs: it is refused")
        return known[module, name]


def phoenix_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file: ``name``, ``signer``, ``gloss``, ``text`` and ``sign``, the features ``[L, D]``.

    Raises:
        DataError: if the file holds anything else, or its rows have no features.
    """
    with gzip.open(path, "rb") as file:
        rows = _Restricted(file).load()
    if not isinstance(rows, list) or not all(isinstance(row, dict) and {"name", "sign"} <= set(row) for row in rows):
        raise DataError("it is not a list of rows with name and sign, as PHOENIX14T's files are")
    if rows and all(not len(row["sign"]) for row in rows):
        raise DataError("its rows have no features: these are the annotations alone; take the files of features")
    return rows


@lru_cache(maxsize=4)
def phoenix_clips(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the features of each row of a file by its name."""
    return {row["name"]: np.asarray(row["sign"], dtype=np.float32) for row in phoenix_rows(path)}
