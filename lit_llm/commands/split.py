"""``python -m lit_llm split``: one file becomes training, validation and test files that share nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_llm.errors import ConfigError, DataError
from lit_llm.paths import existing


def main(argv: Sequence[str] | None = None) -> int:
    """Split a file.

    Args:
        argv: the options; by default those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm split",
        description="Split a file so that exact and near duplicates, and rows of one document, stay together.",
    )
    parser.add_argument("file", type=existing, help="JSONL, CSV, TSV or Parquet file of all rows")
    parser.add_argument("--fields", required=True, help="texts to compare, each by itself, such as es,nah")
    parser.add_argument("--output", type=Path, required=True, help="folder for train.jsonl, valid.jsonl, test.jsonl")
    parser.add_argument("--valid", type=float, default=0.05, help="share of the rows (0.05); 0 for none")
    parser.add_argument("--test", type=float, default=0.05, help="share of the rows (0.05); 0 for none")
    parser.add_argument("--together", default="", help="fields whose equal values stay together, such as document")
    parser.add_argument("--near", type=float, default=0.7, help="least similarity of near duplicates (0.7)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (0)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of an earlier split")
    parser.add_argument("--delimiter", help="what separates the cells of a CSV or TSV file, such as ';'")
    parser.add_argument("--encoding", default="utf-8", help="of a text file (utf-8), such as windows-1252")
    parser.add_argument("--quoting", default="auto", choices=("auto", "csv", "none"), help="what quotes mean (auto)")
    parser.add_argument("--header", default="", help="names of the columns where no row names them, such as es,nah")
    options = parser.parse_args(argv)

    from lit_llm.data.hygiene.splitting import clusters, split
    from lit_llm.report.files import refuse_existing, write_together

    targets = {name: options.output / f"{name}.jsonl" for name in ("train", "valid", "test")}
    for path in targets.values():
        refuse_existing(path, "--output", options.overwrite)
    rows = _rows(options)
    sides = {name: _column(rows, name) for name in options.fields.split(",")}
    together = [_together(rows, name) for name in options.together.split(",") if name]
    found = clusters(sides, together, options.near)
    dealt = split(found, {"valid": options.valid, "test": options.test}, options.seed)
    # What an earlier split left in a part that this one has not would share rows with it.
    gone = [path for name, path in targets.items() if name not in dealt]
    write_together({targets[name]: [rows[place] for place in places] for name, places in dealt.items()}, gone)
    for name, places in dealt.items():
        print(f"{targets[name]}: {len(places):,} rows ({len(places) / len(rows):.1%})")
    largest = max(map(len, found))
    print(f"{len(rows):,} rows in {len(found):,} clusters that stay whole, the largest of {largest:,} rows")
    return 0


def _together(rows: Sequence[dict[str, Any]], name: str) -> list[str]:
    values = _column(rows, name)
    if len(rows) > 1 and len(set(values)) == 1 and values[0].strip():
        raise ConfigError(
            f"--together {name}: all {len(rows):,} rows have {values[0]!r} there, so that they cannot be split: name "
            "another field, or leave it out"
        )
    return values


def _rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    from lit_llm.data.records.layout import Layout
    from lit_llm.data.records.reading import read_rows

    try:
        header = tuple(options.header.split(",")) if options.header else True
        layout = Layout(options.delimiter, options.encoding, options.quoting, header)
        return read_rows(options.file, layout=layout)
    except (ConfigError, DataError) as error:
        # Readers name the settings of run files.
        raise type(error)(str(error).replace("data.init_args.", "--")) from error


def _column(rows: Sequence[dict[str, Any]], name: str) -> list[str]:
    if not any(name in row for row in rows):
        present = ", ".join(dict.fromkeys(key for row in rows for key in row))
        raise ConfigError(f"split: no row has a field {name!r}; there are {present}")
    return ["" if row.get(name) is None else str(row[name]) for row in rows]
