"""Token by token: greedy and sampled decoding of one batch whose rows leave as they finish."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from lit_llm.batch import Prompt
    from lit_llm.generation.constraint import Mask
    from lit_llm.generation.stopping import Stop


@dataclass
class Decoded:
    """What became of one row.

    Attributes:
        tokens: generated ids, the end token included.
        score: their mean log-probability under the model, before any constraint, temperature or filter.
        finished: False where the token limit came first.
    """

    tokens: list[int]
    score: float
    finished: bool


class Sampler:
    """Draws tokens with one random stream per row, so a row's text depends on neither its batch nor its neighbours.

    Args:
        prompt: the rows; the stream of a row is seeded by ``seed`` and its unpadded prompt.
        steps: the longest answer in tokens.
        seed: changes all streams.
        temperature: divides the logits.
        top_p: smallest probability mass of the likeliest tokens that are kept.
        top_k: number of the likeliest tokens that are kept; 0 keeps all.
    """

    def __init__(self, prompt: Prompt, steps: int, seed: int, temperature: float, top_p: float, top_k: int) -> None:
        self.temperature, self.top_p, self.top_k = temperature, top_p, top_k
        streams = [
            torch.Generator().manual_seed(_row_seed(prompt, row, seed)) for row in range(len(prompt.attention_mask))
        ]
        self.uniform = torch.stack([torch.rand(steps, generator=stream, dtype=torch.float64) for stream in streams])

    def __call__(self, rows: list[int], step: int, logits: Tensor) -> Tensor:
        """Return the next token ``[R]`` of these rows, given their logits ``[R, V]``."""
        # In float64: a float32 running sum over a large vocabulary loses the unlikely tokens.
        scaled = logits.double() / self.temperature
        likely, order = scaled.topk(self.top_k if 0 < self.top_k < scaled.shape[1] else scaled.shape[1])
        shares = likely.softmax(-1)
        before = shares.cumsum(-1) - shares
        mass = (shares * (before < self.top_p)).cumsum(-1)
        aim = self.uniform[rows, step].to(mass.device)[:, None] * mass[:, -1:]
        pick = torch.searchsorted(mass, aim, right=True).clamp(max=mass.shape[1] - 1)
        return order.gather(1, pick)[:, 0]


def greedy(rows: list[int], step: int, logits: Tensor) -> Tensor:
    """Return the likeliest token ``[R]`` of these rows."""
    return logits.argmax(-1)


def decode(
    model: Any,
    prompt: Prompt,
    limits: Sequence[int],
    choose: Callable[[list[int], int, Tensor], Tensor],
    stop: Stop,
    mask: Mask | None = None,
    cache_bits: int | None = None,
) -> list[Decoded]:
    """Continue every row of a left-padded prompt until it stops.

    Args:
        model: a Hugging Face causal LM in eval mode.
        prompt: ``B`` rows on the model's device.
        limits: the longest answer of each row in tokens.
        choose: picks tokens ``[R]`` from the running rows' places, the step and the logits ``[R, V]``.
        stop: tells from the generated tokens ``[R, T]`` which rows are finished.
        mask: sets the logits of forbidden tokens to −inf.
        cache_bits: rounds keys and values to so many bits.

    Returns:
        One result per row, in the order of the prompt.
    """
    run = _Run(model, prompt, cache_bits)
    step = 0
    while run.rows:
        if step:
            run.forward()
        logits = run.logits
        token = choose(run.rows, step, mask(run.rows, run.tokens, logits) if mask else logits)
        step += 1
        run.append(token)
        run.retire(stop(run.tokens).tolist(), [limits[row] <= step for row in run.rows])
    return [run.done[row] for row in range(len(prompt.attention_mask))]


class _Run:
    """The running rows of a batch: their cache, masks, tokens and scores."""

    def __init__(self, model: Any, prompt: Prompt, cache_bits: int | None) -> None:
        from lit_llm.generation.cache import growing_cache

        self.model = model
        self.cache = growing_cache(model.config, cache_bits)
        self.mask = prompt.attention_mask
        # Counted over real tokens, so that padding on the left moves no row's positions.
        positions = (self.mask.cumsum(-1) - 1).clamp(min=0)
        self.position = positions[:, -1:]
        self.rows = list(range(len(self.mask)))
        self.tokens = self.mask.new_empty(len(self.mask), 0)
        self.total = torch.zeros(len(self.mask), device=self.mask.device)
        self.done: dict[int, Decoded] = {}
        inputs = {"input_ids": prompt.input_ids, "inputs_embeds": prompt.inputs_embeds}
        self.logits = self._call(positions, **{name: value for name, value in inputs.items() if value is not None})

    def append(self, token: Tensor) -> None:
        """Add a token ``[B]`` to every row, and its log-probability to the row's sum."""
        chosen = self.logits.gather(1, token[:, None])[:, 0]
        self.total = self.total + chosen - self.logits.logsumexp(-1)
        self.tokens = torch.cat([self.tokens, token[:, None]], dim=1)

    def forward(self) -> None:
        """Run the model on the newest tokens."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self.position = self.position + 1
        self.logits = self._call(self.position, input_ids=self.tokens[:, -1:])

    def retire(self, finished: list[bool], exhausted: list[bool]) -> None:
        """Take rows out that are finished or at their limit; the last ones move into their places: little is copied."""
        leaving = [place for place, leaves in enumerate(zip(finished, exhausted, strict=True)) if any(leaves)]
        if not leaving:
            return
        self._record(leaving, finished)
        keep = [place for place in range(len(self.rows)) if place not in set(leaving)]
        for hole in leaving:
            if hole < len(keep):
                keep.insert(hole, keep.pop())
        self.rows = [self.rows[place] for place in keep]
        index = torch.tensor(keep, dtype=torch.long, device=self.mask.device)
        self.mask, self.position = self.mask[index], self.position[index]
        self.tokens, self.total = self.tokens[index], self.total[index]
        if keep:
            self.cache.batch_select_indices(index)

    def _record(self, places: list[int], finished: list[bool]) -> None:
        tokens, totals = self.tokens.tolist(), self.total.tolist()
        for place in places:
            score = totals[place] / len(tokens[place])
            self.done[self.rows[place]] = Decoded(tokens[place], score, finished[place])

    def _call(self, positions: Tensor, **inputs: Tensor) -> Tensor:
        output = self.model(
            **inputs,
            attention_mask=self.mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits


def _row_seed(prompt: Prompt, row: int, seed: int) -> int:
    source = prompt.input_ids if prompt.input_ids is not None else prompt.inputs_embeds
    if source is None:
        return seed
    own = source[row][prompt.attention_mask[row].bool()]
    content = own.detach().float().cpu().numpy().tobytes() if own.is_floating_point() else repr(own.tolist()).encode()
    return int.from_bytes(hashlib.sha256(content + repr(seed).encode()).digest()[:8], "little") >> 1
