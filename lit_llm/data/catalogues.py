"""Catalogues as people bring them: a table or a list of names becomes what answers are held to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock
from lightning.pytorch.utilities import rank_zero_info

from lit_llm.catalogues import Catalogue, FieldPath, Missing, field_path, write_catalogue
from lit_llm.catalogues.catalogue import FORMAT
from lit_llm.data.records.layout import Layout, Quoting
from lit_llm.data.records.reading import Column, Reader, stream_records
from lit_llm.data.stored.cache import cache_folder
from lit_llm.errors import ConfigError, DataError
from lit_llm.paths import similar
from lit_llm.schemas import Schema, has_field, refused_texts

SETTING = "data.init_args.catalogues"
TRIED = 20_000
"""Names of a catalogue that are held against the schema at most."""


@dataclass
class FieldCatalogue:
    """The names that the values of a field are taken from.

    Attributes:
        file: a table (CSV, TSV, JSONL, JSON, Parquet) with a name a row, or a ``.txt`` file with one a line.
        column: of the names, in a table; it may be left out where there is one column.
        delimiter: what separates the cells of a table, as in ``data``.
        encoding: how its letters are written as bytes, as in ``data``.
        quoting: what quotes in it mean, as in ``data``.
        missing: what becomes of a value that is no name of the catalogue: null (by default), the ``nearest`` name, or
            ``keep``. Decoding with ``JsonSchemaConstraint`` writes names of the catalogue alone unless it is ``keep``.
        most_distance: from which ``nearest`` takes a name, from 0 (the same but for accents and order of words) to 1
            (nothing in common); beyond it, null.
        candidates: how many names that the text may mean are added to what is asked; by default none.
    """

    file: str
    column: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    quoting: Quoting = "auto"
    missing: Missing = None
    most_distance: float = 1.0
    candidates: int | None = None


def catalogue_meta(fields: Mapping[str, FieldCatalogue], schema: Schema | None = None) -> dict[str, dict[str, Any]]:
    """Make the catalogues of fields, where they are not kept yet, and return what rows carry of them.

    Args:
        fields: by the name of the field.
        schema: that answers have to meet.

    Raises:
        ConfigError: if the schema has no such field or refuses a name, or a file cannot be read as a catalogue.
    """
    found = {}
    for name, field in fields.items():
        setting = f"{SETTING}.{name}"
        path_of_field = field_path(name, SETTING)
        if schema is not None and not has_field(schema, path_of_field):
            raise ConfigError(
                f"{setting}: data.init_args.schema has no such field: write it as tables of scores name it, with [] "
                "behind a list"
            )
        path = Path(field.file)
        if not path.is_file():
            raise ConfigError(f"{setting}.file: there is no {path}{similar(path)}")
        try:
            folder = str(_kept(path, field))
            if schema is not None:
                _refuse_unwritable(Catalogue.opened(folder), schema, path_of_field)
        except (ConfigError, DataError) as error:
            # Whoever reads a table names the settings of the data's own.
            settings = ("delimiter", "encoding", "quoting", "header", "column")
            said = re.sub(rf"data\.init_args\.(?={'|'.join(settings)})", f"{setting}.", str(error))
            raise ConfigError(said if said.startswith(setting) else f"{setting}: {said}") from error
        found[name] = {"folder": folder, "missing": field.missing, "most_distance": field.most_distance}
    return found


def _refuse_unwritable(catalogue: Catalogue, schema: Schema, path: FieldPath) -> None:
    # Of very many, some that are evenly spread: a schema that refuses names seldom refuses few.
    every = max(1, len(catalogue) // TRIED)
    names = [catalogue.name(number) for number in range(0, len(catalogue), every)]
    if refused := refused_texts(schema, path, names):
        raise DataError(
            f"{len(refused):,} of its {len(names):,} names are none that data.init_args.schema allows there, such as "
            f"{refused[0]!r}: widen the schema's maxLength, minLength, pattern or enum, or take them out"
        )


def offered(text: str, fields: Mapping[str, FieldCatalogue], meta: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what stands behind a text: names that it may mean, by the last key of their field; empty without any."""
    lines = []
    for name, field in fields.items():
        names = Catalogue.opened(meta[name]["folder"]).mentioned(text, field.candidates or 0)
        key = next((part for part in reversed(field_path(name, SETTING)) if part is not None), name)
        # A name must not be taken for the place of the text.
        lines += [f"{key}: {' | '.join(names).replace('{text}', '{ text }')}"] if names else []
    return "".join(f"\n{line}" for line in lines)


def _kept(path: Path, field: FieldCatalogue) -> Path:
    """Return the folder of a file's catalogue, made once for all runs and processes."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    key = hashlib.sha256(
        repr([FORMAT, content, path.suffix.lower(), field.column, *_layout(field)]).encode()
    ).hexdigest()[:32]
    folder = cache_folder().parent / "catalogues" / key
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_name(f"{key}.lock")):
            if not folder.is_dir():
                count = write_catalogue(_names(path, field), folder)
                rank_zero_info(f"{path}: a catalogue of {count:,} names")
    except OSError as error:
        raise ConfigError(f"{path}: its catalogue cannot be kept in {folder.parent}: {error}") from error
    return folder


def _layout(field: FieldCatalogue) -> tuple[str | None, str, Quoting]:
    return field.delimiter, field.encoding, field.quoting


def _names(path: Path, field: FieldCatalogue) -> Iterator[str]:
    reader = Reader(Layout(*_layout(field)))
    if path.suffix.lower() == ".txt":
        try:
            yield from path.read_text(encoding=field.encoding).removeprefix("\ufeff").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}: it is not {field.encoding} at byte {error.start}: set data.init_args.encoding"
            ) from error
        return
    name = field.column or _only_column(path, reader)
    for record in stream_records(path, {"name": Column(name, required=False, expected=True)}, reader=reader):
        yield record.values["name"] or ""


def _only_column(path: Path, reader: Reader) -> str:
    stream_records(path, {}, reader=reader)
    first, *others = reader.seen[path]
    if others:
        raise DataError(f"{path}: it has the columns {', '.join([first, *others])}: name one in data.init_args.column")
    return first
