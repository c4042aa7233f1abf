"""What a chat template does in a run, told before one is begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.prompting import ChatFormat
from lit_llm.errors import UserError
from lit_llm.thoughts import CLOSE, opens_thought

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

Finding = tuple[str, str, bool]
"""What was looked at, what was found, and whether a run can be trained so."""

TEXT, ANSWER, SYSTEM = "¿Cuántas tortas de jamón a 25.50? — 😀", '{"a":1}', "Eres preciso."


def findings(tokenizer: PreTrainedTokenizerBase, template: Path | None = None) -> list[Finding]:
    """Try a tokenizer's chat template, or that of a file, and return what was found.

    The rows are ``chat template``, ``end token``, ``date``, ``thinking``, ``system turn`` and ``first token``; the
    first alone where the template cannot be used.
    """
    try:
        form = ChatFormat(tokenizer, template=template)
        learned = _learned(form)
    except UserError as error:
        return [("chat template", str(error), False)]
    tried: list[tuple[str, Callable[[ChatFormat], str]]] = [
        ("date", lambda form: form.jinja.notes.get("date", "writes none")),
        ("thinking", _thinking),
        ("system turn", _system),
        ("first token", _first),
    ]
    ended = tokenizer.convert_ids_to_tokens(form.end)
    return [
        ("chat template", f"training and generation prompts agree; learns {learned!r}", True),
        ("end token", f"{ended!r}, which generation stops at", True),
        *((name, look(form), True) for name, look in tried),
    ]


def _learned(form: ChatFormat) -> str:
    labels = form.encode(TEXT, ANSWER).labels
    return str(form.tokenizer.decode([label for label in labels if label != IGNORE]))


def _thinking(form: ChatFormat) -> str:
    prompt = form.render(TEXT)
    if note := form.jinja.notes.get("thinking"):
        return note
    if opens_thought(prompt):
        return "the prompt opens a thought"
    return "the prompt holds an empty thought" if CLOSE in prompt else "the prompt holds no thought"


def _system(form: ChatFormat) -> str:
    try:
        other = ChatFormat(form.tokenizer, SYSTEM, template=form.jinja.given)
    except UserError:
        return "not written by the template; say it in data.init_args.instruction"
    first = other.render(TEXT).partition(SYSTEM)[0].strip()
    return f"written behind {first[-40:]!r}"


def _first(form: ChatFormat) -> str:
    ids = form.encode(TEXT, None).input_ids
    return form.jinja.notes.get("bos", repr(form.tokenizer.convert_ids_to_tokens(ids[0])))
