"""Documents are cut into passages of so many tokens; nothing of them is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Chunk(NamedTuple):
    """A piece of a document.

    Attributes:
        start: its first character in the document.
        end: the character behind its last one.
        ids: its tokens.
    """

    start: int
    end: int
    ids: list[int]


def chunks(text: str, tokenizer: PreTrainedTokenizerBase, size: int, overlap: int = 0) -> list[Chunk]:
    """Cut a document into pieces that together hold all of it.

    Args:
        text: the document.
        tokenizer: a fast one, which says where tokens stand.
        size: most tokens of a piece, unless one letter has more.
        overlap: tokens that a piece has in common with the one before it; less than ``size``.

    Returns:
        The pieces in their order, with the tokens of their own text, so that a piece that is cut again stays as it is;
        none of an empty document. Characters that belong to no token, such as spaces that a tokenizer leaves out,
        belong to the piece before them.
    """
    found: Any = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = list(found["offset_mapping"])
    cut: list[Chunk] = []
    start = covered = 0
    while start < len(places):
        first, end = places[start][0] if start else 0, min(start + size, len(places))
        while True:
            end = _between_letters(places, end, start)
            last = places[end][0] if end < len(places) else len(text)
            # A text that begins amid another may have more tokens of its own.
            ids = list(tokenizer(text[first:last], add_special_tokens=False)["input_ids"])
            if len(ids) <= size or end - start <= 1 or _between_letters(places, end - 1, start) == end:
                break
            end -= 1
        if end <= covered and start < covered:
            # What is in common leaves no room for the next letter, so nothing is.
            start = covered
            continue
        cut.append(Chunk(first, last, ids))
        covered = end
        if end == len(places):
            break
        start = _between_letters(places, end - overlap, start)
    return cut


def _between_letters(places: list[tuple[int, int]], end: int, start: int) -> int:
    """Return the nearest place up to ``end`` that is not amid a letter's tokens; amid the first, that behind it."""
    at = end
    while start < at < len(places) and places[at][0] < places[at - 1][1]:
        at -= 1
    if at > start:
        return at
    at = max(end, start + 1)
    while at < len(places) and places[at][0] < places[at - 1][1]:
        at += 1
    return at
