"""Blinded sheets for people who judge translations, and their scores."""

from __future__ import annotations

import csv
import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lit_llm.batch import Prediction
from lit_llm.errors import ConfigError, DataError
from lit_llm.metrics.corpus import grouped
from lit_llm.report.comparison import translations
from lit_llm.report.files import write_report

COLUMNS = ("code", "source", "reference", "hypothesis", "adequacy", "fluency", "errors", "comment")
"""Columns of a sheet; people fill in ``adequacy`` and ``fluency`` (1 to 5), and may tag errors, separated by commas."""

RATINGS = ("adequacy", "fluency")
SCALE = range(1, 6)


@dataclass(frozen=True)
class Judged:
    """What people thought of one system.

    Attributes:
        rows: judged rows.
        means: of each rating.
        half_intervals: half the width of its 95 % bootstrap interval.
        errors: how often each error was tagged.
    """

    rows: int
    means: dict[str, float]
    half_intervals: dict[str, float]
    errors: dict[str, int]


def choose(rows: Sequence[Prediction], count: int, by: Sequence[str], seed: int) -> list[str]:
    """Return ids of rows drawn from every stratum in proportion to its size, at least one of each while there is room.

    Args:
        rows: of one system.
        count: how many to draw.
        by: facts that define the strata, such as ``dialect`` and ``length``.
        seed: of the draw.
    """
    if count < 1 or count > len(rows):
        raise ConfigError(f"--rows: {count} cannot be drawn from {len(rows)} rows")
    rng = random.Random(seed)
    strata = [[row.meta["id"] for row in members] for members in grouped(translations(rows), by).values()]
    rng.shuffle(strata)
    first = int(count >= len(strata))
    left, size = count - first * len(strata), len(rows) - first * len(strata)
    quota = [left * (len(stratum) - first) / max(1, size) for stratum in strata]
    taken = [first + int(part) for part in quota]
    order = sorted(range(len(strata)), key=lambda k: int(quota[k]) - quota[k])
    for k in order[: count - sum(taken)]:
        taken[k] += 1
    return [row_id for stratum, size in zip(strata, taken, strict=True) for row_id in rng.sample(stratum, size)]


def make_sheet(
    systems: Mapping[str, Sequence[Prediction]], ids: Sequence[str], seed: int, sheet: Path, key: Path
) -> None:
    """Write the rows of all systems in random order under codes that say nothing, and a key to the codes.

    Args:
        systems: rows by system.
        ids: rows to judge.
        seed: of codes and order.
        sheet: CSV file for people.
        key: JSON file for ``score_sheet``; judges must not see it.
    """
    entries = []
    for system, rows in systems.items():
        by_id = {row.id: row for row in rows}
        for row_id in ids:
            digest = hashlib.blake2b(f"{seed}\0{system}\0{row_id}".encode(), digest_size=5)
            entries.append((digest.hexdigest(), system, by_id[row_id]))
    # The codes are hashes, so their order is random and tells nothing of rows or systems.
    entries.sort(key=lambda entry: entry[0])
    sheet.parent.mkdir(parents=True, exist_ok=True)
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerows((code, row.text, row.reference, row.prediction, "", "", "", "") for code, _, row in entries)
    codes = {code: {"system": system, "id": row.id} for code, system, row in entries}
    write_report(key, codes)


def score_sheet(sheet: Path, key: Path, samples: int = 1000, seed: int = 12345) -> dict[str, Judged]:
    """Read a filled-in sheet.

    Raises:
        DataError: if a rating is missing or not from 1 to 5, or the sheet does not belong to the key.
    """
    rows = _read(sheet)
    try:
        codes: dict[str, dict[str, str]] = json.loads(key.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{key}: cannot be read as JSON ({error})") from error
    if {row["code"] for _, row in rows} != set(codes) or len(rows) != len(codes):
        raise DataError(f"{sheet}: its codes are not those of {key}: keep every row of the sheet, and use its own key")
    ratings: defaultdict[str, list[list[int]]] = defaultdict(list)
    errors: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for line, row in rows:
        system = codes[row["code"]]["system"]
        ratings[system].append([_rating(sheet, line, name, row[name]) for name in RATINGS])
        errors[system].update(tag.strip() for tag in (row["errors"] or "").split(",") if tag.strip())
    rng = np.random.default_rng(seed)
    return {system: _judged(np.array(found), errors[system], rng, samples) for system, found in sorted(ratings.items())}


def _judged(found: np.ndarray, errors: Counter[str], rng: np.random.Generator, samples: int) -> Judged:
    drawn = found[rng.choice(len(found), size=(samples, len(found)), replace=True)].mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return Judged(
        len(found),
        dict(zip(RATINGS, found.mean(axis=0).tolist(), strict=True)),
        dict(zip(RATINGS, ((high - low) / 2).tolist(), strict=True)),
        dict(errors.most_common()),
    )


def _read(sheet: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        with sheet.open(encoding="utf-8-sig", newline="") as file:
            sample = file.readline()
            file.seek(0)
            # Spreadsheets of Spanish-speaking countries write semicolons.
            reader = csv.DictReader(file, delimiter=";" if sample.count(";") > sample.count(",") else ",")
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{sheet}: cannot be read as UTF-8 text ({error})") from error
    if missing := [name for name in ("code", *RATINGS, "errors") if name not in (reader.fieldnames or [])]:
        raise DataError(f"{sheet}:1: field {missing[0]!r} is missing from the header; keep the sheet's columns")
    return rows


def _rating(sheet: Path, line: int, name: str, value: str) -> int:
    text = (value or "").strip()
    if text not in map(str, SCALE):
        raise DataError(f"{sheet}:{line}: field {name!r}: {text!r} is not a whole number from 1 to 5")
    return int(text)
