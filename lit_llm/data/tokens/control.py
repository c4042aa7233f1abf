"""What only a template may write: tokens that begin and end turns, in whatever a row brings to the prompt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARK = re.compile(r"<[|｜][^|｜<>\s]{1,40}[|｜]>|\[/?[A-Z_]{2,}\]|<</?[A-Z_]+>>|</?[a-z]+_of_[a-z]+>")
"""How templates write the borders of turns, be they tokens or not."""


class ControlTokens:
    """Finds what a tokenizer or its template takes for control tokens.

    These are the tokens that the tokenizer flags as special; those that it does not flag but that its template writes,
    such as ``<think>`` and ``<tool_call>`` of Qwen3; and what else in the template looks like the border of a turn.
    Added tokens that are plain text (a run of blanks, a word of the trade) are none.

    Args:
        tokenizer: a fast tokenizer.
        template: its chat template.

    Attributes:
        tokens: all of them, longest first.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str) -> None:
        written = "\n".join(_literals(template))
        added = tokenizer.added_tokens_decoder.values()
        flagged = {token.content for token in added if token.special} | set(tokenizer.all_special_tokens)
        named = {token.content for token in added if _is_mark(token.content) and token.content in written}
        found = {token for token in flagged | named | set(_MARK.findall(written)) if len(token) > 1}
        self.tokens = tuple(sorted(found, key=lambda token: (-len(token), token)))
        # Without any, a pattern that is never found.
        self._pattern = re.compile("|".join(map(re.escape, self.tokens)) or r"(?!)")

    def first(self, text: str) -> str | None:
        """Return the first control token in a text; None where it holds none."""
        found = self._pattern.search(text)
        return found[0] if found else None

    def in_parts(self, parts: Iterable[tuple[str, str | None]]) -> tuple[str, str] | None:
        """Return the name of the first part that holds a control token, and that token; None where none does."""
        return next(((name, token) for name, text in parts if text and (token := self.first(text))), None)


def _is_mark(token: str) -> bool:
    """Whether a token can be told from words and blanks, which every text may hold."""
    return re.search(r"[^\w\s]", token) is not None and len(token.strip()) > 2


def _literals(template: str) -> Iterator[str]:
    """Yield what a template can write by itself; the whole of one that Jinja alone cannot read."""
    from jinja2 import Environment, TemplateSyntaxError, nodes

    try:
        tree = Environment().parse(template)
    except TemplateSyntaxError:
        yield template
        return
    for data in tree.find_all(nodes.TemplateData):
        yield data.data
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            yield constant.value
