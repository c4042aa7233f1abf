"""Which encoding a text file is in."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from lit_llm.errors import DataError

_SAMPLE = 1 << 22
_CANDIDATES = {"windows-1252": "Windows-1252", "cp850": "code page 850 (DOS)", "mac_roman": "Mac Roman"}
# What Spanish, its neighbours and Nahuatl write beyond ASCII: letters stand at letters, marks at the edges of words.
_LETTERS = "áéíóúüñÁÉÍÓÚÜÑçÇàèìòùâêîôûäëïöãõÀÈÌÒÙÂÊÎÔÛÄËÏÖÃÕåÅøØßœŒæÆ"
_MARKS = "¿¡«»“”‘’–—…€°ºª·£®©´§½¼¾²³×%\u00a0"
_LIKELY = re.compile(f"[{_LETTERS}]+|[{_MARKS}]")
_ODD = re.compile(r"[a-zA-Z][¿¡«»“€°£®©§½¼¾²³×\u00a0–—…º][a-z]|[a-z][ÁÉÍÓÚÜÑÇÀÈÌÒÙÂÊÎÔÛÄËÏÖÃÕÅØŒÆ][a-z]")
_CLEAR = 0.98


def detect(path: Path) -> tuple[str, str]:
    """Return the encoding of a text file, and in words what it was told by.

    Raises:
        DataError: if no encoding that is known makes words of it.
    """
    with path.open("rb") as file:
        content = file.read(_SAMPLE)
        whole = not file.read(1)
    for mark, name, said in (
        (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte order mark"),
        (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
        (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
        (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
    ):
        if content.startswith(mark):
            return name, said
    if (wide := _wide(content)) is not None:
        return wide, f"{wide.upper()} without a byte order mark, by the zeros between its letters"
    if content.isascii() and whole:
        return "utf-8", "plain ASCII, which is UTF-8"
    if _is_utf8(path):
        return "utf-8", "UTF-8"
    if strays := _strays(content):
        return "utf-8", f"UTF-8, but for {strays} bytes, whose rows are bad"
    return _single(path, content)


def _wide(content: bytes) -> str | None:
    zeros = content[1:4096:2].count(0), content[0:4096:2].count(0)
    pairs = max(1, len(content[:4096]) // 2)
    if zeros[0] > 0.4 * pairs and zeros[1] < 0.05 * pairs:
        return "utf-16-le"
    return "utf-16-be" if zeros[1] > 0.4 * pairs and zeros[0] < 0.05 * pairs else None


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_SAMPLE):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _strays(content: bytes) -> int:
    """Return how many places are not UTF-8, if these are so few that the rest cannot be of another encoding."""
    text = content.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    beyond = sum(not letter.isascii() for letter in text) - wrong
    return wrong if wrong <= (1 - _CLEAR) * beyond else 0


def _single(path: Path, content: bytes) -> tuple[str, str]:
    """Tell encodings of one byte for a letter apart by what they make of the bytes beyond ASCII."""
    shares = {name: _share(content, name) for name in _CANDIDATES}
    best = max(shares, key=lambda name: shares[name])
    others = max(share for name, share in shares.items() if name != best)
    words = _words(content, best)
    if shares[best] < _CLEAR or others >= shares[best]:
        listed = ", ".join(f"{name} ({_words(content, name)})" for name in _CANDIDATES)
        raise DataError(
            f"{path}: is not UTF-8, and no encoding is certain; say which in data.init_args.encoding: {listed}"
        )
    return best, f"not UTF-8; read as {_CANDIDATES[best]}, in which it says {words}"


def _share(content: bytes, name: str) -> float:
    """Return the share of the letters beyond ASCII that are likely where they stand."""
    # A few bytes that are no letter at all spoil their rows, not the file.
    text = content.decode(name, "replace")
    beyond = sum(not letter.isascii() for letter in text)
    likely = sum(len(match[0]) for match in _LIKELY.finditer(text)) - text.count("%")
    return (likely - len(_ODD.findall(text))) / max(1, beyond)


def _words(content: bytes, name: str) -> str:
    text = content.decode(name, "replace")
    found = list(dict.fromkeys(re.findall(r"\w*[^\W\d_]*[^\x00-\x7f]\w*", text)))[:3]
    return ", ".join(repr(word) for word in found)
