"""Text that was decoded in the wrong way: UTF-8 read as Latin-1 or Windows-1252, once or twice, and the reverse."""

from __future__ import annotations

import re
import unicodedata

_BYTES = {chr(code): code for code in range(0x80, 0x100)}
_C1 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
_BYTES |= {letter: code for code, letter in _C1.items() if letter}


def _read_as(first: int, last: int) -> str:
    """Return everything that the bytes of a range are read as, as a character class."""
    return "[" + "".join(re.escape(char) for char, code in _BYTES.items() if first <= code <= last) + "]"


_MORE = _read_as(0x80, 0xBF)
_SEQUENCES = re.compile(
    # Latin letters with accents and macrons; the marks of decomposed ones; saltillos, apostrophes and lengths.
    f"{_read_as(0xC2, 0xC6)}{_MORE}|È{_read_as(0xA6, 0xB3)}|É¨|{_read_as(0xCA, 0xCD)}{_MORE}|Ð{_MORE}"
    # Quotes, dashes, currencies, saltillos with a case, rare letters of Latin, other scripts; pictures.
    f"|{_read_as(0xE0, 0xEF)}{_MORE}{{2}}|ð{_MORE}{{3}}"
    # Greek, Cyrillic and what else has two bytes, where three letters follow each other.
    f"|(?:{_read_as(0xC2, 0xDF)}{_MORE}){{3,}}"
)
"""Characters whose bytes may be UTF-8 of what such texts hold."""
_MARKS = frozenset("»«”“’‘›‹…–—¿¡\x85\x91\x92\x93\x94\x96\x97\x8b\x9b")
_ENDS = frozenset("áàãçéèêëíìï")
_QUOTED = {"“": "”", "‘": "’", "«": "»", "\x93": "\x94", "\x91": "\x92"}


def _decoded(match: re.Match[str]) -> str:
    """Decode a sequence, unless it is a letter with marks behind it, as in ``está…”`` or ``«IRMÃ»``."""
    found = match.group()
    before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
    marks = _MARKS.issuperset(found[1:])
    if marks and found[0] in _ENDS:
        return found
    if marks and found[0] in "ÃÊ" and found[1] not in "“‘\x91\x93" and before.isupper() and not after.isalpha():
        return found
    if _QUOTED.get(before) == found[-1]:
        return found
    try:
        return bytes(_BYTES[char] for char in found).decode()
    except UnicodeDecodeError:
        return found


def mend(text: str, rounds: int = 3) -> str:
    """Undo a wrong decoding.

    Sequences of characters whose bytes are UTF-8 are decoded first, as often as they were encoded; then what is left of
    U+0080 to U+009F is read as Windows-1252.

    Args:
        text: the text, in any normal form; where nothing was wrong it is returned as it is.
        rounds: how often sequences are decoded at most.

    Returns:
        The text. Marks of decomposed letters come back as they were, so compose it afterwards.
    """
    mended = composed = unicodedata.normalize("NFC", text)
    for _ in range(rounds):
        mended, last = _SEQUENCES.sub(_decoded, mended), mended
        if mended == last:
            break
    mended = mended.translate(_C1)
    return text if mended == composed else mended
