"""Pickles read without running what a pickle may hold."""

from __future__ import annotations

import gzip
import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np

from lit_llm.errors import DataError

_MODULES = {"numpy._core.multiarray", "numpy._core.numeric"}
_ARRAYS = {"_reconstruct", "scalar", "_frombuffer"}
"""What NumPy's pickles of arrays call; these build arrays of the types below and nothing else."""


def load_arrays(file: IO[bytes] | gzip.GzipFile) -> Any:
    """Return what a pickle of tensors and arrays in dicts and lists holds.

    Raises:
        DataError: if it asks for anything else, or is damaged.
    """
    found = _Restricted(file).load()
    _refuse_objects(found)
    return found


def load_pickle(path: Path) -> Any:
    """Return what a ``.pkl`` or ``.pickle`` file holds; raises DataError as ``load_arrays``."""
    with path.open("rb") as file:
        return load_arrays(file)


def _storage(content: bytes) -> Any:
    """Read a tensor's numbers, with torch's own restricted reader in place of its unrestricted one."""
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


class _Restricted(pickle.Unpickler):
    """Knows the names that tensors and arrays need, and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a global of the pickle stands for.

        Raises:
            DataError: if it is not one that a tensor or an array needs.
        """
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            from torch._utils import _rebuild_tensor_v2

            return _rebuild_tensor_v2
        if (module, name) == ("_codecs", "encode"):
            return _latin  # what protocol 2 writes the bytes of an array as
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        # NumPy 2 has moved these modules, and files of either name are around.
        if module.replace("numpy.core", "numpy._core") in _MODULES and name in _ARRAYS:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        known = {("torch.storage", "_load_from_bytes"): _storage, ("collections", "OrderedDict"): OrderedDict}
        if (module, name) not in known:
            raise DataError(f"the pickle asks for {module}.{name}, which no feature file needs: it is refused")
        return known[module, name]


def _latin(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise DataError(f"the pickle holds bytes as {encoding!r}, which no array needs: it is refused")
    return text.encode(encoding)


def _refuse_objects(value: Any) -> None:
    """Refuse arrays of Python objects, which are pickles inside the pickle."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, np.ndarray) and item.dtype.hasobject:
            raise DataError("an array of the pickle holds Python objects, not numbers: store it as float32")
        if isinstance(item, dict):
            todo += item.values()
        elif isinstance(item, list | tuple):
            todo += item
