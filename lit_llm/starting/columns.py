"""Which column is what: guesses from names and values, and the answer to a name that is not there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from statistics import median
from typing import Any

from lit_llm.errors import ConfigError
from lit_llm.strict_json import JSONError, loads
from lit_llm.wording import listed

_COMMON = {
    "text": "text texto mensaje message input entrada prompt natural_language question pregunta instruction source"
    " utterance sentence frase oracion contenido content body cuerpo descripcion description document documento",
    "json": "json json_data salida output target answer respuesta label labels etiqueta result resultado completion",
    "id": "id uid uuid guid row_id identifier identificador",
    "dialect": "dialect dialecto variety variedad variant variante varieties lect region",
    "origin": "origin origen corpus provenance procedencia",
    "document": "document documento doc doc_id document_id",
    "together": "signer signer_id signante video_id video speaker performer subject session",
}
NAMES = {role: names.split(" ") for role, names in _COMMON.items()}
"""What columns are commonly called, likeliest first."""

LANGUAGES = {
    "es": "español",
    "en": "inglés",
    "nah": "náhuatl",
    "nhe": "náhuatl",
    "quy": "quechua",
    "aym": "aimara",
    "gn": "guaraní",
    "yua": "maya",
    "oto": "otomí",
    "pt": "portugués",
    "fr": "francés",
    "de": "alemán",
}
"""What the prompt calls the languages of common codes; others are called as their column is."""

_LONGER = {"spa": "es", "eng": "en", "esp": "es", "spanish": "es", "english": "en", "nahuatl": "nah", "espanol": "es"}

Rows = Sequence[Mapping[str, Any]]


def plain(name: str) -> str:
    """Return a column's name in small letters, without accents and with single underscores."""
    bare = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    return re.sub(r"\W+", "_", bare.strip().lower()).strip("_")


def present(option: str, name: str, columns: Sequence[str]) -> str:
    """Return a column that an option names.

    Raises:
        ConfigError: if there is none, naming the nearest.
    """
    if name in columns:
        return name
    by_plain = {plain(column): column for column in columns}
    near = [by_plain.get(plain(name), "")] if plain(name) in by_plain else get_close_matches(name, columns, 1, 0.5)
    hint = f"did you mean {near[0]!r}? (there are {listed(columns)})" if near else f"there are {listed(columns)}"
    raise ConfigError(f"{option}: the file has no column {name!r}; {hint}")


def by_name(role: str, columns: Sequence[str], taken: Sequence[str] = ()) -> str | None:
    """Return the column that is called as columns of a role commonly are."""
    free = {plain(column): column for column in columns if column not in taken}
    return next((free[name] for name in NAMES[role] if name in free), None)


def json_columns(rows: Rows, columns: Sequence[str], least: float = 0.5) -> list[str]:
    """Return the columns of which at least such a share is JSON objects or arrays, likeliest target first."""
    shares = {column: _share(rows, column, _is_json) for column in columns}
    found = [column for column in columns if shares[column] >= max(least, 1e-9)]
    names = NAMES["json"]
    return sorted(found, key=lambda column: names.index(plain(column)) if plain(column) in names else len(names))


def schema_column(rows: Rows, columns: Sequence[str]) -> str | None:
    """Return the column whose values are JSON schemas."""
    return next((column for column in columns if _share(rows, column, _is_schema) >= 0.5), None)


def text_columns(rows: Rows, columns: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """Return the columns of text, likeliest input first: those with a usual name, then those with longer values."""
    sizes = {c: _size(rows, c) for c in columns if c not in taken}
    names = NAMES["text"]

    def rank(column: str) -> tuple[int, float]:
        """Return what sorts the likeliest column first."""
        name = plain(column)
        return (names.index(name) if name in names else len(names), -sizes[column])

    return sorted((column for column, size in sizes.items() if size > 0), key=rank)


def language(column: str) -> str | None:
    """Return the language that a column's name is a code or a name of, as the prompt calls it."""
    for word in (plain(column), *plain(column).split("_")):
        code = _LONGER.get(word, word)
        if code in LANGUAGES:
            return LANGUAGES[code]
    return None


def _share(rows: Rows, column: str, test: Any) -> float:
    filled = [row[column] for row in rows if row.get(column) not in (None, "")]
    return sum(map(test, filled)) / len(filled) if filled else 0.0


def _is_json(value: Any) -> bool:
    if isinstance(value, str):
        # A broken object is an object still: what is wrong with it is said of the row.
        return value.lstrip()[:1] in ("{", "[") and value.rstrip()[-1:] in ("}", "]")
    return isinstance(value, dict | list)


def _is_schema(value: Any) -> bool:
    try:
        value = loads(value) if isinstance(value, str) else value
    except JSONError:
        return False
    return isinstance(value, dict) and ("$schema" in value or ("type" in value and "properties" in value))


def has_words(rows: Rows, column: str) -> bool:
    """Return whether a column holds texts of several words, rather than codes, numbers or labels of one."""
    return _share(rows, column, lambda value: isinstance(value, str) and " " in value.strip()) >= 0.3


def _size(rows: Rows, column: str) -> float:
    values = [row[column] for row in rows if isinstance(row.get(column), str) and row[column].strip()]
    if not values:
        return 0.0
    # Values that come again and again are labels; those without a blank are codes.
    different = len(set(values)) / len(values)
    words = sum(" " in value.strip() for value in values) / len(values)
    return float(median(map(len, values))) * different * (0.05 + words)
