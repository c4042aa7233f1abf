"""Texts that come from no file: how a data module asks them."""

from __future__ import annotations

from typing import Any

from lit_llm.data.settings import refuse_unknown
from lit_llm.data.tokens.dataset import Example
from lit_llm.errors import ConfigError


class Asking:
    """The part of a data module that is asked without files; a task overrides ``question`` where it has facts."""

    task: str

    def source(self, part: str | None = None) -> Any:
        """Return the data that a text is asked through: this, or a part of a mixture.

        Raises:
            ConfigError: if there is no such part.
        """
        if part is not None:
            raise ConfigError(f"part: {part!r}: {type(self).__name__} is no mixture; leave it out")
        return self

    def conversations(self) -> dict[str, list[dict[str, str]]]:
        """Return the turns before an answer, ``{text}`` in place of the text, by what tells them apart.

        The name is empty where all texts are asked alike.
        """
        return {"": self.format.context.messages("{text}", None)}  # type: ignore[attr-defined]

    def template(self) -> str | dict[str, str]:
        """Return the chat template that prompts are written with; several by name where parts have different ones."""
        return str(self.format.template)  # type: ignore[attr-defined]

    def question(self, text: str, **facts: Any) -> Example:
        """Return a text as an example to answer.

        Args:
            text: what is asked.
            facts: what a row of a file would say beside its text; None is as if it were not there.

        Raises:
            ConfigError: if this task has no such fact.
            DataError: if there is nothing to answer.
        """
        refuse_unknown(self.task, facts)
        return Example("", text, None, None, "text")

    def ask(self, text: str) -> list[int]:
        """Return the prompt of a text, as token ids."""
        example = self.question(text)
        return list(self.format.encode(example.text, None, context=example.context).input_ids)  # type: ignore[attr-defined]
