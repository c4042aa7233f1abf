"""The engine: batches of prompts to text, the way a run file describes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch

from lit_llm.batch import Prompt
from lit_llm.errors import ConfigError, UserError
from lit_llm.generation.beams import beam_search
from lit_llm.generation.constraint import Constraint
from lit_llm.generation.decoding import Decoded, Sampler, decode, greedy
from lit_llm.generation.drafts import Draft, Drafting
from lit_llm.generation.prompts import left_pad, take
from lit_llm.generation.repetition import repetition_mask
from lit_llm.generation.stopping import Stop, StopRule, thought_ids

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedTokenizerBase

    from lit_llm.generation.constraint import Mask, Texts

KEY = "model.init_args.generator.init_args"

SLACK = 32
"""Tokens that an answer may have beyond a multiple of its source's."""


@dataclass(frozen=True)
class Generation:
    """The answer to one prompt.

    Attributes:
        text: the answer without control tokens.
        new_tokens: generated tokens, the end token included.
        score: their mean log-probability under the unconstrained model.
        finished: False where the token limit came before the end.
        notes: what data noted when they settled the text, for the row's meta.
    """

    text: str
    new_tokens: int
    score: float
    finished: bool
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass
class Memory:
    """What a generator has learned about the machine; no part of its settings.

    Attributes:
        rows: how many rows fit at a time.
    """

    rows: int = 1 << 30


class Generator:
    """Continues prompts; the same rows give the same text in any batch (in fp32).

    Rows leave the batch when they finish. A batch that does not fit into memory is halved, and the smaller size is
    remembered. The global random state is never touched.

    Args:
        max_new_tokens: the longest answer in tokens; rows that reach it are reported as unfinished.
        per_source: shortens the limit of a row to this many times the tokens of its source text, and 32 more.
        num_beams: 1 decodes greedily or by sampling, more searches that many continuations of a row at a time.
        do_sample: draw tokens instead of taking the likeliest.
        temperature: divides the logits before sampling.
        top_p: sample from the likeliest tokens that together have this probability.
        top_k: sample from this many of the likeliest tokens; 0 means all.
        seed: seed of sampling; each row draws from its own stream.
        length_penalty: power of the length that divides a beam's log-probability.
        repetition_penalty: above 1, makes tokens that an answer already holds less likely; the prompt does not count.
        no_repeat_ngram_size: forbids an answer to repeat a sequence of this many of its tokens; 0 allows all.
        cache_bits: round keys and values to 8, 4 or 2 bits, which saves memory with long texts.
        stop: ``eos`` stops at the end token, ``json`` also where the top-level JSON object or array closes, ``never``
            writes ``max_new_tokens`` whatever comes.
        constraint: holds answers to a grammar, such as each row's JSON schema.
        draft: guesses tokens ahead, which the model reads in one go and keeps as far as it would have written them.
        share_prompt: read what all prompts of a batch begin with once, such as a system turn and examples.

    Raises:
        ConfigError: if a value is impossible.
    """

    def __init__(
        self,
        max_new_tokens: int = 256,
        per_source: float | None = None,
        num_beams: int = 1,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        length_penalty: float = 1.0,
        repetition_penalty: float = 1.0,
        no_repeat_ngram_size: int = 0,
        cache_bits: Literal[8, 4, 2] | None = None,
        stop: StopRule = "eos",
        constraint: Constraint | None = None,
        draft: Draft | None = None,
        share_prompt: bool = True,
    ) -> None:
        _require(max_new_tokens >= 1, "max_new_tokens", max_new_tokens, "at least 1")
        _require(per_source is None or per_source > 0, "per_source", per_source, "above 0")
        _require(num_beams >= 1, "num_beams", num_beams, "at least 1")
        _require(not (do_sample and num_beams > 1), "num_beams", num_beams, "1 where do_sample is true")
        _require(temperature > 0, "temperature", temperature, "above 0 (for greedy decoding set do_sample: false)")
        _require(0 < top_p <= 1, "top_p", top_p, "above 0 and at most 1")
        _require(top_k >= 0, "top_k", top_k, "0 or more")
        _require(repetition_penalty > 0, "repetition_penalty", repetition_penalty, "above 0 (1.0 changes nothing)")
        _require(no_repeat_ngram_size >= 0, "no_repeat_ngram_size", no_repeat_ngram_size, "0 or more")
        _require(
            constraint is None or no_repeat_ngram_size == 0,
            "no_repeat_ngram_size",
            no_repeat_ngram_size,
            "0 beside a constraint, which may leave no other way on",
        )
        _require(cache_bits in (None, 8, 4, 2), "cache_bits", cache_bits, "8, 4, 2 or null")
        _require(not (cache_bits and num_beams > 1), "num_beams", num_beams, "1 where cache_bits is set")
        _require(not (draft and num_beams > 1), "num_beams", num_beams, "1 beside a draft, which follows one text")
        _require(not (draft and cache_bits), "cache_bits", cache_bits, "null beside a draft")
        _require(stop in ("eos", "json", "never"), "stop", stop, "eos, json or never")
        self.max_new_tokens = max_new_tokens
        self.per_source = per_source
        self.num_beams = num_beams
        self.do_sample = do_sample
        self.temperature = temperature
        self.top_p = top_p
        self.top_k = top_k
        self.seed = seed
        self.length_penalty = length_penalty
        self.repetition_penalty = repetition_penalty
        self.no_repeat_ngram_size = no_repeat_ngram_size
        self.cache_bits = cache_bits
        self.stop = stop
        self.constraint = constraint
        self.draft = draft
        self.share_prompt = share_prompt
        self.memory = Memory()

    def generate(
        self, model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, meta: list[dict[str, Any]]
    ) -> list[Generation]:
        """Answer every row of a batch.

        The model is in eval mode without gradients meanwhile, and as it was afterwards.

        Args:
            model: a Hugging Face causal LM, or a PeftModel around one.
            tokenizer: its tokenizer.
            prompt: ``B`` left-padded rows on the model's device.
            meta: a dict per row; a constraint reads ``schema`` from it, ``per_source`` the text ``source``.

        Raises:
            ConfigError: if ``per_source`` is set and a row names no source.
            UserError: if a single row does not fit into memory.
        """
        decoded: list[Decoded] = []
        with _inference(model) as network:
            while len(decoded) < len(prompt.attention_mask):
                rows = range(len(decoded), min(len(prompt.attention_mask), len(decoded) + self.memory.rows))
                decoded += self._attempt(network, tokenizer, take(prompt, rows), [meta[row] for row in rows])
        return [_generation(tokenizer, row) for row in decoded]

    def _attempt(
        self, model: Any, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, meta: list[dict[str, Any]]
    ) -> list[Decoded]:
        """Decode a batch; return nothing and lower ``memory.rows`` where memory runs out."""
        try:
            return self._decode(model, tokenizer, prompt, meta)
        except RuntimeError as error:
            rows, length = prompt.attention_mask.shape
            if not _out_of_memory(error):
                raise
            if rows == 1:
                raise UserError(
                    f"{KEY}.max_new_tokens: a single prompt of {length} tokens with up to {self.max_new_tokens} new "
                    "ones does not fit into memory: lower max_new_tokens or num_beams, shorten prompts with "
                    "data.init_args.max_length, or load the model quantized"
                ) from error
            self.memory.rows = rows // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return []

    def _decode(
        self, model: Any, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, meta: list[dict[str, Any]]
    ) -> list[Decoded]:
        ids = [] if prompt.input_ids is None else prompt.input_ids[0].tolist()
        stop, limits = Stop(tokenizer, self.stop, prompt=ids, model=model), self._limits(tokenizer, meta)
        vocab_size = model.config.get_text_config().vocab_size
        masks = [repetition_mask(self.repetition_penalty, self.no_repeat_ngram_size)]
        held = self.constraint.start(tokenizer, meta, stop.end_ids, vocab_size) if self.constraint else None
        masks += [held] if held else []
        mask = _one_after_another([mask for mask in masks if mask])
        if self.num_beams > 1:
            return beam_search(model, prompt, limits, self.num_beams, self.length_penalty, stop, mask)
        steps = self.max_new_tokens
        sampler = (
            Sampler(prompt, steps, self.seed, self.temperature, self.top_p, self.top_k) if self.do_sample else None
        )
        if self.draft is None:
            return decode(
                model, prompt, limits, sampler or greedy, stop, mask, self.cache_bits, shared=self.share_prompt
            )
        self.prepare(model, tokenizer)
        drafting = Drafting(self.draft, prompt, held)
        decoded = decode(model, prompt, limits, sampler or greedy, stop, mask, None, drafting, self.share_prompt)
        drafting.finish([row.tokens for row in decoded], [row.finished for row in decoded])
        return decoded

    def prepare(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        """Get ready for a model.

        Args:
            model: a Hugging Face causal LM.
            tokenizer: its tokenizer.

        Raises:
            ConfigError: if tokens are to be guessed, and this model's rows cannot lengthen by numbers of their own.
        """
        if self.draft is None:
            return
        from lit_llm.generation.ragged import why_not_ragged

        if reason := why_not_ragged(model):
            raise ConfigError(
                f"{KEY}.draft: {type(self.draft).__name__} needs rows that lengthen by numbers of their own, and the "
                f"base {reason}: remove draft"
            )
        self.draft.prepare(model, tokenizer)

    def _limits(self, tokenizer: PreTrainedTokenizerBase, meta: list[dict[str, Any]]) -> list[int]:
        if self.per_source is None:
            return [self.max_new_tokens] * len(meta)
        if any("source" not in facts for facts in meta):
            raise ConfigError(f"{KEY}.per_source: {self.per_source} is set, but rows name no source text; leave it out")
        sources = tokenizer([facts["source"] for facts in meta], add_special_tokens=False)["input_ids"]
        return [min(self.max_new_tokens, int(self.per_source * len(ids)) + SLACK) for ids in sources]


def generate_rows(
    generator: Generator,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    meta: list[dict[str, Any]] | None = None,
    batch_size: int = 32,
    sort: bool = True,
    progress: Callable[[int], None] | None = None,
) -> list[Generation]:
    """Answer any number of encoded prompts, in batches of similar length.

    Args:
        generator: how to decode.
        model: a Hugging Face causal LM, or a PeftModel around one.
        tokenizer: its tokenizer.
        prompts: token ids of each prompt, without padding.
        meta: a dict per row.
        batch_size: rows decoded together.
        sort: put prompts of similar length together, the longest first, so that a lack of memory shows early.
        progress: called with the number of rows done after each batch.

    Returns:
        One answer per prompt, in the order of ``prompts``.
    """
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row])) if sort else list(range(len(prompts)))
    device = model.get_input_embeddings().weight.device
    answers: dict[int, Generation] = {}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = left_pad([prompts[row] for row in rows], tokenizer.pad_token_id).to(device)
        done = generator.generate(model, tokenizer, batch, [meta[row] if meta else {} for row in rows])
        answers.update(zip(rows, done, strict=True))
        if progress:
            progress(len(answers))
    return [answers[row] for row in range(len(prompts))]


def _one_after_another(masks: list[Mask]) -> Mask | None:
    def mask(rows: Sequence[int], texts: Texts, logits: Tensor) -> Tensor:
        """Change logits by each of several masks."""
        for each in masks:
            logits = each(rows, texts, logits)
        return logits

    return mask if masks else None


def _generation(tokenizer: PreTrainedTokenizerBase, row: Decoded) -> Generation:
    # Marks of thoughts stay, whatever they are to the tokenizer: without them a draft could not be told from an answer.
    marks = {token: mark for token, mark in thought_ids(tokenizer).items() if token in row.tokens}
    pieces, start = [], 0
    for at, token in [*((at, token) for at, token in enumerate(row.tokens) if token in marks), (len(row.tokens), -1)]:
        text = tokenizer.decode(row.tokens[start:at], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        pieces += [str(text), marks.get(token, "")]
        start = at + 1
    return Generation("".join(pieces), len(row.tokens), row.score, row.finished)


@contextmanager
def _inference(model: nn.Module) -> Iterator[Any]:
    """Give the causal LM in eval mode (which also turns gradient checkpointing off), then restore every module."""
    network: Any = model
    modes = [(module, module.training) for module in model.modules()]
    was_training = model.training
    model.eval()
    try:
        # Not inference_mode: buffers that a model makes on the way may be needed by the next training step.
        with torch.no_grad():
            yield network.get_base_model() if hasattr(network, "get_base_model") else network
    finally:
        model.train(was_training)
        for module, mode in modes:
            module.training = mode


def _out_of_memory(error: RuntimeError) -> bool:
    signs = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in signs)


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise ConfigError(f"{KEY}.{name}: {value!r} is not possible; it must be {expected}")
