"""The saltillo, the glottal stop of Náhuatl and Maya, which people write with five different marks."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from lit_llm.errors import ConfigError

LETTERS = "\u02bc\ua78c\ua78b"
"""Marks that are nothing else: the modifier letter apostrophe, and the saltillo small and large."""

QUOTES = "'\u2019`"
"""Marks that may be quotes or apostrophes as well."""

OPENING = {"'": "'", "\u2019": "\u2018", "`": "`"}
"""What opens a quotation that each of these may close."""


@dataclass(frozen=True)
class Saltillo:
    """One mark for every saltillo of the varied language in what is learned and asked, and another in answers.

    A quote is a saltillo behind a letter, unless it closes a quotation.

    Attributes:
        learned: the mark in training texts and in what is asked: ``'``, ``’``, ``ʼ``, ``ꞌ`` or `````.
        written: the mark in answers; by default as learned. References stay as they are, so it should be theirs.

    Raises:
        ConfigError: if it is none of these marks.
    """

    learned: str = "\u02bc"
    written: str | None = None

    def __post_init__(self) -> None:
        for name, mark in {"learned": self.learned, "written": self.written}.items():
            if mark is not None and mark not in (*LETTERS[:2], *QUOTES):
                known = ", ".join(f"{one!r} (U+{ord(one):04X})" for one in (*QUOTES, *LETTERS[:2]))
                raise ConfigError(f"data.init_args.saltillo.{name}: {mark!r} is no saltillo: use one of {known}")

    def asked(self, text: str) -> str:
        """Return a text with the mark that is learned."""
        return with_saltillo(text, self.learned)

    def answered(self, text: str) -> str:
        """Return an answer with the mark that is written."""
        return text if self.written is None else with_saltillo(text, self.written)


def with_saltillo(text: str, mark: str) -> str:
    """Return a text with one mark for every saltillo in it."""
    found = []
    opened: set[str] = set()
    for place, letter in enumerate(text):
        before = text[place - 1] if place else ""
        behind = text[place + 1] if place + 1 < len(text) else ""
        # Accents may stand apart from their letters.
        is_behind_letter = before.isalpha() or unicodedata.combining(before or " ") or before in (*LETTERS, *QUOTES)
        if letter in LETTERS:
            letter = mark
        elif letter in QUOTES and is_behind_letter and before:
            # Within a word, or before another of its kind, it closes nothing.
            if OPENING[letter] in opened and not behind.isalpha() and behind != letter:
                opened.discard(OPENING[letter])
            else:
                letter = mark
        elif letter in OPENING.values():
            opened.add(letter)
        found.append(letter)
    return "".join(found)
