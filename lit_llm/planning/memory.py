"""From a run file to the memory that its training and its answers take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from lit_llm.errors import ConfigError
from lit_llm.models.backbone import weight_dtype
from lit_llm.models.layers import Checkpointing, repeats_after
from lit_llm.planning.known import configuration, refuse_experts
from lit_llm.planning.tracing import Step, Traced, Weights, trace, weigh

GIB = 2**30

CONTEXT = 0.6 * GIB
"""What CUDA takes for itself: 0.3 to 0.7 GiB once kernels are loaded, and workspaces of its products."""

TIGHT, FULL = 0.9, 0.97
"""Shares of a GPU up to which a plan fits, and fits tightly: tensors of unlike size leave gaps between them."""


MOMENTS = {"Adam": 2, "LAMB": 2, "Lion": 1, "SGD": 1, "RMSprop": 1, "Adagrad": 1, "LARS": 1}
"""Numbers that optimizers of bitsandbytes keep for each that learns, by a part of their names."""


@dataclass(frozen=True)
class Memory:
    """Bytes that a training needs, and what for.

    Attributes:
        weights: of the base, as they are stored.
        adapter: weights that learn.
        gradients: of these.
        optimizer: its state.
        activations: what the forward pass keeps for the backward pass.
        logits: of a chunk of tokens, with their gradient.
        rest: what else there is at the fullest moment, less what is not there any more or yet.
        context: CUDA's own.
    """

    weights: float
    adapter: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    rest: float
    context: float = CONTEXT

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(vars(self).values()))


@dataclass(frozen=True)
class Answering:
    """Bytes that answering a batch needs.

    Attributes:
        weights: of the base, with the adapter in them or beside them.
        cache: keys and values of prompts and answers.
        logits: of one token of each row.
        context: CUDA's own.
    """

    weights: float
    cache: float
    logits: float
    context: float = CONTEXT

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(vars(self).values()))


@dataclass(frozen=True)
class Plan:
    """A training, by what decides the memory it needs.

    Attributes:
        backbone: hub id or folder of the base.
        loading: how it is opened.
        adapter: which weights learn.
        optimizer: makes the optimizer of parameters.
        quantizer: how weights are stored; None for as they are.
        precision: the trainer's.
        checkpointing: which activations are computed again in the backward pass.
        batch: rows of a micro-batch.
        length: tokens of its longest row.
        accumulates: micro-batches to an optimizer step.
        clips: whether gradients are clipped.
        merges: whether the adapter is added into the weights before answering.
    """

    backbone: str
    loading: Any
    adapter: Any
    optimizer: Callable[[Any], torch.optim.Optimizer]
    quantizer: Any
    precision: str
    checkpointing: Checkpointing
    batch: int
    length: int
    accumulates: int = 1
    clips: bool = True
    merges: bool = False

    def memory(self, exact: bool = False) -> Memory:
        """Return what it needs.

        Args:
            exact: trace all layers; otherwise two small networks, and go on in a straight line, which takes seconds
                and is the same, or up to 3 % less where the fullest moment is another one in a deep network.

        Raises:
            ConfigError: if the base is unknown or cannot be traced.
        """
        weights, traced = self._weights, self._trace() if exact else self._estimated
        optimizer = traced.optimizer if self._traces_optimizer else self._state * weights.count
        activations = traced.activations - traced.optimizer - (traced.gradients if self.accumulates > 1 else 0)
        logits = traced.loss - traced.activations
        peak = max(traced.loss, traced.backward, traced.update) - traced.optimizer
        # A layer whose weights are stored in fewer bits is multiplied in plain ones, one at a time.
        unpacked = self._largest_layer() if self.quantizer else 0.0
        return Memory(
            weights=weights.frozen + self._stored(weights.linear) - weights.linear,
            adapter=weights.learned,
            gradients=traced.gradients,
            optimizer=optimizer,
            activations=activations,
            logits=logits,
            rest=peak - traced.gradients - activations - logits + unpacked,
        )

    def answering(self, rows: int, tokens: int) -> Answering:
        """Return what answering takes.

        Args:
            rows: answered at a time.
            tokens: of a row's prompt and answer.
        """
        config = self.config.get_text_config()
        known = self._weights
        beside = known.learned if self.adapter.folder == "model" or not self.merges else 0.0
        # A merge needs plain weights.
        stored = known.linear if self.merges else self._stored(known.linear)
        weights = known.frozen + stored - known.linear + beside
        heads = config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // heads
        groups = getattr(config, "num_key_value_heads", None) or heads
        # Rotary positions leave keys in the dtype of the weights; values are products, in autocast's.
        width = self.dtype.itemsize + (self._autocast or self.dtype).itemsize
        places = sum(_kept(kind, config, tokens) for kind in _kinds(config))
        return Answering(weights, float(width * groups * size * places * rows), 8.0 * rows * config.vocab_size)

    @property
    def config(self) -> Any:
        """The configuration of the base."""
        return configuration(self.backbone, self.loading)

    @property
    def dtype(self) -> torch.dtype:
        """Of weights that are not stored in fewer bits."""
        return weight_dtype(self.loading, self.precision, learns_whole=self.adapter.folder == "model")

    @property
    def _autocast(self) -> torch.dtype | None:
        kinds = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
        return kinds.get(self.precision)

    @cached_property
    def _traces_optimizer(self) -> bool:
        """Whether the optimizer is one of torch's, which compute with any tensor."""
        return not type(self._optimizer).__module__.startswith("bitsandbytes")

    @cached_property
    def _optimizer(self) -> Any:
        return self.optimizer([torch.nn.Parameter(torch.zeros(1))])

    @property
    def _state(self) -> float:
        """Bytes that an optimizer of bitsandbytes keeps for each number that learns."""
        name = type(self._optimizer).__name__
        moments = next((count for part, count in MOMENTS.items() if part in name), None)
        if moments is None:
            raise ConfigError(f"--plan: what {name} keeps is not known: try a few steps with --trainer.fast_dev_run 5")
        # With a scale for 256 numbers where they are rounded.
        return moments * (1 + 4 / 256 if self._optimizer.args.optim_bits == 8 else 4)

    @cached_property
    def _weights(self) -> Weights:
        weights: Weights = self._from_two(weigh)
        return weights

    @cached_property
    def _estimated(self) -> Traced:
        traced: Traced = self._from_two(trace)
        return traced

    def _trace(self) -> Traced:
        traced: Traced = self._tried(trace, self._depth)
        return traced

    def _from_two(self, look: Callable[[Step, int], Any]) -> Any:
        """Return what two small networks tell of the whole."""
        depth, period = self._depth, self._period
        if depth <= 2 * period:
            return self._tried(look, depth)
        short, longer = self._tried(look, period), self._tried(look, 2 * period)
        return longer.beyond(short, (depth - 2 * period) / period)

    def _tried(self, look: Callable[[Step, int], Any], layers: int) -> Any:
        """Look at a network with so many layers."""
        text = self.config.get_text_config()
        refuse_experts(text)
        step = Step(
            self.config,
            self.adapter,
            self.optimizer if self._traces_optimizer else None,
            self.dtype,
            self._autocast,
            self.checkpointing,
            self.batch,
            self.length,
            self.accumulates > 1,
            self.clips,
            "eager" if self.loading.attn_implementation == "eager" else "sdpa",
            tuple(getattr(self.quantizer, "skip", None) or ()),
        )
        try:
            return look(step, layers)
        except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0][:200]
            raise ConfigError(
                f"--plan: a step of {text.model_type} with {type(self.adapter).__name__} cannot be traced without its "
                f"weights ({reason}): train a few steps with --trainer.fast_dev_run 5 instead"
            ) from error

    @property
    def _depth(self) -> int:
        return int(self.config.get_text_config().num_hidden_layers)

    @property
    def _period(self) -> int:
        """After how many layers their kinds repeat."""
        kinds = getattr(self.config.get_text_config(), "layer_types", None) or [""]
        repeats = (n for n in range(1, len(kinds)) if all(kind == kinds[at % n] for at, kind in enumerate(kinds)))
        return math.lcm(next(repeats, len(kinds)), repeats_after(self.checkpointing))

    def _stored(self, linear: float) -> float:
        """Return what weights of linear layers take as they are stored."""
        count = linear / self.dtype.itemsize
        if self.quantizer is None:
            return linear
        if type(self.quantizer).__name__ == "NF4":
            # A scale for 64 weights: in 32 bits, or in 8 with one in 32 for 256 of them.
            return count * (0.5 + (1 / 64 + 4 / (64 * 256) if self.quantizer.double_quant else 4 / 64))
        width: int = self.config.get_text_config().hidden_size
        return count * (1 + 4 / width)

    def _largest_layer(self) -> float:
        text = self.config.get_text_config()
        inner = getattr(text, "intermediate_size", None) or 4 * text.hidden_size
        return float(text.hidden_size * inner * self.dtype.itemsize)

    def changed(self, **fields: Any) -> Plan:
        """Return the plan with other settings."""
        return replace(self, **fields)


def _kinds(config: Any) -> list[str]:
    """Return what each layer attends to."""
    if kinds := getattr(config, "layer_types", None):
        return list(kinds)
    slides = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    return ["sliding_attention" if slides else "full_attention"] * config.num_hidden_layers


def _kept(kind: str, config: Any, tokens: int) -> int:
    """Return how many tokens a layer keeps keys and values of."""
    if kind == "full_attention":
        return tokens
    window = getattr(config, "sliding_window", None)
    return min(tokens, window or tokens) if kind == "sliding_attention" else 0
