"""Cleaning of parallel text: what is mended, what is left out, and how often."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from lit_llm.data.hygiene import mojibake
from lit_llm.errors import ConfigError

MENDS = ("mojibake", "nfc", "invisible", "detokenise", "spaces")
"""All steps that mend a text, in the order in which they are applied."""

FILTERS = ("empty", "length", "ratio", "copy")
"""All reasons to leave a pair out, in the order in which they are looked at."""

_BEFORE = re.compile(r"[ \t]+(?=[,;:!?%)\]}»”…]|\.(?!\w))")
_BEHIND = re.compile(r"(?<=[¿¡(\[{«“])[ \t]+")


def _invisible(text: str) -> str:
    """Drop control and format characters: byte order marks, zero-width spaces, soft hyphens; breaks become spaces."""
    kept = (" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c) not in ("Cc", "Cf"))
    return "".join(kept)


def _detokenise(text: str) -> str:
    """Take out the spaces that a tokeniser put around marks; quotes and apostrophes (a saltillo) stay."""
    return _BEHIND.sub("", _BEFORE.sub("", text))


def _spaces(text: str) -> str:
    return " ".join(text.split())


_MENDS: dict[str, Callable[[str], str]] = {
    "mojibake": mojibake.mend,
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "invisible": _invisible,
    "detokenise": _detokenise,
    "spaces": _spaces,
}


class Cleaner:
    """Mends texts and says which pairs are not worth learning from.

    Letters stay: macrons, saltillos and every other mark of an orthography survive.

    Args:
        mends: which of ``mojibake``, ``nfc``, ``invisible``, ``detokenise`` and ``spaces`` to apply.
        filters: which of ``empty``, ``length``, ``ratio`` and ``copy`` leave a pair out.
        longest: most characters of a side.
        ratio: how many times longer one side may be than the other.
        ratio_from: sides up to this many characters may differ more.

    Attributes:
        counts: how many texts each step changed and how many pairs each filter left out, by its name.

    Raises:
        ConfigError: if a step is not known or a limit is not possible.
    """

    def __init__(
        self,
        mends: Sequence[str] = MENDS,
        filters: Sequence[str] = FILTERS,
        longest: int = 600,
        ratio: float = 3.0,
        ratio_from: int = 20,
    ) -> None:
        for name, given, known in (("mends", mends, MENDS), ("filters", filters, FILTERS)):
            if unknown := [step for step in given if step not in known]:
                raise ConfigError(f"{name}: {unknown[0]!r} is none of {', '.join(known)}")
        if longest < 1 or ratio < 1:
            raise ConfigError(f"longest is {longest} and ratio {ratio}: both must be at least 1")
        self.mends = [name for name in MENDS if name in mends]
        self.filters = [name for name in FILTERS if name in filters]
        self.longest, self.ratio, self.ratio_from = longest, ratio, ratio_from
        self.counts: Counter[str] = Counter()

    def mend(self, text: str) -> str:
        """Return the text after all steps."""
        for name in self.mends:
            mended = _MENDS[name](text)
            self.counts[name] += mended != text
            text = mended
        return text

    def fault(self, source: str, target: str) -> str | None:
        """Return the first filter that leaves the pair out, and count it; None for a pair to keep."""
        found = next((name for name in self.filters if self._fails(name, source, target)), None)
        if found:
            self.counts[found] += 1
        return found

    def _fails(self, name: str, source: str, target: str) -> bool:
        short, long = sorted((len(source), len(target)))
        if name == "empty":
            return not short
        if name == "length":
            return long > self.longest
        if name == "ratio":
            return long > self.ratio_from and long > self.ratio * short
        return source.casefold() == target.casefold()
