"""What decides the rows of a file: a name for it, under which they are found again."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import re
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lit_llm.data.stored.source import RowSource

WITHOUT_EFFECT = {
    *("trainer", "tokenizer", "_tokenizer", "format", "files", "test_files", "splits", "finished_ids", "progress"),
    *("batch_size", "eval_batch_size", "pad_to_multiple_of", "max_batch_tokens", "packing", "num_workers"),
    *("seed", "cache", "augmenter", "augmentation_factor", "counts", "skipped", "lenient", "_told"),
    *("_log_hyperparams", "_pools", "_rows_meta"),
}
"""Attributes of a data module that change none of its encoded rows. All others are taken to, known or not."""


class Unknown(Exception):
    """Something that may decide the rows cannot be written down."""


def row_key(data: RowSource, name: str, path: Path) -> str | None:
    """Return a hash of all that decides the encoded rows of a file; None where that cannot be told.

    It is that of the file, the settings, the tokenizer, its template, and the code; a change of any of them is another
    key. Where a module of somebody else holds what cannot be written down, its rows have no key.

    Raises:
        OSError: if the file cannot be read.
    """
    settings = {key: value for key, value in vars(data).items() if key not in WITHOUT_EFFECT}
    roles = [key for key, file in (data.files | data.test_files).items() if file and Path(file) == path]
    try:
        said = [
            _described(settings),
            _described(data.row_facts()),
            [name, str(path), roles, data.id_prefix(path)],
            [_sum(file) for file in data.files_at(path)],
            [_code_of(kind) for kind in type(data).__mro__ if kind is not object],
            _tokenizer(data),
            [
                data.format.jinja.text,
                data.format.fingerprint(),
                sorted(data.format.tokenizer.special_tokens_map.items()),
            ],
        ]
    except Unknown:
        return None
    return hashlib.sha256(repr(said).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _described(value: Any, depth: int = 0) -> Any:
    """Write down a setting; objects by their class and attributes.

    Raises:
        Unknown: if it cannot be written down.
    """
    if value is None or isinstance(value, str | int | float | bool | bytes | Path):
        return repr(value)
    if depth > 20:
        raise Unknown(repr(type(value)))
    if isinstance(value, Mapping):
        pairs = [(repr(key), _described(item, depth + 1)) for key, item in value.items()]
        return type(value).__name__, pairs
    if isinstance(value, list | tuple):
        return [_described(item, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(str(_described(item, depth + 1)) for item in value)
    if isinstance(value, re.Pattern):
        return value.pattern, value.flags
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return _code_of(type(value)), _described(fields, depth + 1)
    if callable(value) or not hasattr(value, "__dict__"):
        raise Unknown(repr(type(value)))
    # As it would travel to another process, without what is only found out on the way.
    state = value.__getstate__() or {}
    if not isinstance(state, dict):
        raise Unknown(repr(type(value)))
    # A tally says what has been done, not what is to be.
    own = {name: item for name, item in state.items() if name != "counts" and not _is_cached(value, name)}
    return _code_of(type(value)), _described(own, depth + 1)


def _is_cached(value: Any, name: str) -> bool:
    return isinstance(inspect.getattr_static(type(value), name, None), cached_property)


def _code_of(kind: type) -> str:
    """Return a hash of the code of a class: of all of lit_llm's where it is one of these, else of its own file."""
    room = kind.__module__.partition(".")[0]
    if room == "lit_llm":
        return f"{kind.__qualname__} {_own_code()}"
    if room in ("lightning", "torch", "builtins", "abc", "typing", "collections"):
        return str(kind.__qualname__)
    try:
        return f"{kind.__qualname__} {_sum(Path(inspect.getfile(kind)))}"
    except (OSError, TypeError) as error:
        raise Unknown(repr(kind)) from error


ROOMS = (
    "data",
    "schemas",
    "catalogues",
    "retrieval",
    "batch.py",
    "moments.py",
    "strict_json.py",
    "generation/stopping.py",
    "thoughts.py",
)
"""What reads, cleans, writes and encodes rows, and says what is asked with them."""


@cache
def _own_code() -> str:
    """Return a hash of lit_llm's source."""
    root = Path(__file__).resolve().parents[2]
    found = hashlib.sha256()
    for room in ROOMS:
        files = sorted((root / room).rglob("*.py")) if (root / room).is_dir() else [root / room]
        for file in files:
            found.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return found.hexdigest()


def _tokenizer(data: RowSource) -> str:
    """Return a hash of a tokenizer; only a fast one can be written down."""
    backend = getattr(data.format.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise Unknown("a tokenizer without a backend")
    return hashlib.sha256(str(backend.to_str()).encode()).hexdigest()


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
