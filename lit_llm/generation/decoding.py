"""Token by token: greedy and sampled decoding of one batch whose rows leave as they finish."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lit_llm.generation.prompts import call, positions, read_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from lit_llm.batch import Prompt
    from lit_llm.generation.constraint import Mask
    from lit_llm.generation.drafts import Drafting
    from lit_llm.generation.stopping import Stop

    Choose = Callable[[Sequence[int], Sequence[int], Tensor], Tensor]


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

    def __call__(self, rows: Sequence[int], steps: Sequence[int], logits: Tensor) -> Tensor:
        """Return the next token ``[R]`` of these rows at their steps, given their logits ``[R, V]``."""
        # In float64: a float32 running sum over a large vocabulary loses the unlikely tokens.
        scaled = logits.double() / self.temperature
        likely, order = scaled.topk(self.top_k if 0 < self.top_k < scaled.shape[1] else scaled.shape[1])
        shares = likely.softmax(-1)
        before = shares.cumsum(-1) - shares
        mass = (shares * (before < self.top_p)).cumsum(-1)
        aim = self.uniform[list(rows), list(steps)].to(mass.device)[:, None] * mass[:, -1:]
        pick = torch.searchsorted(mass, aim, right=True).clamp(max=mass.shape[1] - 1)
        return order.gather(1, pick)[:, 0]


def greedy(rows: Sequence[int], steps: Sequence[int], logits: Tensor) -> Tensor:
    """Return the likeliest token ``[R]`` of these rows."""
    return logits.argmax(-1)


def decode(
    model: Any,
    prompt: Prompt,
    limits: Sequence[int],
    choose: Choose,
    stop: Stop,
    mask: Mask | None = None,
    cache_bits: int | None = None,
    drafting: Drafting | None = None,
    shared: bool = True,
) -> list[Decoded]:
    """Continue every row of a left-padded prompt until it stops.

    Args:
        model: a Hugging Face causal LM in eval mode.
        prompt: ``B`` rows on the model's device.
        limits: the longest answer of each row in tokens.
        choose: picks tokens ``[R]`` from the running rows' places, their steps and the logits ``[R, V]``.
        stop: tells from the generated tokens which rows are finished.
        mask: sets the logits of forbidden tokens to −inf.
        cache_bits: rounds keys and values to so many bits.
        drafting: guesses tokens that are read together with the newest one.
        shared: read once what all prompts begin with, where the model's cache allows it.

    Returns:
        One result per row, in the order of the prompt.
    """
    run: _Run = (
        _DraftedRun(model, prompt, limits, drafting, shared)
        if drafting
        else _PlainRun(model, prompt, limits, cache_bits, shared)
    )
    while run.rows:
        run.retire(run.settle(choose, stop, mask))
        if run.rows:
            run.forward()
    return [run.done[row] for row in range(len(prompt.attention_mask))]


class _Run(ABC):
    """The running rows of a batch: their texts and scores.

    Attributes:
        rows: places in the batch of those that run.
        texts: generated tokens of every row of the batch.
        guesses: of each running row, up to ``t - 1`` tokens.
        logits: ``[R, t, V]`` of each running row: what follows its newest token, then what follows each guess.
        done: what became of each row that has left.
    """

    logits: Tensor

    def __init__(self, prompt: Prompt, limits: Sequence[int]) -> None:
        count, device = len(prompt.attention_mask), prompt.attention_mask.device
        self.limits = limits
        self.rows = list(range(count))
        self.texts: list[list[int]] = [[] for _ in self.rows]
        self.guesses: list[list[int]] = [[] for _ in self.rows]
        self.total = torch.zeros(count, device=device, dtype=torch.float64)
        self.done: dict[int, Decoded] = {}

    @abstractmethod
    def forward(self) -> None:
        """Run the model on the newest token of each row, and on its guesses."""

    @abstractmethod
    def keep(self, index: Tensor) -> None:
        """Keep the rows at these places in the cache, in this order."""

    def settle(self, choose: Choose, stop: Stop, mask: Mask | None) -> dict[int, bool]:
        """Give every row its next token, and go on along its guesses for as long as they are what is chosen.

        Returns:
            The places of rows that are finished (True) or at their limit (False).
        """
        leaving: dict[int, bool] = {}
        places = list(range(len(self.rows)))
        for column in range(self.logits.shape[1]):
            rows = [self.rows[place] for place in places]
            texts = [self.texts[row] for row in rows]
            logits = self.logits[:, column] if len(places) == len(self.rows) else self.logits[places, column]
            tokens = choose(rows, [len(text) for text in texts], mask(rows, texts, logits) if mask else logits)
            self._append(places, tokens, logits)
            ends = stop.finished(texts)
            leaving |= {
                place: finished
                for place, row, finished in zip(places, rows, ends, strict=True)
                if finished or len(self.texts[row]) >= self.limits[row]
            }
            places = [
                place
                for place, text in zip(places, texts, strict=True)
                if place not in leaving and self.guesses[place][column : column + 1] == text[-1:]
            ]
            if not places:
                break
        return leaving

    def retire(self, leaving: dict[int, bool]) -> None:
        """Take rows out, finished or not; the last ones move into their places, so that little is copied."""
        if not leaving:
            return
        self._record(leaving)
        keep = [place for place in range(len(self.rows)) if place not in leaving]
        for hole in sorted(leaving):
            if hole < len(keep):
                keep.insert(hole, keep.pop())
        self.rows = [self.rows[place] for place in keep]
        index = torch.tensor(keep, dtype=torch.long, device=self.total.device)
        self.total = self.total[index]
        self.keep(index)

    def _append(self, places: list[int], tokens: Tensor, logits: Tensor) -> None:
        """Add a token ``[P]`` to the rows at these places, and its log-probability to their sums."""
        gained = (logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(-1)).double()
        if len(places) == len(self.rows):
            self.total += gained
        else:
            self.total[places] += gained
        for place, token in zip(places, tokens.tolist(), strict=True):
            self.texts[self.rows[place]].append(token)

    def _record(self, leaving: dict[int, bool]) -> None:
        totals = self.total.tolist()
        for place, finished in leaving.items():
            row = self.rows[place]
            self.done[row] = Decoded(self.texts[row], totals[place] / len(self.texts[row]), finished)


class _PlainRun(_Run):
    """Rows that read one token at a time, and so stand side by side in the cache."""

    def __init__(self, model: Any, prompt: Prompt, limits: Sequence[int], cache_bits: int | None, shared: bool) -> None:
        from lit_llm.generation.cache import growing_cache
        from lit_llm.generation.ragged import why_not_ragged

        super().__init__(prompt, limits)
        self.model = model
        self.cache = growing_cache(model.config, cache_bits)
        by_position = why_not_ragged(model) is None
        # Rounding would begin too early behind a part that is read apart.
        apart = shared and cache_bits is None and by_position
        read = read_prompts(model, self.cache, prompt, apart)
        self.position, self.logits = positions(read.mask)[:, -1:], read.logits
        # Without padding there is nothing to hide, and kernels without a mask are faster.
        self.mask = None if by_position and bool(read.mask.all()) else read.mask

    def forward(self) -> None:
        """Run the model on the newest tokens."""
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], dim=1)
        self.position = self.position + 1
        newest = torch.tensor([self.texts[row][-1:] for row in self.rows], device=self.position.device)
        self.logits = call(self.model, self.cache, self.mask, self.position, 1, input_ids=newest)

    def keep(self, index: Tensor) -> None:
        """See ``_Run.keep``."""
        self.position = self.position[index]
        self.mask = None if self.mask is None else self.mask[index]
        if len(index):
            self.cache.batch_select_indices(index)


class _DraftedRun(_Run):
    """Rows that read guesses too, and lengthen by as many as come true."""

    def __init__(self, model: Any, prompt: Prompt, limits: Sequence[int], drafting: Drafting, shared: bool) -> None:
        from lit_llm.generation.ragged import RaggedRows

        super().__init__(prompt, limits)
        self.drafting = drafting
        self.ragged = RaggedRows(model, prompt, shared)
        self.logits = self.ragged.first

    def forward(self) -> None:
        """Run the model on the newest token of each row and on what is guessed to follow it."""
        self.guesses = self.drafting(self.rows, self.texts, self.limits)
        known = [len(self.texts[row]) - 1 for row in self.rows]
        newest = [self.texts[row][-1:] + guess for row, guess in zip(self.rows, self.guesses, strict=True)]
        self.logits = self.ragged.read(known, newest)

    def keep(self, index: Tensor) -> None:
        """See ``_Run.keep``."""
        self.ragged.keep(index)


def _row_seed(prompt: Prompt, row: int, seed: int) -> int:
    source = prompt.input_ids if prompt.input_ids is not None else prompt.inputs_embeds
    if source is None:
        return seed
    own = source[row][prompt.attention_mask[row].bool()]
    content = own.detach().float().cpu().numpy().tobytes() if own.is_floating_point() else repr(own.tolist()).encode()
    return int.from_bytes(hashlib.sha256(content + repr(seed).encode()).digest()[:8], "little") >> 1
