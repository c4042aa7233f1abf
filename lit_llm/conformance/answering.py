"""Rows that are answered together, and leave one after another, against the same rows alone."""

from __future__ import annotations

from typing import Any

import torch

from lit_llm.conformance.bench import ROWS, Bench
from lit_llm.conformance.findings import WrongError
from lit_llm.generation.decoding import Sampler, decode, greedy
from lit_llm.generation.stopping import Stop

LIMITS = (3, 9, 6, 8)
"""After how many tokens each row leaves."""


def batches(bench: Bench) -> str:
    """Answer rows greedily."""
    return _compared(bench, sampled=False)


def sampled_batches(bench: Bench) -> str:
    """Answer rows by sampling."""
    return _compared(bench, sampled=True)


def _compared(bench: Bench, *, sampled: bool) -> str:
    together = _answers(bench, list(range(len(ROWS))), sampled)
    for place, found in enumerate(together):
        alone = _answers(bench, [place], sampled)[0]
        if found != alone:
            texts = " for ".join(repr(bench.tokenizer.decode(tokens)) for tokens in (found, alone))
            raise WrongError(f"row {place + 1} of {len(ROWS)} is answered otherwise in a batch: {texts}")
    return f"{len(ROWS)} rows of unlike length that leave one by one are answered as each alone"


def _answers(bench: Bench, places: list[int], sampled: bool) -> list[list[int]]:
    prompt = bench.prompt(places)
    choose: Any = greedy
    stop = Stop(bench.tokenizer, "never")
    if sampled:
        choose = Sampler(prompt, max(LIMITS), seed=1, temperature=1.0, top_p=0.9, top_k=50)
    with torch.inference_mode():
        done = decode(bench.model, prompt, [LIMITS[place] for place in places], choose, stop)
    return [row.tokens for row in done]
