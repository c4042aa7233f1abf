"""What is known of a run when its weights are handed on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lit_llm.sharing.texts import text_form

Turns = list[dict[str, str]]
"""A conversation up to the answer; ``{text}`` stands for the text in its last turn."""

Templates = str | dict[str, str] | None
"""One chat template, or several by name, of which one is called ``default``."""


@dataclass(frozen=True)
class About:
    """Facts of a run that whoever uses its weights needs.

    Attributes:
        base: hub id or absolute folder of the base model; empty where its weights were random.
        revision: of the base on the hub.
        task: what was learned, such as ``extraction``.
        adapter: what learned, such as ``LoRA``.
        rank: of its matrices, where it has some.
        stored: the arguments of transformers' ``BitsAndBytesConfig`` with which the base was opened, if any.
        rounded: whether weights were rounded while they learned.
        vectors: whether something beside words is read, which only lit_llm can do.
        prompts: the conversation before each kind of answer, by a name that is empty where there is one kind.
        template: chat template that the prompts were written with, several by name; None for the tokenizer's.
        generation: arguments of transformers' ``generate`` that answers were made with.
        schema: whether answers were held to a JSON schema.
        form: what the tokenizer does to a text first, as ``text_form`` says it.
        kept: whether what is handed on holds the numbers that were rounded in training.
    """

    base: str
    revision: str | None = None
    task: str = ""
    adapter: str = ""
    rank: int = 0
    stored: dict[str, Any] = field(default_factory=dict)
    rounded: bool = False
    vectors: bool = False
    prompts: dict[str, Turns] = field(default_factory=dict)
    template: Templates = None
    generation: dict[str, Any] = field(default_factory=dict)
    schema: bool = False
    form: str = ""
    kept: bool = False

    @property
    def hub_id(self) -> str | None:
        """The base's id on the hub; None for a folder."""
        return self.base if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.base) and not Path(self.base).exists() else None


def about(model: Any, data: Any = None) -> About:
    """Return the facts of a run.

    Args:
        model: a ``LitLM``.
        data: its ``LMData`` with a tokenizer, where there is one.
    """
    loading, generator = model.loading, getattr(model, "generator", None)
    asked = data is not None and hasattr(data, "conversations")
    return About(
        base="" if loading.random_init else named(model.backbone),
        revision=loading.revision,
        task=data.task if asked else "",
        adapter=model.adapter.kind,
        rank=getattr(model.adapter, "r", 0),
        stored=_plain(model.quantizer.loading_config(model.language_model.dtype)) if model.quantizer else {},
        rounded=model.qat is not None,
        vectors=hasattr(model, "adaptor"),
        prompts=data.conversations() if asked else {},
        template=data.template() if asked else None,
        generation=_generation(generator) if generator else {},
        schema=getattr(generator, "constraint", None) is not None,
        form=text_form(model.tokenizer),
    )


def named(base: str) -> str:
    """Return a hub id as it is, and a folder as an absolute path, which means the same from anywhere."""
    return str(Path(base).resolve()) if Path(base).is_dir() else base


def _generation(generator: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"max_new_tokens": generator.max_new_tokens, "do_sample": generator.do_sample}
    if generator.num_beams > 1:
        found |= {"num_beams": generator.num_beams, "length_penalty": generator.length_penalty}
    if generator.do_sample:
        found |= {"temperature": generator.temperature, "top_p": generator.top_p, "top_k": generator.top_k}
    return found


def _plain(config: Any) -> dict[str, Any]:
    """Return the arguments that make a ``BitsAndBytesConfig`` again, without those that are as usual."""
    left = {key: value for key, value in config.to_diff_dict().items() if not key.startswith("_") and value is not None}
    return {key: value for key, value in left.items() if key != "quant_method"}
