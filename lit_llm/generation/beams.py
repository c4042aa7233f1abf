"""Beam search with transformers' ``generate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from lit_llm.generation.decoding import Decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from lit_llm.batch import Prompt
    from lit_llm.generation.constraint import Mask
    from lit_llm.generation.stopping import Stop


def beam_search(
    model: Any,
    prompt: Prompt,
    limits: Sequence[int],
    beams: int,
    length_penalty: float,
    stop: Stop,
    mask: Mask | None = None,
) -> list[Decoded]:
    """Continue every row of a left-padded prompt with its best beam.

    Args:
        model: a Hugging Face causal LM in eval mode.
        prompt: ``B`` rows on the model's device.
        limits: the longest answer of each row in tokens; what a row's best beam has beyond it is cut.
        beams: how many continuations of a row are followed at a time.
        length_penalty: power of the length that divides a beam's log-probability.
        stop: tells from the generated tokens which beams are finished.
        mask: sets the scores of forbidden tokens to −inf.
    """
    from transformers import GenerationConfig

    # With embeddings transformers returns the new tokens alone, and shows only those to its criteria.
    stop.prompt_length = 0 if prompt.input_ids is None else prompt.input_ids.shape[1]
    settings = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max(limits),
        num_beams=beams,
        length_penalty=length_penalty,
        do_sample=False,
        eos_token_id=stop.end_ids or None,
        pad_token_id=stop.end_ids[0] if stop.end_ids else 0,
    )
    inputs = {"input_ids": prompt.input_ids, "inputs_embeds": prompt.inputs_embeds}
    own, model.generation_config = model.generation_config, GenerationConfig()  # type: ignore[no-untyped-call]
    try:
        sequences = model.generate(
            **{name: value for name, value in inputs.items() if value is not None},
            attention_mask=prompt.attention_mask,
            generation_config=settings,
            stopping_criteria=[stop],
            logits_processor=[_mask_beams(mask, stop, beams)] if mask else [],
        )
    finally:
        model.generation_config = own
    rows = sequences[:, stop.prompt_length :].tolist()
    return [_finish(model, prompt, row, tokens[: limits[row]], stop) for row, tokens in enumerate(rows)]


def _mask_beams(mask: Mask, stop: Stop, beams: int) -> Any:
    def process(input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask the scores of all beams; those of a row stand one after the other."""
        rows = [place // beams for place in range(len(input_ids))]
        return mask(rows, input_ids[:, stop.prompt_length :].tolist(), scores)

    return process


def _finish(model: Any, prompt: Prompt, row: int, tokens: list[int], stop: Stop) -> Decoded:
    length = stop.length(tokens)
    kept = tokens[:length]
    return Decoded(kept, _score(model, prompt, row, kept), length is not None)


def _score(model: Any, prompt: Prompt, row: int, tokens: list[int]) -> float:
    """Mean log-probability by one more forward; ``generate`` would keep the logits of all beams and steps for it."""
    real = prompt.attention_mask[row].bool()
    answer = torch.tensor([tokens], device=real.device)
    if prompt.inputs_embeds is None:
        inputs = {"input_ids": torch.cat([prompt.input_ids[row][real][None], answer], 1)}  # type: ignore[index]
    else:
        embedded = model.get_input_embeddings()(answer).to(prompt.inputs_embeds.dtype)
        inputs = {"inputs_embeds": torch.cat([prompt.inputs_embeds[row][real][None], embedded], 1)}
    logits = model(**inputs, logits_to_keep=len(tokens) + 1).logits[:, :-1].float()
    return float(logits.log_softmax(-1).gather(2, answer[:, :, None]).mean())
