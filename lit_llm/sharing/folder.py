"""The files beside weights that are handed on: tokenizer, tokens that end an answer, sizes that all readers find."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.generation import stop_ids
from lit_llm.generation.stopping import own_templates, turn_end
from lit_llm.sharing.about import Templates
from lit_llm.storage import as_created

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def write_beside(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, template: Templates = None
) -> None:
    """Complete a folder of weights, so that other programs ask, stop and read as the run does.

    Args:
        folder: holds the weights, and for a whole model its ``config.json``.
        model: a Hugging Face model.
        tokenizer: its tokenizer.
        template: chat template that the model was trained with, or several by name; by default the tokenizer's.
    """
    ends = answer_ends(model, tokenizer, template)
    with as_trained(tokenizer, template):
        tokenizer.save_pretrained(folder)
    _write_generation(folder, model, ends)
    if (folder / "config.json").exists():
        _complete_config(folder / "config.json", ends)
    as_created(folder)


def answer_ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, template: Templates = None) -> list[int]:
    """Return the tokens that end an answer, the one that the chat template writes first."""
    first = turn_end(tokenizer, template["default"] if isinstance(template, dict) else template)
    ids = stop_ids(tokenizer, model)
    return list(dict.fromkeys([first, *ids])) if first is not None else ids


@contextmanager
def as_trained(tokenizer: PreTrainedTokenizerBase, template: Templates = None) -> Iterator[None]:
    """Give a tokenizer the chat templates of a run meanwhile, and as its end token the one that ends a turn."""
    anyone: Any = tokenizer
    before = anyone.chat_template, anyone.eos_token
    anyone.chat_template = template or before[0]
    try:
        end = turn_end(anyone)
        if end is not None and end != anyone.eos_token_id:
            written = _probe(anyone)
            anyone.eos_token = anyone.convert_ids_to_tokens(end)
            # A template that writes the end token by its role would write another one now.
            if _probe(anyone) != written:
                anyone.eos_token = before[1]
        yield
    finally:
        anyone.chat_template, anyone.eos_token = before


def _probe(tokenizer: Any) -> list[str]:
    """Return a conversation as each template writes it."""
    return [_written(tokenizer, template) for template in own_templates(tokenizer).values()]


def _written(tokenizer: Any, template: str) -> str:
    turns = [{"role": role, "content": "a"} for role in ("system", "user", "assistant")]
    try:
        return str(tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False))
    except Exception:  # a template may refuse a system turn, and may do so in its own way
        return str(tokenizer.apply_chat_template(turns[1:], chat_template=template, tokenize=False))


def _write_generation(folder: Path, model: Any, ends: list[int]) -> None:
    from transformers import GenerationConfig

    own = model.generation_config
    ids: Any = ends[0] if len(ends) == 1 else ends
    GenerationConfig(eos_token_id=ids, pad_token_id=own.pad_token_id, bos_token_id=own.bos_token_id).save_pretrained(
        folder
    )


def _complete_config(file: Path, ends: list[int]) -> None:
    """Name the end tokens, and the rotary sizes under the names that they had before transformers 5 too.

    A reader that looks for ``rope_theta`` and does not find it takes 10,000, and computes something else in silence.
    """
    config = json.loads(file.read_text(encoding="utf-8"))
    config["eos_token_id"] = ends[0] if len(ends) == 1 else ends
    rope = config.get("rope_parameters") or {}
    if "rope_theta" in rope:
        config["rope_theta"] = rope["rope_theta"]
        kind = rope.get("rope_type", "default")
        if kind != "default":
            config["rope_scaling"] = {key: value for key, value in rope.items() if key != "rope_theta"}
    file.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
