"""Decoding held to a grammar: tokens that cannot continue a valid answer get probability zero."""

from __future__ import annotations

import json
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import torch

from lit_llm.catalogues import Node, Vocabulary, names_at, rules_of
from lit_llm.errors import ConfigError, DataError
from lit_llm.generation.names import Names
from lit_llm.generation.places import Place
from lit_llm.schemas import Schema, compiled, read_schema
from lit_llm.schemas.explaining import explain
from lit_llm.strict_json import loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    Texts = Sequence[Sequence[int]]
    Mask = Callable[[Sequence[int], Texts, Tensor], Tensor]

COMPACT: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":", "coerce_one_of": True}
"""How the grammar writes JSON: as ``strict_json.dumps`` wrote what the model learned from; ``oneOf`` as ``anyOf``."""

KEY = "model.init_args.generator.init_args.constraint"

GRAMMARS_KEPT = 1024


class Constraint(ABC):
    """Restricts which tokens may follow."""

    @abstractmethod
    def start(
        self, tokenizer: PreTrainedTokenizerBase, meta: list[dict[str, Any]], end_ids: list[int], vocab_size: int
    ) -> Mask:
        """Prepare for a batch of rows.

        Args:
            tokenizer: the model's tokenizer.
            meta: a dict per row of the batch.
            end_ids: tokens that may end a complete answer.
            vocab_size: width of the model's logits, which can exceed the tokenizer's vocabulary.

        Returns:
            A function of the rows' places in ``meta`` (``R`` of them, in any order and number), the tokens that each
            has generated so far and the logits ``[R, V]``; it returns the logits with −inf at what may not follow.
        """

    def fault(self, answer: str | None, meta: dict[str, Any]) -> str | None:
        """Say why a row could never be answered so; None where it could.

        Args:
            answer: what is to be learned of the row; None only looks whether the row can be held at all.
            meta: the row's meta.

        Raises:
            DataError: if the row cannot be held.
        """
        return None


@runtime_checkable
class Steering(Protocol):
    """A mask that knows more than what may follow next."""

    def steer(self, row: int, text: Sequence[int], guess: list[int]) -> list[int]:
        """Return what a guess of the tokens behind a row's text may be at most: what has to follow, or its start."""


class JsonSchemaConstraint(Constraint):
    """Holds every row to its own JSON schema, ``meta["schema"]``, written without white space.

    Needs the extra ``constrained`` (llguidance). Properties come in the order of the schema. Strings and arrays
    without ``maxLength`` and ``maxItems`` can still run into the token limit. Where data name ``catalogues``, whose
    ``missing`` is not ``keep``, values of those fields can only be names of them.

    Args:
        schema: JSON file with the schema of rows that bring none; without it such rows may be any JSON value.

    Raises:
        ConfigError: if llguidance is not installed or the file cannot be read as JSON.
    """

    def __init__(self, schema: str | None = None) -> None:
        if find_spec("llguidance") is None:
            raise ConfigError(
                f"{KEY}: JsonSchemaConstraint needs llguidance, which is not installed: pip install -e '.[constrained]'"
            )
        self.schema = schema
        self._default: Schema = _read_schema(schema) if schema else {}
        self._vocabulary: tuple[Any, ...] = ()
        self._matchers: dict[str, Any] = {}
        self._spelling: dict[str, Any] = {}
        self._names: dict[str, Names] = {}

    def start(
        self, tokenizer: PreTrainedTokenizerBase, meta: list[dict[str, Any]], end_ids: list[int], vocab_size: int
    ) -> Mask:
        """See ``Constraint.start``.

        Raises:
            DataError: if llguidance cannot express a schema.
            ConfigError: if the tokenizer is not a fast one.
        """
        vocabulary = self._wrap(tokenizer, end_ids, vocab_size)
        fresh = [self._kept(self._matchers, vocabulary, self._schema(row)) for row in meta]
        return _Matchers(fresh, [self._names_of(row, vocabulary) for row in meta])

    def fault(self, answer: str | None, meta: dict[str, Any]) -> str | None:
        """Run an answer through the grammar of its row; see ``Constraint.fault``."""
        matcher = self._speller(self._schema(meta))
        if answer is None:
            return None
        letters = list(answer.encode())
        good = matcher.validate_tokens(letters)
        # The same matcher again and again, not a copy: it keeps what it has found out about its grammar.
        written = good == len(letters) and matcher.consume_tokens(letters) and matcher.is_accepting()
        matcher.reset()
        if written:
            return _stranger(answer, meta)
        # A text that stops short of its end is wrong in its last part.
        offset = len(bytes(letters[: min(good, len(letters) - 1)]).decode(errors="ignore"))
        return explain(loads(answer), offset, self._schema(meta))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what lives in llguidance and cannot travel between processes."""
        return {**self.__dict__, "_vocabulary": (), "_matchers": {}, "_spelling": {}, "_names": {}}

    def _schema(self, meta: dict[str, Any]) -> Schema:
        own: Schema | None = meta.get("schema")
        return self._default if own is None else own

    def _speller(self, schema: Schema) -> Any:
        """Return a grammar over single bytes, which no vocabulary decides."""
        return self._kept(self._spelling, _bytes(), schema)

    def _wrap(self, tokenizer: PreTrainedTokenizerBase, end_ids: list[int], vocab_size: int) -> Any:
        if self._vocabulary[:2] != (tokenizer, vocab_size):
            from llguidance.hf import from_tokenizer

            try:
                wrapped = from_tokenizer(tokenizer, n_vocab=vocab_size, eos_token=list(end_ids))  # type: ignore[arg-type]
            except ValueError as error:
                raise ConfigError(
                    f"model.init_args.generator.init_args.constraint: the tokenizer {tokenizer.name_or_path!r} "
                    f"cannot be used by llguidance ({error}): take a fast tokenizer (tokenizer.json)"
                ) from error
            self._vocabulary, self._matchers, self._names = (tokenizer, vocab_size, wrapped), {}, {}
        return self._vocabulary[2]

    def _kept(self, made: dict[str, Any], vocabulary: Any, schema: Schema) -> Any:
        """Return the grammar of a schema over a vocabulary, made once."""
        text = json.dumps(schema, ensure_ascii=False)
        if text not in made:
            if len(made) >= GRAMMARS_KEPT:
                made.clear()
            made[text] = _matcher(vocabulary, schema)
        return made[text]

    def _names_of(self, row: dict[str, Any], wrapped: Any) -> Names | None:
        """Return what holds the names of a row to their catalogues; None where it has none."""
        roots = {rule.path: Node.root(rule.catalogue) for rule in rules_of(row) if rule.missing != "keep"}
        if not roots:
            return None
        key = json.dumps(row["catalogues"])
        if key not in self._names:
            known = next((names.vocabulary for names in self._names.values()), None)
            self._names[key] = Names(known or Vocabulary(_letters(wrapped)), roots)
        return self._names[key]


def _letters(wrapped: Any) -> list[bytes]:
    """Return the bytes of each token, none of those that control."""
    return [b"" if wrapped.is_special_token(n) else wrapped.decode_bytes([n]) for n in range(wrapped.vocab_size)]


def _stranger(answer: str, meta: dict[str, Any]) -> str | None:
    """Say which name of an answer its catalogue has not, where answers are held to it; None where there is none."""
    held = [rule for rule in rules_of(meta) if rule.missing != "keep"]
    value = loads(answer) if held else None
    for rule in held:
        for name in names_at(value, rule.path):
            if rule.catalogue.known(name) is None:
                near = rule.catalogue.nearest(name)
                return f"$: {name!r} is not in its catalogue{f'; the nearest name is {near.name!r}' if near else ''}"
    return None


@lru_cache(maxsize=1)
def _bytes() -> Any:
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


def _matcher(vocabulary: Any, schema: Schema) -> Any:
    from llguidance import LLMatcher

    root = compiled(schema).root
    grammar = LLMatcher.grammar_from_json_schema(json.dumps(_quoted({} if root is True else root)), overrides=COMPACT)
    matcher = LLMatcher(vocabulary, grammar)
    if matcher.is_error():
        reason = " ".join(matcher.get_error().split()).replace("regex parse error", "pattern: regex parse error")
        raise DataError(
            f"meta.schema: {json.dumps(schema, ensure_ascii=False)[:200]!r} cannot be held while decoding: {reason}; "
            "simplify the schema or remove the generator's constraint"
        )
    return matcher


def _quoted(node: Any) -> Any:
    """Return a schema whose references are written as addresses have to be; people write blanks and accents."""
    if isinstance(node, list):
        return [_quoted(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    quoted = {name: _quoted(inner) for name, inner in node.items()}
    if isinstance(node.get("$ref"), str):
        quoted["$ref"] = urllib.parse.quote(node["$ref"], safe="#/:?&=%~+,;@!$'()*-._")
    return quoted


class _State(NamedTuple):
    """Where a text stands: in the grammar, and among names; None for the latter where nothing is held to them."""

    grammar: Any
    place: Place | None


class _Matchers:
    """One state per row and text so far, so that beams may be reordered and rows dropped."""

    def __init__(self, fresh: list[Any], names: list[Names | None]) -> None:
        self.fresh = [_State(grammar, Place() if held else None) for grammar, held in zip(fresh, names, strict=True)]
        self.names = names
        self.states: dict[int, dict[tuple[int, ...], _State]] = {}

    def __call__(self, rows: Sequence[int], texts: Texts, logits: Tensor) -> Tensor:
        # A row's states of the call before are enough: every text is one of theirs and a token more.
        before = {row: self.states.pop(row, {}) for row in set(rows)}
        bits = bytearray()
        for row, text in zip(rows, map(tuple, texts), strict=True):
            state = self._advance(before[row], row, text)
            self.states.setdefault(row, {})[text] = state
            allowed, names = state.grammar.compute_bitmask(), self.names[row]
            bits += names.narrowed(state.place, allowed) if names and state.place else allowed
        allowed = torch.frombuffer(bits, dtype=torch.int32).view(len(rows), -1).to(logits.device)
        shifts = torch.arange(32, dtype=torch.int32, device=logits.device)
        forbidden = ((allowed[:, :, None] >> shifts) & 1).flatten(1)[:, : logits.shape[1]] == 0
        return logits.masked_fill(forbidden, float("-inf"))

    def steer(self, row: int, text: Sequence[int], guess: list[int]) -> list[int]:
        """See ``Steering``."""
        state = self._advance(self.states.get(row, {}), row, tuple(text))
        self.states[row] = {tuple(text): state}
        forced: list[int] = state.grammar.compute_ff_tokens()
        if len(forced) > len(guess) or forced != guess[: len(forced)]:
            return forced
        return guess[: state.grammar.validate_tokens(guess)]

    def _advance(self, before: dict[tuple[int, ...], _State], row: int, text: tuple[int, ...]) -> _State:
        if text in before:
            return before[text]
        known = before.get(text[:-1]) if text else None
        grammar, place = known or self.fresh[row]
        grammar, more = grammar.deep_copy(), list(text[-1:] if known else text)
        grammar.consume_tokens(more)
        names = self.names[row]
        return _State(grammar, names.after(place, more) if names and place else None)


def _read_schema(path: str) -> Schema:
    try:
        return read_schema(path)
    except DataError as error:
        raise ConfigError(f"{KEY}.init_args.schema: {path!r}: {error}: name a file that holds a JSON schema") from error
