"""``python -m lit_llm init``: from a person's own file to a folder that a run starts from."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lit_llm.errors import ConfigError, DataError
from lit_llm.wording import typed

OTHER_KINDS = {
    ".xlsx": "save the sheet as CSV (Save as, CSV UTF-8)",
    ".xls": "save the sheet as CSV (Save as, CSV UTF-8)",
    ".ods": "save the sheet as CSV (Save as, Text CSV)",
    ".numbers": "export the sheet as CSV",
    ".docx": "copy its table into a spreadsheet and save that as CSV",
    ".pdf": "copy its table into a spreadsheet and save that as CSV",
    ".zip": "unpack it, and name the file inside: unzip {path}",
    ".tar": "unpack it, and name the file inside: tar -xf {path}",
    ".tgz": "unpack it, and name the file inside: tar -xf {path}",
    ".gz": "unpack it: gunzip -k {path}",
    ".bz2": "unpack it: bunzip2 -k {path}",
    ".xz": "unpack it: unxz -k {path}",
    ".zst": "unpack it: unzstd {path}",
}

EPILOG = """examples:
  init extraction orders.csv                        columns are guessed
  init extraction orders.csv --text mensaje --json salida
  init translation es.txt nah.txt                   two files, line by line
  init translation pairs.tsv --languages es,nah --dialect variante
  init sign clips/ sentences.csv

docs/own_data.md says what is guessed and how; `fit --help` lists what can be set
in run.yaml.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Look at a file, divide it and write a folder with a run file.

    Args:
        argv: the options; by default those of the process.
    """
    options = _parser().parse_args(argv)
    for path in options.files:
        _check(path, folder=options.task == "sign" and path == options.files[0])

    from lit_llm.starting.start import Options, start

    start(
        Options(
            task=options.task,
            files=options.files,
            output=options.output,
            overwrite=options.overwrite,
            columns={name: getattr(options, name) for name in ("text", "json", "id", "clip")},
            facts={name: getattr(options, name) for name in ("dialect", "origin", "document")},
            languages=_languages(options.languages),
            layout=_layout(options),
            backbone=options.backbone,
            seed=options.seed,
            measure=options.measure,
            minutes=options.minutes,
        )
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lit_llm init",
        usage="%(prog)s TASK FILES [options]",
        description="Make a folder with a run file from your own data: columns are found, bad\n"
        "rows listed, rows divided into training, validation and test, and a first\n"
        "run is timed.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "task", metavar="TASK", choices=("extraction", "translation", "sign"), help="extraction, translation or sign"
    )
    parser.add_argument(
        "files", metavar="FILES", type=Path, nargs="+", help="CSV, TSV, JSONL, JSON or Parquet; see the examples"
    )
    parser.add_argument(
        "--output", metavar="DIR", type=Path, help="folder to write (named after the file, in the current one)"
    )
    parser.add_argument("--overwrite", action="store_true", help="move a folder that is in the way aside")
    parser.add_argument("--text", metavar="NAME", help="column of the text or sentence")
    parser.add_argument("--json", metavar="NAME", help="column of the JSON value")
    parser.add_argument("--id", metavar="NAME", help="column of ids")
    parser.add_argument(
        "--languages", metavar="A,B", default="", help="two columns or files, such as es,nah or es=español,nah=náhuatl"
    )
    parser.add_argument("--dialect", metavar="NAME", help="column of a pair's variety")
    parser.add_argument("--origin", metavar="NAME", help="column of where a pair comes from")
    parser.add_argument("--document", metavar="NAME", help="column of the document; its rows stay in one split")
    parser.add_argument("--clip", metavar="NAME", help="column of the names of clips")
    parser.add_argument("--delimiter", metavar="MARK", help="what separates cells, such as ';'")
    parser.add_argument("--encoding", metavar="NAME", help="such as windows-1252")
    parser.add_argument("--quoting", choices=("csv", "none"), help="whether quotes stand around cells or are letters")
    parser.add_argument(
        "--header", metavar="A,B,…", help="names of the columns where no row has them, such as mensaje,salida"
    )
    parser.add_argument("--backbone", metavar="BASE", help="hub id or folder of the base (what fits this machine)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of the split and the run (0)")
    parser.add_argument(
        "--minutes", metavar="N", type=float, default=10.0, help="about how long training may take on a CPU (10)"
    )
    parser.add_argument(
        "--measure",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="time a few steps to tell how long a run takes",
    )
    return parser


def _check(path: Path, *, folder: bool) -> None:
    """Refuse a path that cannot be read, before anything heavy is imported."""
    if not path.exists():
        near = get_close_matches(path.name, [file.name for file in path.parent.glob("*")], n=1, cutoff=0.5)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        absent = "" if path.parent.is_dir() else f"; its folder {path.parent} does not exist either"
        raise DataError(f"{path}: no such file{hint or absent}")
    if folder != path.is_dir():
        kind = "is a file; the folder of clips comes first" if folder else "is a folder; name a file in it"
        raise DataError(f"{path}: {kind}")
    if remedy := OTHER_KINDS.get(path.suffix.lower()):
        raise DataError(f"{path}: {path.suffix} files are not read: {remedy.format(path=typed(path))}")
    if path.is_file() and not path.stat().st_size:
        raise DataError(f"{path}: is empty")


def _layout(options: argparse.Namespace) -> dict[str, Any]:
    told = {name: value for name in ("delimiter", "encoding", "quoting") if (value := getattr(options, name))}
    names = [name.strip() for name in (options.header or "").split(",")]
    return told | ({"header": tuple(names)} if options.header else {})


def _languages(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if names and (len(names) != 2 or names[0].partition("=")[0] == names[1].partition("=")[0]):
        raise ConfigError(f"--languages: {text!r} is not two names such as es,nah")
    return names
