"""Decoding held to a grammar: tokens that cannot continue a valid answer get probability zero."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lit_llm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    Mask = Callable[[Sequence[int], Tensor, Tensor], Tensor]

COMPACT: Any = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
"""How the grammar writes JSON: as ``json.dumps(value, separators=(",", ":"))`` wrote what the model learned from."""

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
            A function of the rows' places in ``meta`` (``R`` of them, in any order and number), their generated
            tokens ``[R, T]`` and the logits ``[R, V]``; it returns the logits with −inf at what may not follow.
        """


class JsonSchemaConstraint(Constraint):
    """Holds every row to its own JSON schema, ``meta["schema"]``, written without white space.

    Needs the extra ``constrained`` (llguidance). Properties come in the order of the schema. Strings and arrays
    without ``maxLength`` and ``maxItems`` can still run into the token limit.

    Args:
        schema: JSON file with the schema of rows that bring none; without it such rows may be any JSON value.

    Raises:
        ConfigError: if llguidance is not installed or the file cannot be read as JSON.
    """

    def __init__(self, schema: str | None = None) -> None:
        if find_spec("llguidance") is None:
            raise ConfigError(
                "model.init_args.generator.init_args.constraint: JsonSchemaConstraint needs llguidance, which is not "
                "installed: pip install 'lit-llm[constrained]'"
            )
        self.schema = schema
        self._default = _read_schema(schema) if schema else {}
        self._vocabulary: tuple[Any, ...] = ()
        self._matchers: dict[str, Any] = {}

    def start(
        self, tokenizer: PreTrainedTokenizerBase, meta: list[dict[str, Any]], end_ids: list[int], vocab_size: int
    ) -> Mask:
        """See ``Constraint.start``.

        Raises:
            DataError: if llguidance cannot express a schema.
            ConfigError: if the tokenizer is not a fast one.
        """
        vocabulary = self._wrap(tokenizer, end_ids, vocab_size)
        schemas = [row.get("schema") or self._default for row in meta]
        return _Matchers([self._matcher(vocabulary, schema) for schema in schemas])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what lives in llguidance and cannot travel between processes."""
        return {**self.__dict__, "_vocabulary": (), "_matchers": {}}

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
            self._vocabulary, self._matchers = (tokenizer, vocab_size, wrapped), {}
        return self._vocabulary[2]

    def _matcher(self, vocabulary: Any, schema: Any) -> Any:
        from llguidance import LLMatcher

        text = schema if isinstance(schema, str) else json.dumps(schema, ensure_ascii=False)
        if text not in self._matchers:
            grammar = LLMatcher.grammar_from_json_schema(text, overrides=COMPACT)
            matcher = LLMatcher(vocabulary, grammar)
            if matcher.is_error():
                reason = " ".join(matcher.get_error().split())
                raise DataError(
                    f"meta.schema: {text[:200]!r} cannot be held while decoding: {reason}; "
                    "simplify the schema or remove the generator's constraint"
                )
            if len(self._matchers) >= GRAMMARS_KEPT:
                self._matchers.clear()
            self._matchers[text] = matcher
        return self._matchers[text]


class _Matchers:
    """One grammar state per row and text so far, so that beams may be reordered and rows dropped."""

    def __init__(self, fresh: list[Any]) -> None:
        self.fresh = fresh
        self.states: dict[tuple[int, tuple[int, ...]], Any] = {}

    def __call__(self, rows: Sequence[int], tokens: Tensor, logits: Tensor) -> Tensor:
        # States of the step before are enough: every text is one of theirs and a token more.
        before, self.states = self.states, {}
        bits = bytearray()
        for row, text in zip(rows, map(tuple, tokens.tolist()), strict=True):
            state = self._advance(before, row, text)
            self.states[row, text] = state
            bits += state.compute_bitmask()
        allowed = torch.frombuffer(bits, dtype=torch.int32).view(len(rows), -1).to(logits.device)
        shifts = torch.arange(32, dtype=torch.int32, device=logits.device)
        forbidden = ((allowed[:, :, None] >> shifts) & 1).flatten(1)[:, : logits.shape[1]] == 0
        return logits.masked_fill(forbidden, float("-inf"))

    def _advance(self, before: dict[tuple[int, tuple[int, ...]], Any], row: int, text: tuple[int, ...]) -> Any:
        known = before.get((row, text[:-1])) if text else None
        state = (known or self.fresh[row]).deep_copy()
        state.consume_tokens(list(text[-1:] if known else text))
        return state


def _read_schema(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"model.init_args.generator.init_args.constraint.init_args.schema: {path!r} is not a readable JSON file "
            f"({error}): name a file that holds a JSON schema"
        ) from error
