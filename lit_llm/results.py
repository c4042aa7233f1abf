"""What ``validate`` and ``test`` found: one JSON file each in ``results/`` of the run folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from lit_llm.errors import DataError
from lit_llm.storage import write_atomically

CHECKPOINT = "checkpoint"
"""The key of the record beside predictions that says which weights made them."""

FOLDER = "results"
"""Where results lie in a run folder."""

PATTERNS = tuple(f"{verb}-*.json" for verb in ("validate", "test"))
"""Names of their files."""


@dataclass
class Result:
    """What one ``validate`` or ``test`` found.

    Attributes:
        verb: ``validate`` or ``test``.
        time: when it ended, ISO 8601 in UTC.
        checkpoint: ``name``, ``path``, ``sha256``, ``step`` and ``epoch`` of the weights; None for the base as it is.
        data: ``path``, ``sha256`` and ``rows`` by split; rows are those that were measured.
        versions: of lit_llm, Python and the packages that scores depend on.
        scores: numbers by test name and metric; ``valid`` holds those of the validation split.
        fields: by test name, a list of ``field``, ``precision``, ``recall``, ``f1`` and ``support``, the worst first.
        statuses: by test name, how many rows have each status.
        baselines: numbers by test name, baseline and metric.
        signatures: how scores are made, by task and score, where others need to know it.
        mains: names of the scores that say most, one for each metric.
    """

    verb: str
    time: str = ""
    checkpoint: dict[str, Any] | None = None
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    fields: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    statuses: dict[str, dict[str, int]] = field(default_factory=dict)
    baselines: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    signatures: dict[str, dict[str, str]] = field(default_factory=dict)
    mains: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> list[str]:
        """Names of all scores, those that say most first."""
        names = dict.fromkeys(name for values in self.scores.values() for name in values)
        return sorted(names, key=lambda name: name not in self.mains)

    @property
    def baseline_names(self) -> list[str]:
        """Names of the baselines that were measured beside the model."""
        return list(dict.fromkeys(name for found in self.baselines.values() for name in found))

    def unbeaten(self) -> Iterator[tuple[str, str, float, dict[str, float]]]:
        """Yield test, main score, its value, and the baselines whose value it does not exceed."""
        for test, baselines in self.baselines.items():
            for main in self.mains:
                own = self.scores.get(test, {}).get(main)
                values = {name: scores[main] for name, scores in baselines.items() if main in scores}
                better = {name: value for name, value in values.items() if own is not None and value >= own}
                if own is not None and better:
                    yield test, main, own, better

    def by_name(self) -> dict[str, float]:
        """Return all scores under the names that they are logged by, such as ``test/known/field_f1``."""
        prefix = "val" if self.verb == "validate" else self.verb
        return {
            "/".join([*place(prefix, test), name]): value
            for test, scores in self.scores.items()
            for name, value in scores.items()
        }


def place(prefix: str, split: str) -> list[str]:
    """Return where a split's numbers are logged: ``val``, ``val/<part>`` of a mixture, or ``test/<file>``."""
    name = split.removesuffix("valid").removesuffix(".") if prefix == "val" else split
    return [prefix, name] if name else [prefix]


def write_result(result: Result, folder: Path) -> Path:
    """Write a result into ``results/`` of a run folder, and return its file.

    Args:
        result: its ``time`` is set where it is empty.
        folder: the run folder.
    """
    now = datetime.now(UTC)
    result.time = result.time or now.isoformat(timespec="microseconds")
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    stem = f"{result.verb}-{now:%Y%m%dT%H%M%SZ}"
    names = (f"{stem}{f'-{count}' if count > 1 else ''}.json" for count in range(1, 10**6))
    path = next(path for name in names if not (path := folder / FOLDER / name).exists())
    write_atomically(path, (json.dumps(asdict(result), ensure_ascii=False, indent=1) + "\n").encode())
    return path


def result_files(folder: Path) -> list[Path]:
    """Return the files of all results of a run folder."""
    return sorted(path for pattern in PATTERNS for path in (folder / FOLDER).glob(pattern))


def read_results(folder: Path) -> list[Result]:
    """Return all results of a run folder, the oldest first; none where there are none.

    Raises:
        DataError: if a file is not as ``write_result`` writes it.
    """
    return sorted(map(read_result, result_files(folder)), key=lambda result: result.time)


def is_current(result: Result, folder: Path) -> bool:
    """Whether a result is of weights that the run folder still holds, or of the base as it is."""
    if result.checkpoint is None:
        return True
    return result.checkpoint.get("sha256") in present_weights(folder)


def present_weights(folder: Path) -> dict[str, str]:
    """Return the names of the checkpoints that a run folder holds, by the hash of their content."""
    files = [path for name in ("last.ckpt", "best.ckpt") if (path := folder / name).exists()]
    return {content_hash(path): path.name for path in files}


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of all files of a folder, in hexadecimal."""
    if path.is_file():
        state = path.stat()
        return _file_hash(path.resolve(), state.st_ino, state.st_size, state.st_mtime_ns)
    inner = "".join(
        f"{file.relative_to(path)} {content_hash(file)}\n" for file in sorted(path.rglob("*")) if file.is_file()
    )
    return hashlib.sha256(inner.encode()).hexdigest()


@lru_cache(maxsize=64)
def _file_hash(path: Path, inode: int, size: int, changed: int) -> str:
    # Kept as long as the file is the same: one command asks for that of a checkpoint several times.
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def weights_mark(path: str | Path | None) -> str:
    """Return by what a record of predictions knows the weights that made them: ``none`` is the base as it is."""
    return content_hash(Path(path))[:16] if path else "none"


def check_predictions(folder: Path) -> None:
    """Refuse the ``predictions.csv`` of a run folder that its weights have not made.

    Nothing is said of a folder without checkpoints, whose weights are not there to be compared.

    Raises:
        DataError: that names the file, what made it, and the remedy.
    """
    file, present = folder / "predictions.csv", present_weights(folder)
    if not present or not file.exists():
        return
    record = folder / "predictions.csv.run.json"
    try:
        made_by = json.loads(record.read_text(encoding="utf-8"))["fingerprint"][CHECKPOINT]
    except (OSError, ValueError, KeyError, TypeError):
        made_by = "unknown"
    if made_by not in {mark[:16] for mark in present}:
        whose = {"none": "by the base as it is", "unknown": "by nobody knows what"}.get(made_by, "by other weights")
        raise DataError(
            f"{file}: was made {whose}, not by those that {folder} holds now ({', '.join(present.values())}): delete "
            f"it with {record.name} and predict again, or move it elsewhere and name the file itself"
        )


def as_rows(per_field: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return scores of fields (``FieldScore`` by name) as the rows of ``Result.fields``, the worst first."""
    rows = [
        {"field": name, "precision": s.precision, "recall": s.recall, "f1": s.f1, "support": s.support}
        for name, s in per_field.items()
    ]
    return sorted(rows, key=lambda row: (row["f1"], -row["support"], row["field"]))


def read_result(path: Path) -> Result:
    """Return one result.

    Raises:
        DataError: if there is no such file, or it is not as ``write_result`` writes it.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; results lie in {FOLDER}/ of a run folder")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {f.name for f in fields(Result)}
        return Result(**{key: value for key, value in found.items() if key in known})
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is no result as `test` and `validate` write it ({error}); remove it") from None
