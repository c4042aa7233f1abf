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
        size: most tokens of a piece.
        overlap: tokens that a piece has in common with the one before it; less than ``size``.

    Returns:
        The pieces in their order; none of an empty document. Characters that belong to no token, such as spaces that
        a tokenizer leaves out, belong to the piece before them.
    """
    found: Any = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = list(found["input_ids"]), list(found["offset_mapping"])
    cut = []
    start = 0
    while start < len(ids):
        end = min(start + size, len(ids))
        first = places[start][0] if start else 0
        # The bytes of one character may be several tokens with one place, so that a piece may end amid it.
        last = places[end][0] if end < len(ids) else len(text)
        cut.append(Chunk(first, max(last, places[end - 1][1]), ids[start:end]))
        if end == len(ids):
            break
        start = end - overlap
    return cut
