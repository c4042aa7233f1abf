"""One spelling of Náhuatl for training targets, by py-elotl's normaliser."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import Any, Literal

from lit_llm.errors import ConfigError

_WORD = re.compile(r"[^\W\d_]+")
_MARKS = {"\u0304"}
"""Macrons, which the normaliser does not read."""


class NahuatlOrthography:
    """Writes texts in one orthography, for targets of training; references stay as they are.

    The normaliser is made for Náhuatl and spoils Spanish words among it, writes everything in lower case and knows no
    macrons; so capitals are put back where a word had them, and words with a macron are left alone. It is off unless it
    is named, and scores after it are not comparable with those of others.

    Args:
        name: ``ack`` (Andrews, Campbell & Karttunen), ``inali``, ``sep`` or ``ilv``.

    Raises:
        ConfigError: if the package elotl is not installed.
    """

    def __init__(self, name: Literal["ack", "inali", "sep", "ilv"] = "ack") -> None:
        self.name = name

    @cached_property
    def _normalizer(self) -> Any:
        try:
            from elotl.nahuatl.orthography import Normalizer
        except ImportError as error:
            raise ConfigError(
                "data.init_args.orthography: it needs the package elotl: pip install -e '.[nahuatl]'"
            ) from error
        return Normalizer(self.name)

    def write(self, text: str) -> str:
        """Return the text with every word in this orthography."""
        return _WORD.sub(lambda match: self._word(match.group()), text)

    def _word(self, word: str) -> str:
        if _MARKS & set(unicodedata.normalize("NFD", word)):
            return word
        written = str(self._normalizer.normalize(word.lower())).strip() or word
        if word.isupper() and len(word) > 1:
            return written.upper()
        return written[:1].upper() + written[1:] if word[:1].isupper() else written
