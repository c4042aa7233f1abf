"""Other words for the same, where the text and the target leave no doubt which word names what."""

from __future__ import annotations

import json
import random
import re
from importlib import resources
from pathlib import Path

from lit_llm.data.variants.lexicon import WORDS, plain
from lit_llm.data.variants.spans import Stated, keys, outside
from lit_llm.errors import DataError


def _words(text: str) -> set[str]:
    """Return the words of a text without accents and plurals."""
    return {word[:-1] if word.endswith("s") else word for word in re.findall(r"[^\W\d_]+", plain(text))}


_FAMILIES = [_words(" ".join(words)) for words in WORDS["labels"]]
"""Words that name what a value is, in families whose members people tell apart."""


class Thesaurus:
    """Phrases and what may stand in their place.

    Args:
        path: JSON file of the form ``{"phrase": ["other phrase", ...]}``; None for the built-in words of orders.

    Raises:
        DataError: if the file does not have that form.
    """

    def __init__(self, path: str | None = None) -> None:
        source = Path(path) if path else resources.files(__package__) / "synonyms_es.json"
        try:
            table = json.loads(source.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{source}: cannot be read as JSON ({error}); give a file of synonyms") from error
        if not isinstance(table, dict) or not all(isinstance(v, list) and v for v in table.values()):
            raise DataError(f"{source}: must be an object of non-empty lists, such as {{'quiero': ['deseo']}}")
        self.table = {phrase.casefold(): [str(other) for other in others] for phrase, others in table.items()}
        longest_first = sorted(map(re.escape, self.table), key=len, reverse=True)
        self._phrases = re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", re.IGNORECASE)
        self.words = frozenset(word for phrase in self.table for word in _words(phrase))

    def reworded(self, text: str, stated: Stated, rng: random.Random) -> str:
        """Put other phrases in the place of known ones, one phrase always in the same way.

        A phrase stays where the other one, or a word of its family, stands in the text or names a key of the target.
        """
        around = _words(text)
        named = {word for key in keys(stated.value) for word in _words(re.sub("([A-Z])", r" \1", key))}
        drawn: dict[str, str] = {}

        def replace(match: re.Match[str]) -> str:
            """Draw another phrase, in the case of the one before."""
            phrase = match.group().casefold()
            if phrase not in drawn:
                fitting = [other for other in self.table[phrase] if _fits(phrase, other, around, named)]
                drawn[phrase] = rng.choice(fitting) if fitting and rng.random() >= 0.3 else ""
            return like(match.group(), drawn[phrase]) if drawn[phrase] else match.group()

        return outside(text, stated.protected(), lambda part: self._phrases.sub(replace, part))


def _fits(phrase: str, other: str, around: set[str], named: set[str]) -> bool:
    """Whether no word that comes in stands elsewhere, and none that goes has another of its family beside it."""
    old, new = _words(phrase), _words(other)
    if any((old ^ new) & family and (around - old) & family for family in _FAMILIES):
        return False
    return not {word for word in new - old if len(word) > 3} & (around | named)


def like(model: str, text: str) -> str:
    """Give ``text`` the case of the words that it replaces."""
    if model.isupper() and len(model) > 1:
        return text.upper()
    return text[:1].upper() + text[1:] if model[:1].isupper() else text
