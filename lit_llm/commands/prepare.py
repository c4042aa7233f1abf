"""``python -m lit_llm prepare sign``: a folder of clips and a table of sentences become a manifest and one array.

``prepare documents`` is in ``documents.py``.
"""

from __future__ import annotations

import argparse
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lit_llm.commands import documents
from lit_llm.errors import ConfigError, DataError
from lit_llm.paths import existing

if TYPE_CHECKING:
    from lit_llm.data.clips import Clip
    from lit_llm.data.clips.caching import Report, Source

_UID = re.compile(r"(.+)-(\d+)")
_SUFFIX = re.compile(r"_(?:w|d|e\d*)$")
NO_FILE = "there is no such file"


def main(argv: Sequence[str] | None = None) -> int:
    """Prepare a data set.

    Args:
        argv: the options; by default those of the process.

    Returns:
        0, or 1 if too few rows have a clip that can be used.
    """
    parser = argparse.ArgumentParser(prog="python -m lit_llm prepare", description="Prepare raw data for training.")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    sign = kinds.add_parser("sign", help="clips of sign language: poses or features and their sentences")
    sign.add_argument(
        "table", type=existing, help="JSONL, CSV or TSV with a column of ids or paths, and one of sentences"
    )
    sign.add_argument(
        "--clips", type=Path, required=True, help="folder or zip file of clips; of one in parts, any part"
    )
    sign.add_argument("--output", type=Path, required=True, help="folder for manifest.csv, features.npy, report.json")
    sign.add_argument("--id", default="uid", help="column of ids, which name files without their ending (uid)")
    sign.add_argument("--text", default="text", help="column of sentences (text)")
    sign.add_argument("--suffix", help="ending of files that ids name, such as .npy (the one that is there)")
    sign.add_argument("--lang", default="", help="language of the sentences, where the table has no column lang")
    sign.add_argument("--least-match", type=float, default=0.9, help="least share of rows with a usable clip (0.9)")
    sign.add_argument("--overwrite", action="store_true", help="replace what an earlier run has written")
    documents.add_options(kinds.add_parser("documents", help="texts, or questions about texts, into passages"))
    options = parser.parse_args(argv)
    if options.kind == "documents":
        return documents.prepare(options)

    from rich.progress import track

    from lit_llm.data.clips.caching import cache_clips
    from lit_llm.report.files import refuse_existing

    refuse_existing(options.output / "manifest.csv", "--output", options.overwrite)
    sources = list(_sources(options))
    note = _own_videos(sources)
    shown = track(sources, description="reading clips")
    report = cache_clips(shown, options.output, least_match=options.least_match)
    _show(report, options.output, note)
    if report.match < options.least_match:
        print(
            f"only {report.match:.1%} of the rows have a clip, less than --least-match {options.least_match}: "
            "report.json says why, and nothing else was written"
        )
        return 1
    return 0


def video_of(uid: str) -> str:
    """Return the video that a clip was cut from: ``abc-7`` and ``abc-7_w`` are both of ``abc``; else the id itself."""
    match = _UID.fullmatch(_SUFFIX.sub("", uid))
    return _SUFFIX.sub("", match[1]) if match else uid


def _own_videos(sources: Sequence[Source]) -> str:
    """Let every clip be of its own video where all ids name one, and return how many videos there are and why."""
    videos = {source.facts["video_id"] for source in sources}
    derived = [source for source in sources if source.facts["video_id"] == video_of(source.facts["id"])]
    if len(sources) > 1 and len(videos) == 1 and len(derived) == len(sources):
        for source in sources:
            source.facts["video_id"] = source.facts["id"]
        return f"each clip is its own: by their ids all would be of {videos.pop()!r}; a column video_id says otherwise"
    return f"{len(videos):,}, by the column video_id where it is filled, else by the ids"


def _sources(options: argparse.Namespace) -> Iterator[Source]:
    from lit_llm.data.clips.caching import Source
    from lit_llm.data.records.reading import Column, read_records

    columns = {
        "uid": Column(options.id, kind="id", required=False),
        "text": Column(options.text),
        **{name: Column(name, required=False) for name in ("path", "lang", "split")},
        **{name: Column(name, kind="id", required=False) for name in ("video_id", "key")},
    }
    read, named = _reader(options.clips)
    for record in read_records(options.table, columns):
        values = record.values
        if not values["uid"] and not values["path"]:
            raise DataError(f"{record.place}: it has neither {options.id!r} nor 'path'; name the column of ids by --id")
        name = values["uid"] or Path(values["path"]).stem
        facts = {
            "id": name,
            "text": values["text"],
            "lang": values["lang"] or options.lang,
            "split": values["split"] or "",
            "video_id": values["video_id"] or video_of(name),
        }
        file = values["path"] or named(name, options.suffix)
        yield Source(str(options.clips / file), facts, lambda file=file, key=values["key"]: read(file, key))  # type: ignore[misc]


def _reader(clips: Path) -> tuple[Callable[[str, str | None], Clip], Callable[[str, str | None], str]]:
    """Return what reads a clip by its file's name, from a folder or a zip file, and what names the file of an id."""
    from lit_llm.data.clips import ClipError, read_clip
    from lit_llm.data.clips.archive import is_zip, open_zip

    if not is_zip(clips):
        if not clips.is_dir():
            raise ConfigError(f"prepare: --clips {clips} is neither a folder nor a zip file")
        names = [path.name for path in clips.iterdir()]

        def read_file(name: str, key: str | None) -> Clip:
            """Return a file of the folder."""
            if not (clips / name).exists():
                raise ClipError(f"{clips / name}: ", NO_FILE, f": the folder has {_endings(names)}")
            return read_clip(clips / name, key)

        return read_file, _naming(clips, names)
    try:
        archive = open_zip(clips)
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"prepare: --clips {clips} cannot be opened as a zip file: {error}") from error
    members: dict[str, list[str]] = {}
    for member in archive.namelist():
        for known in {member, Path(member).name}:
            members.setdefault(known, []).append(member)

    def read(name: str, key: str | None) -> Clip:
        """Return a member of the archive."""
        found = members.get(name) or members.get(Path(name).name, [])
        if len(found) != 1:
            reason = "the archive has several files of that name" if found else NO_FILE
            raise ClipError(f"{clips}/{name}: ", reason, "" if found else f": the archive has {_endings(members)}")
        try:
            content = archive.read(found[0])
        except (OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ClipError(f"{clips}/{name}: ", "the archive is damaged there", f" ({error})") from error
        return read_clip(clips / name, key, content=content)

    return read, _naming(clips, [Path(member).name for member in archive.namelist()])


def _naming(clips: Path, names: Iterable[str]) -> Callable[[str, str | None], str]:
    """Return what gives the file of an id: with an ending as it is given, else with the one that is there."""
    from lit_llm.data.clips.reading import SUFFIXES

    present: dict[str, set[str]] = {}
    for name in names:
        if Path(name).suffix.lower() in SUFFIXES:
            present.setdefault(Path(name).stem, set()).add(name)

    def named(uid: str, suffix: str | None) -> str:
        """Return the name of an id's file."""
        if suffix is not None:
            return f"{uid}.{suffix.lstrip('.')}"
        found = sorted(present.get(uid, ()))
        if len(found) > 1:
            raise ConfigError(
                f"prepare: {clips} has {' and '.join(found)} for {uid!r}: choose by --suffix, such as .npy"
            )
        return found[0] if found else uid

    return named


def _endings(names: Iterable[str]) -> str:
    """Return the endings of some files and how many have each, the commonest first."""
    counts = Counter(Path(name).suffix or "no ending" for name in names)
    return ", ".join(f"{suffix} ({count:,})" for suffix, count in counts.most_common(5)) or "no file"


def _show(report: Report, folder: Path, videos: str) -> None:
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    title = Text(str(folder / "manifest.csv"), overflow="fold")
    table = Table("", Column(overflow="fold"), title=title, show_header=False)
    table.add_row("clips", f"{report.kept:,} of {report.rows:,} ({report.match:.1%})")
    table.add_row("frames", f"{report.frames:,}, from {report.shortest} to {report.longest} a clip")
    table.add_row("points not seen", f"{report.missing_points:.1%}")
    table.add_row("videos", videos)
    for fault, count in sorted(report.faults.items(), key=lambda item: -item[1])[:8]:
        table.add_row("left out", Text(f"{count:,}: {fault}"), style="red")
    console = Console()
    console.print(table)
    for example in report.examples[:3]:
        console.print(f"left out: {example}", style="dim", highlight=False, markup=False)
