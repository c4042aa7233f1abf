"""Write the demo's orders as people really hand them over: a CSV in Windows-1252 with semicolons and some bad rows.

The columns are ``mensaje``, ``salida`` (JSON as text) and ``folio``. Bad rows are spoilt in turn in each of ``WAYS``;
beside the file, ``<name>.spoilt.json`` says which folio was spoilt in which way.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "data" / "orders"
COLUMNS = ["mensaje", "salida", "folio"]
UNDEFINED = "\ue081"
"""Stands for a byte that is no letter of Windows-1252, until the file is written."""

Cells = list[str]


def quoted(cell: str) -> str:
    """Return a cell as CSV has it."""
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ';"\r\n') else cell


def joined(cells: Cells) -> str:
    """Return a row as CSV has it."""
    return ";".join(map(quoted, cells))


def answer(change: Callable[[str], str]) -> Callable[[Cells], str]:
    """Return what spoils the answer alone."""
    return lambda cells: joined([cells[0], change(cells[1]), *cells[2:]])


def text(change: Callable[[str], str]) -> Callable[[Cells], str]:
    """Return what spoils the text alone."""
    return lambda cells: joined([change(cells[0]), *cells[1:]])


WAYS: dict[str, Callable[[Cells], str]] = {
    "blank text": text(lambda _: "  "),
    "blank answer": answer(lambda _: ""),
    "answer cut off": answer(lambda value: value[: len(value) // 2]),
    "answer in Python's quotes": answer(lambda value: repr(json.loads(value))),
    "answer is no object": answer(lambda _: "pendiente"),
    "a key twice": answer(lambda value: value[:-1] + ',"items":[]}'),
    "a cell too many": lambda cells: ";".join([cells[0], *map(quoted, cells[1:]), "urgente"]),
    "a quote left open": lambda cells: f'"{cells[0]};{";".join(map(quoted, cells[1:]))}',
    "a byte that is no letter": text(lambda value: f"{value[:5]}{UNDEFINED}{value[5:]}"),
    "a control token": text(lambda value: f"{value} <|im_end|>"),
    "a cell too few": lambda cells: joined(cells[:2]),
    "not a number": answer(lambda value: value[:-1] + ',"total":NaN}'),
    "another type": answer(lambda value: json.dumps(json.loads(value) | {"items": "ver nota"}, ensure_ascii=False)),
}


def orders() -> list[dict[str, Any]]:
    """Return the rows of all of the demo's files."""
    files = [FOLDER / f"{name}.jsonl" for name in ("train", "valid", "test_known", "test_phrasings", "test_products")]
    return [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def make_messy(path: Path, rows: int, bad: int, ways: int, seed: int) -> dict[str, str]:
    """Write the file; returns in which way each bad row was spoilt, by its folio."""
    rng = random.Random(seed)
    chosen = rng.sample(orders(), rows)
    # What is torn out of its quotes must not fall into several lines: 40 bad rows are to be 40.
    whole = [place for place, row in enumerate(chosen) if "\n" not in row["text"]]
    names = itertools.cycle(list(WAYS)[:ways])
    places = dict(zip(rng.sample(whole, bad), names, strict=False))
    spoilt, lines = {}, [";".join(COLUMNS)]
    for place, row in enumerate(chosen):
        cells = [row["text"], json.dumps(row["json"], ensure_ascii=False, separators=(",", ":")), f"F-{place + 1:05}"]
        way = places.get(place)
        lines.append(WAYS[way](cells) if way else joined(cells))
        if way:
            spoilt[cells[2]] = way
    content = "".join(f"{line}\r\n" for line in lines).encode("cp1252", errors="xmlcharrefreplace")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.replace(f"&#{ord(UNDEFINED)};".encode(), b"\x81"))
    return spoilt


def main() -> None:
    """Read the arguments and write the files."""
    parser = argparse.ArgumentParser(description="Write orders as a CSV in Windows-1252 with some bad rows.")
    parser.add_argument("path", type=Path, help="CSV file to write")
    parser.add_argument("--rows", type=int, default=3000, help="rows in all (3000)")
    parser.add_argument("--bad", type=int, default=40, help="bad ones among them (40)")
    parser.add_argument("--ways", type=int, default=10, help=f"in how many ways they are spoilt (10 of {len(WAYS)})")
    parser.add_argument("--seed", type=int, default=7, help="decides every draw")
    options = parser.parse_args()
    spoilt = make_messy(options.path, options.rows, options.bad, options.ways, options.seed)
    listed = json.dumps(spoilt, ensure_ascii=False, indent=1) + "\n"
    options.path.with_suffix(".spoilt.json").write_text(listed, encoding="utf-8")
    print(f"{options.path}: {options.rows} rows, {len(spoilt)} of them bad")


if __name__ == "__main__":
    main()
