"""When a row is finished: its end token, or the close of its top-level JSON value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

StopRule = Literal["eos", "json", "never"]

END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>")


class JsonState(NamedTuple):
    """Where in a JSON text a scan stands.

    Attributes:
        depth: objects and arrays that are open.
        quoted: inside a string.
        escaped: the last character was a backslash inside a string.
        closed: the first top-level object or array is complete.
    """

    depth: int = 0
    quoted: bool = False
    escaped: bool = False
    closed: bool = False

    def feed(self, piece: str) -> JsonState:
        """Return the state after ``piece``; text before the first bracket is passed over."""
        state = self
        for char in piece:
            if state.closed:
                break
            state = state._after(char)
        return state

    def _after(self, char: str) -> JsonState:
        if self.quoted:
            escaped = char == "\\" and not self.escaped
            return JsonState(self.depth, self.escaped or char != '"', escaped)
        if char in "{[":
            return JsonState(self.depth + 1)
        if self.depth and char in "}]":
            return JsonState(self.depth - 1, closed=self.depth == 1)
        return JsonState(self.depth, quoted=True) if self.depth and char == '"' else self


def json_end(text: str) -> int | None:
    """Return how many characters it takes until the first object or array of ``text`` closes; None if it does not."""
    state = JsonState()
    for index, char in enumerate(text):
        state = state.feed(char)
        if state.closed:
            return index + 1
    return None


def stop_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids that end an answer: the tokenizer's own end token and the usual end-of-turn tokens it knows."""
    known = [tokenizer.convert_tokens_to_ids(name) for name in END_TOKENS]
    ids: set[Any] = {tokenizer.eos_token_id, *known} - {None, tokenizer.unk_token_id}
    return sorted(ids)


class Stop:
    """Tells which rows are finished after their newest token; usable as a transformers stopping criterion.

    A row's state depends on its tokens alone, so beams may be reordered and rows dropped between calls.

    Args:
        tokenizer: gives the text of a token.
        rule: ``eos`` stops at an end token, ``json`` also where the top-level object or array closes, ``never`` at
            nothing, for measurements of a given length.
        prompt_length: leading positions that are not generated.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, rule: StopRule, prompt_length: int = 0) -> None:
        self.tokenizer = tokenizer
        self.rule = rule
        self.prompt_length = prompt_length
        self.end_ids = stop_ids(tokenizer)
        self._silent = {*tokenizer.all_special_ids, *self.end_ids}
        self._pieces: dict[int, str] = {}
        self._states: dict[tuple[int, ...], JsonState] = {}

    def __call__(self, input_ids: Tensor, scores: object = None, **kwargs: object) -> Tensor:
        """Return ``[B]`` bool, True where the row is finished by its last token.

        Args:
            input_ids: ``[B, prompt_length + T]`` with at least one generated token.
            scores: not used; transformers passes it.
            kwargs: not used; transformers passes some.
        """
        new = input_ids[:, self.prompt_length :]
        if self.rule == "never":
            return torch.zeros(len(new), dtype=torch.bool, device=new.device)
        done = torch.isin(new[:, -1], torch.tensor(self.end_ids, device=new.device))
        if self.rule == "json":
            done |= torch.tensor(self._closed(new.tolist()), device=new.device)
        return done

    def length(self, tokens: Sequence[int]) -> int | None:
        """Return how many of one row's generated tokens make up its answer, end token included; None if unfinished."""
        state = JsonState()
        for index, token in enumerate(tokens):
            state = state.feed(self._piece(token))
            if token in self.end_ids or (self.rule == "json" and state.closed):
                return index + 1
        return None

    def _closed(self, rows: list[list[int]]) -> list[bool]:
        before, self._states = self._states, {}
        for row in map(tuple, rows):
            if row not in self._states:
                known = before.get(row[:-1])
                self._states[row] = known.feed(self._piece(row[-1])) if known else self._scan(row)
        return [self._states[tuple(row)].closed for row in rows]

    def _scan(self, row: Sequence[int]) -> JsonState:
        return JsonState().feed("".join(map(self._piece, row)))

    def _piece(self, token: int) -> str:
        # Byte-level and metaspace vocabularies spell every ASCII mark of JSON as itself, so the raw token is enough.
        if token not in self._pieces:
            raw = "" if token in self._silent else self.tokenizer.convert_ids_to_tokens(token)
            self._pieces[token] = raw if isinstance(raw, str) else ""
        return self._pieces[token]
