"""What a request has to hold so that it is answered as the run was trained to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lit_llm.errors import DataError
from lit_llm.sharing import normalized

FORMATS = ("response_format", "json_schema", "grammar")
"""Fields of a request that say what an answer may look like."""

LIMITS = ("max_tokens", "max_completion_tokens", "n_predict")
"""Fields that say how long it may be."""

COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":", "coerce_one_of": True}
"""How JSON is written: as the model has learned it."""


class BadRequest(Exception):
    """A request that cannot be answered.

    Args:
        message: why, and what to send instead.
        field: of the request.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass
class Requests:
    """The rules of one run.

    Attributes:
        data: of the run, with its tokenizer.
        limit: tokens of an answer, unless a request says otherwise.
        facts: what a row would say beside its text, such as the direction of a translation.
        schema: JSON schema of answers, unless a request or the data has another; None for none.
    """

    data: Any
    limit: int
    facts: dict[str, Any] = field(default_factory=dict)
    schema: Any = None

    def completed(self, body: Any) -> dict[str, Any]:
        """Return a request with what the run's prompt has: its turns, no thoughts, greedy answers, its schema.

        A request of a single user's turn is a text as rows have it; one of several turns is taken as it is.

        Raises:
            BadRequest: if it holds no turns, or a text that the run cannot be asked.
        """
        if not isinstance(body, dict):
            raise BadRequest('the body is no JSON object: send {"messages": [{"role": "user", "content": "…"}]}', "")
        # A field that is null is as if it were not there.
        body = {name: value for name, value in body.items() if value is not None}
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(turn, dict) for turn in messages):
            raise BadRequest('is no list of turns: send [{"role": "user", "content": "your text"}]', "messages")
        schema = self.schema
        if len(messages) == 1 and messages[0].get("role") == "user":
            messages, own = self._asked(messages[0].get("content"))
            schema = schema if own is None else own
        found: dict[str, Any] = {"temperature": 0} | body | {"messages": messages}
        if not any(name in body for name in LIMITS):
            found["max_tokens"] = self.limit
        if schema is not None and not any(name in body for name in FORMATS):
            held = {"x-guidance": COMPACT, **schema} if isinstance(schema, dict) else schema
            found["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": held}}
        settings = body.get("chat_template_kwargs", {})
        if not isinstance(settings, dict):
            raise BadRequest('is no object: send {"enable_thinking": false}, or leave it out', "chat_template_kwargs")
        found["chat_template_kwargs"] = {"enable_thinking": False} | settings
        return found

    def _asked(self, text: Any) -> tuple[list[dict[str, str]], Any]:
        """Return the turns of a text, and the schema that its answer has."""
        if not isinstance(text, str) or not text.strip():
            raise BadRequest("is no text: send a string that is not blank", "messages[0].content")
        try:
            example = self.data.question(text, **self.facts)
            context = example.context or self.data.format.context
            self.data.format.refuse_control_tokens(example.text, None, context)
        except DataError as error:
            raise BadRequest(str(error), "messages[0].content") from error
        turns = context.messages(example.text, None)
        turns = [turn | {"content": normalized(self.data.tokenizer, turn["content"])} for turn in turns]
        return turns, example.meta.get("schema")
