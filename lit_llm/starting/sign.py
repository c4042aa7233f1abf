"""A folder of clips and a table of sentences become the data of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_llm.data.clips import read_clip
from lit_llm.data.records.faults import Fault
from lit_llm.data.records.reading import Column, Record
from lit_llm.errors import ConfigError, DataError
from lit_llm.starting.columns import by_name, present, text_columns
from lit_llm.starting.nesting import refuse_nested
from lit_llm.starting.plan import Plan
from lit_llm.starting.tables import Table
from lit_llm.wording import many

KINDS = (".npy", ".npz", ".pose", ".pt", ".h5")
TABLES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
MANIFEST = ("id", "path", "length", "split", "key")
"""What a manifest says itself of a clip."""

VIDEO = "video_id"
LEAST_VIDEOS = 5
UNKNOWN = "equal sentences stay in one split; who signs is not known, so one person may be in all of them"


def table_of(folder: Path) -> Path:
    """Return the one table in a folder of clips.

    Raises:
        ConfigError: if there is none, or several.
    """
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in TABLES)
    if len(found) != 1:
        listed = ", ".join(path.name for path in found[:5]) or "none"
        raise ConfigError(f"init sign: name the table of sentences after the folder; {folder} has {listed}")
    return found[0]


def plan_sign(folder: Path, table: Table, text: str | None, clip: str | None) -> Plan:
    """Return how clips and their sentences are learned from.

    Args:
        folder: of the clips, in it or below.
        table: their sentences.
        text: column of the sentence; by default guessed.
        clip: column of the file's name, with or without its ending; by default guessed.

    Raises:
        ConfigError: if a column is not there, or no clip is.
    """
    files = _files(folder)
    clip = present("--clip", clip, table.columns) if clip else _clip_column(table, files)
    text = present("--text", text, table.columns) if text else _text_column(table, clip)
    records = table.records({"text": Column(text), "clip": Column(clip, "id")})
    together = by_name("together", table.columns, [clip, text]) or _videos(records)
    usual = [name for name in ("lang", "video_id") if name in table.columns and name not in (text, clip)]
    keep = [name for name in table.kept([text, clip, *usual]) if name not in MANIFEST]
    plan = Plan(
        "sign",
        [table.path],
        "lit_llm.data.SignData",
        {"clips": str(folder.resolve()), "instruction": "{lang}:"} | table.settings(keep),
        [],
        [],
        compared=[] if together else ["text"],
        together=[together] if together else [],
        faults=list(table.faults),
    )
    ids = Counter(record.values["clip"] for record in records)
    for record in records:
        _add(plan, folder, files, record, table.raw[record.line], [*usual, *keep], ids)
    if together == VIDEO:
        for row in plan.rows:
            row.setdefault(VIDEO, row["id"].rpartition("-")[0])
    plan.findings = [
        *table.findings,
        f"{many(len(set(files.values())), 'clip')} below {folder}",
        f"sentences are in {text!r} (--text names another column), names of clips in {clip!r} (--clip)",
        f"clips of one {together!r} stay in one split" if together else UNKNOWN,
    ]
    return plan


def _videos(records: Sequence[Record]) -> str | None:
    """Return the column that will hold the video of a clip, where names such as ``v12-3`` tell it for enough videos."""
    names = [Path(str(record.values["clip"])).stem.rpartition("-") for record in records]
    videos = Counter(video for video, _, number in names if video and number.isdecimal())
    whole = sum(videos.values()) == len(names)
    return VIDEO if whole and len(videos) >= LEAST_VIDEOS and max(videos.values()) < 0.5 * len(names) else None


def _add(
    plan: Plan, folder: Path, files: dict[str, Path], record: Record, raw: dict[str, Any], more: Sequence[str], ids: Any
) -> None:
    name = str(record.values["clip"])
    path = files.get(name) or files.get(Path(name).stem)
    reason = f"{folder} has no clip {name!r}" if path is None else _fault(path, plan)
    if ids[name] > 1 and reason is None:
        reason = f"{name!r} is the clip of {ids[name]} rows; which sentence is its own?"
    if reason or path is None:
        plan.faults.append(Fault(record.path, record.line, reason or "", "clip", raw, name))
        return
    row = {"id": Path(name).stem, "path": str(path.relative_to(folder)), "text": record.values["text"]}
    plan.rows.append(row | {key: raw.get(key) for key in more if raw.get(key) not in (None, "")})
    plan.lines.append(record.line)


def _fault(path: Path, plan: Plan) -> str | None:
    """Return why a clip cannot be used, the size of its frames being that of the first."""
    import numpy as np

    try:
        values = read_clip(path, None, None).values
    except (DataError, OSError, ValueError) as error:
        return str(error).removeprefix(f"{path}: ")
    if not len(values):
        return "the clip has no frames"
    if not np.isfinite(values).all():
        return "the clip holds numbers that are not finite"
    size = plan.__dict__.setdefault("_frame", values.shape[1:])
    return None if values.shape[1:] == size else f"the clip has frames of {values.shape[1:]}, those before it {size}"


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise ConfigError(f"init sign: {folder} is no folder; name the folder of clips, then the table of sentences")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in KINDS)
    if not found:
        others = Counter(path.suffix or "no ending" for path in folder.rglob("*") if path.is_file())
        listed = ", ".join(many(count, f"{suffix} file") for suffix, count in others.most_common(4))
        holds = f"holds {listed}, but no clip" if listed else "is empty: it holds no clip"
        raise ConfigError(f"init sign: {folder} {holds} ({', '.join(KINDS)})")
    return {path.stem: path for path in found} | {path.name: path for path in found}


def _clip_column(table: Table, files: dict[str, Path]) -> str:
    """Return the column whose values name files."""
    rows = table.sample()
    hits = {
        c: sum(Path(str(row.get(c))).stem in files or str(row.get(c)) in files for row in rows) for c in table.columns
    }
    best = max(hits, key=lambda column: hits[column])
    if not hits[best]:
        shown = ", ".join(repr(str(row.get(table.columns[0])))[:40] for row in rows[:3])
        stems = ", ".join(repr(stem) for stem in list(files)[:3])
        raise ConfigError(
            f"{table.path}: no column names a clip (values such as {shown}; clips such as {stems}); name it with --clip"
        )
    return best


def _text_column(table: Table, clip: str) -> str:
    refuse_nested(table, texts=1, values=False)
    found = text_columns(table.sample(), table.columns, [clip])
    if not found:
        raise ConfigError(f"{table.path}: no column but {clip!r} holds text: name that of the sentences with --text")
    return found[0]
