"""When a row is finished: its end token, or the close of its top-level JSON value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from lit_llm.thoughts import CLOSE, OPEN, opens_thought

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

StopRule = Literal["eos", "json", "never"]

PROMPT_END = 32
"""Tokens at the end of a prompt that tell whether it ends within a thought."""

_MARK = "\ue000"

END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>")


class JsonState(NamedTuple):
    """Where in a JSON text a scan stands.

    Attributes:
        depth: objects and arrays that are open.
        quoted: inside a string.
        escaped: the last character was a backslash inside a string.
        closed: the first top-level object or array is complete.
        thoughts: thoughts that are open; nothing in them counts.
        tag: the beginning of a mark of a thought that the last characters may be.
    """

    depth: int = 0
    quoted: bool = False
    escaped: bool = False
    closed: bool = False
    thoughts: int = 0
    tag: str = ""

    def feed(self, piece: str) -> JsonState:
        """Return the state after ``piece``; thoughts and text before the first bracket are passed over."""
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
        if not self.depth and (char == "<" or self.tag):
            return self._marked(char)
        if self.thoughts:
            return self
        if char in "{[":
            return JsonState(self.depth + 1)
        if self.depth and char in "}]":
            return JsonState(self.depth - 1, closed=self.depth == 1)
        return JsonState(self.depth, quoted=True) if self.depth and char == '"' else self

    def _marked(self, char: str) -> JsonState:
        """Return the state after a character that begins or goes on with a mark of a thought, or breaks it off."""
        tag = "<" if char == "<" else self.tag + char
        if tag in (OPEN, CLOSE):
            return JsonState(thoughts=self.thoughts + 1 if tag == OPEN else max(0, self.thoughts - 1))
        if OPEN.startswith(tag) or CLOSE.startswith(tag):
            return self._replace(tag=tag)
        return self._replace(tag="")._after(char)


def json_end(text: str) -> int | None:
    """Return how many characters it takes until the first object or array closes that is no part of a thought."""
    state = JsonState()
    for index, char in enumerate(text):
        state = state.feed(char)
        if state.closed:
            return index + 1
    return None


def stop_ids(tokenizer: PreTrainedTokenizerBase, model: Any = None) -> list[int]:
    """Return the ids that end an answer, sorted.

    They are the tokenizer's own end token, the one that its chat template or that of the run writes behind an answer,
    the usual ones that it knows, and those that the base's ``generation_config`` names.

    Args:
        tokenizer: of the model.
        model: a Hugging Face model, where its own end tokens count too.
    """
    known = [tokenizer.convert_tokens_to_ids(name) for name in END_TOKENS]
    own = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    # Where a file names none, transformers takes the architecture's usual id, which may be a letter here.
    marks = set(tokenizer.get_added_vocab().values())
    listed = [token for token in (own if isinstance(own, list) else [own]) if token in marks]
    written = {turn_end(tokenizer), *getattr(tokenizer, "run_ends", ())}
    ids: set[Any] = {tokenizer.eos_token_id, *written, *known, *listed} - {None, tokenizer.unk_token_id}
    return sorted(ids)


def thought_ids(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Return the marks of thoughts that a tokenizer has as tokens, by id."""
    found: list[tuple[Any, str]] = [(tokenizer.convert_tokens_to_ids(mark), mark) for mark in (OPEN, CLOSE)]
    return {token: mark for token, mark in found if token is not None and token != tokenizer.unk_token_id}


def own_templates(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Return the chat templates of a tokenizer by name; one that stands alone is called ``default``."""
    own: Any = tokenizer.chat_template
    return dict(own) if isinstance(own, dict) else {"default": own} if own else {}


def end_answers_with(tokenizer: PreTrainedTokenizerBase, token: int) -> None:
    """Let answers end with a token too that only the template of a run writes, and not the tokenizer's own."""
    anyone: Any = tokenizer
    anyone.run_ends = {*getattr(tokenizer, "run_ends", ()), token}


def turn_end(tokenizer: PreTrainedTokenizerBase, template: str | None = None) -> int | None:
    """Return the token that a chat template writes behind an answer; None where it writes no token of its own.

    Args:
        tokenizer: which reads what the template has written.
        template: Jinja text; by default the tokenizer's.
    """
    template = template or own_templates(tokenizer).get("default")
    if not template:
        return None
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _MARK}]
    try:
        written = str(tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False))
    except Exception:  # what a template of other people raises is its own affair; it then names no token
        return None
    tail = written.rpartition(_MARK)[2].lstrip()
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
    return int(ids[0]) if ids and ids[0] in tokenizer.get_added_vocab().values() else None


class Stop:
    """Tells which rows are finished after their newest token; usable as a transformers stopping criterion.

    A row's state depends on its tokens alone, so beams may be reordered and rows dropped between calls.

    Args:
        tokenizer: gives the text of a token.
        rule: ``eos`` stops at an end token, ``json`` also where the top-level object or array closes, ``never`` at
            nothing, for measurements of a given length.
        prompt_length: leading positions that are not generated.
        prompt: ids that generation starts from, whose end tells whether the answer begins within a thought.
        model: whose own end tokens count too.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        rule: StopRule,
        prompt_length: int = 0,
        prompt: Sequence[int] = (),
        model: Any = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.rule = rule
        self.prompt_length = prompt_length
        self.end_ids = stop_ids(tokenizer, model)
        self._silent = {*tokenizer.all_special_ids, *self.end_ids} - set(thought_ids(tokenizer))
        ending = str(tokenizer.decode(list(prompt[-PROMPT_END:]))) if rule == "json" else ""
        self._first = JsonState(thoughts=int(opens_thought(ending)))
        self._pieces: dict[int, str] = {}
        self._states: dict[tuple[int, ...], JsonState] = {}

    def __call__(self, input_ids: Tensor, scores: object = None, **kwargs: object) -> Tensor:
        """Return ``[B]`` bool, True where the row is finished by its last token.

        Args:
            input_ids: ``[B, prompt_length + T]`` with at least one generated token.
            scores: not used; transformers passes it.
            kwargs: not used; transformers passes some.
        """
        texts = input_ids[:, self.prompt_length :].tolist()
        finished = self.finished(texts)
        # Beams that were given up are not asked for again.
        self._states = {text: self._states[text] for text in map(tuple, texts) if text in self._states}
        return torch.tensor(finished, device=input_ids.device)

    def finished(self, texts: Sequence[Sequence[int]]) -> list[bool]:
        """Say of each row's generated tokens, one or more, whether the last of them finishes it."""
        if self.rule == "never":
            return [False] * len(texts)
        closed = self._closed(texts) if self.rule == "json" else [False] * len(texts)
        return [text[-1] in self.end_ids or ends for text, ends in zip(texts, closed, strict=True)]

    def length(self, tokens: Sequence[int]) -> int | None:
        """Return how many of one row's generated tokens make up its answer, end token included; None if unfinished."""
        state = self._first
        for index, token in enumerate(tokens):
            state = state.feed(self._piece(token))
            if token in self.end_ids or (self.rule == "json" and state.closed):
                return index + 1
        return None

    def _closed(self, texts: Sequence[Sequence[int]]) -> list[bool]:
        """Say which texts have closed their JSON value; only the newest token of a text seen before is read."""
        rows = [tuple(text) for text in texts]
        found = {row: self._after(row) for row in rows}
        for row in found:
            self._states.pop(row[:-1], None)
        self._states |= found
        return [found[row].closed for row in rows]

    def _after(self, row: tuple[int, ...]) -> JsonState:
        known = self._states.get(row[:-1])
        return known.feed(self._piece(row[-1])) if known else self._scan(row)

    def _scan(self, row: Sequence[int]) -> JsonState:
        return self._first.feed("".join(map(self._piece, row)))

    def _piece(self, token: int) -> str:
        # Byte-level and metaspace vocabularies spell every ASCII mark of JSON as itself, so the raw token is enough.
        if token not in self._pieces:
            raw = "" if token in self._silent else self.tokenizer.convert_ids_to_tokens(token)
            self._pieces[token] = raw if isinstance(raw, str) else ""
        return self._pieces[token]
