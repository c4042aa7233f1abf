"""Conversation text and label masking: one function renders the training and the generation prompt."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.answers import altered, straddling
from lit_llm.data.tokens.control import ControlTokens
from lit_llm.data.tokens.templates import DAY, PROBE, Template
from lit_llm.errors import ConfigError, DataError
from lit_llm.generation.stopping import end_answers_with, stop_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Overflow = Literal["error", "drop", "truncate_input"]
Learn = Literal["answer", "text"]

KEPT_ENDS = 256
"""Contexts of which is remembered what a template writes around answers; each row may have its own."""

_WITHOUT_SYSTEM = "leave data.init_args.system out, and say it in data.init_args.instruction"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of one conversation.

    Attributes:
        input_ids: the whole conversation, up to and with the token that ends the answer.
        labels: the same ids where they are learned, else ``IGNORE``.
        prompt_length: how many tokens stand before the answer.
        truncated: whether text was cut from the input to respect the length limit.
        slots: the positions that vectors of no token fill, of which nothing is learned; None where there are none.
        trimmed: whether the template took white space off the ends of the text.
    """

    input_ids: list[int]
    labels: list[int]
    prompt_length: int
    truncated: bool = False
    slots: range | list[int] | None = None
    trimmed: bool = False

    @property
    def prompt_ids(self) -> list[int]:
        """The tokens that generation starts from."""
        return self.input_ids[: self.prompt_length]


@dataclass(frozen=True)
class Context:
    """What stands before a text.

    Attributes:
        system: text of the system turn; None leaves the turn out.
        instruction: what is asked, put before the text; ``{text}`` in it marks another place for the text.
        shots: worked examples, each a text and its answer, as turns of their own.
    """

    system: str | None = None
    instruction: str | None = None
    shots: tuple[tuple[str, str], ...] = ()

    def messages(self, text: str, answer: str | None) -> list[dict[str, str]]:
        """Return the turns of a conversation, the last one without its answer if ``answer`` is None."""
        turns = [{"role": "system", "content": self.system}] if self.system else []
        for shown, answered in (*self.shots, (text, answer)):
            turns.append({"role": "user", "content": self.asked(shown)})
            if answered is not None:
                turns.append({"role": "assistant", "content": answered})
        return turns

    def asked(self, text: str) -> str:
        """Return a user's turn: a text with what is asked."""
        if not self.instruction:
            return text
        has_place = "{text}" in self.instruction
        return self.instruction.replace("{text}", text) if has_place else f"{self.instruction}\n{text}"


class ChatFormat:
    """Renders rows through a tokenizer's chat template and masks what is not learned.

    Args:
        tokenizer: a fast tokenizer with a chat template.
        system: text of the system turn; None leaves the turn out.
        instruction: what is asked, put before the text; ``{text}`` in it marks another place for the text.
        template: a Jinja file that replaces the tokenizer's own chat template.
        day: what a template that writes today's date takes for it.

    Raises:
        ConfigError: if there is no chat template, or the template cannot be used for label masking.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        system: str | None = None,
        instruction: str | None = None,
        template: str | Path | None = None,
        day: str = DAY,
    ) -> None:
        self.tokenizer = tokenizer
        self.context = Context(system, instruction)
        self.jinja = Template(tokenizer, Path(template) if template else None, day)
        self._ends: dict[Context, tuple[str, str]] = {}
        self._check()
        self.control = ControlTokens(tokenizer, self.jinja.text)
        self.end = self._end()
        for name, part in (("system", system), ("instruction", instruction)):
            if token := self.control.first(part or ""):
                raise ConfigError(
                    f"data.init_args.{name}: it holds the control token {token!r}: write it otherwise, or write turns "
                    "in a Jinja file for data.init_args.chat_template"
                )

    @property
    def template(self) -> str:
        """The chat template as it is written with, and handed on."""
        return self.jinja.text

    def render(self, text: str, answer: str | None = None, context: Context | None = None) -> str:
        """Return the conversation as a string: up to the answer if ``answer`` is None, else with it.

        Args:
            text: the user's text.
            answer: what is answered.
            context: what stands before it; by default the format's own.
        """
        context = context or self.context
        written = self.jinja.write(context.messages(text, answer), prompt=answer is None)
        if answer is None or not self.jinja.reopened:
            return written
        prompt = self.render(text, context=context)
        head = self.jinja.head(prompt)
        return prompt + written[len(head) :] if written.startswith(head) else written

    def encode(self, text: str, answer: str | None, learn: Learn = "answer", context: Context | None = None) -> Encoded:
        """Tokenise a conversation once and label the tokens that start at or after the end of its prompt.

        Args:
            text: the user's text.
            answer: the expected answer; None gives the prompt alone, with nothing to learn.
            learn: ``answer`` labels the answer and its end token, ``text`` labels every token.
            context: what stands before it; by default the format's own.

        Raises:
            DataError: if anything that the row brings holds a control token, the template changes the answer, or a
                token straddles the border.
            ConfigError: if the conversation does not begin with the prompt.
        """
        context = context or self.context
        self.refuse_control_tokens(text, answer, context)
        prompt = self.render(text, context=context)
        asked = context.asked(text)
        trimmed = asked not in prompt and asked.strip() in prompt
        if answer is None:
            ids = self._tokenize(prompt)[0]
            return Encoded(ids, [IGNORE] * len(ids), len(ids), trimmed=trimmed)
        full = self.render(text, answer, context)
        self._refuse_other_prompt(prompt, full)
        if fault := altered(answer, full[len(prompt) :], *self._around_answers(context)):
            raise DataError(fault)
        ids, offsets = self._tokenize(self._without_trailing_space(full))
        first = next((i for i, (_, end) in enumerate(offsets) if end > len(prompt)), len(ids))
        if first < len(ids) and offsets[first][0] < len(prompt):
            raise DataError(straddling(str(self.tokenizer.convert_ids_to_tokens(ids[first])), answer))
        learned = ids if learn == "text" else [IGNORE] * first + ids[first:]
        return Encoded(ids, list(learned), first, trimmed=trimmed)

    def fit(
        self,
        text: str,
        answer: str | None,
        limit: int,
        overflow: Overflow,
        learn: Learn,
        context: Context | None = None,
    ) -> Encoded | None:
        """Encode within ``limit`` tokens by the overflow policy; the answer is never cut.

        Returns:
            None where the row is to be dropped.

        Raises:
            DataError: if the row is too long and the policy is ``error``, or the input cannot be cut enough.
        """
        encoded = self.encode(text, answer, learn, context)
        excess = len(encoded.input_ids) - limit
        if excess <= 0:
            return encoded
        if overflow == "drop":
            return None
        if overflow == "error":
            raise DataError(
                f"{len(encoded.input_ids)} tokens exceed max_length {limit}: raise data.init_args.max_length, "
                "or set data.init_args.overflow to drop or truncate_input"
            )
        return self._cut(text, answer, limit, learn, context, excess)

    def refuse_control_tokens(self, text: str | None, answer: str | None, context: Context | None = None) -> None:
        """Refuse a row that could write turns of its own: all that its conversation is made of is looked at here.

        Raises:
            DataError: naming the token and the part that holds it.
        """
        context = context or self.context
        shots = [part for shot in context.shots for part in shot]
        parts = [("the text", text), ("the answer", answer), ("the system turn", context.system)]
        parts += [("the instruction", context.instruction), *(("an example", part) for part in shots)]
        # Parts are put together, so a token may come about where each holds a piece of it.
        parts += [(f"the {turn['role']} turn", turn["content"]) for turn in context.messages(text or "", answer)]
        if found := self.control.in_parts(parts):
            name, token = found
            raise DataError(
                f"{name} holds the control token {token!r}, which only the chat template may write: remove it from "
                "the data"
            )

    def _around_answers(self, context: Context) -> tuple[str, str]:
        """Return what the template writes behind the prompt, before and after an answer."""
        if context not in self._ends:
            if len(self._ends) >= KEPT_ENDS:
                self._ends.clear()
            prompt, full = self.render(PROBE, context=context), self.render(PROBE, PROBE, context)
            before, _, behind = full[len(prompt) :].partition(PROBE)
            self._ends[context] = before, behind
        return self._ends[context]

    def _check(self) -> None:
        """Refuse a template that does not write what it is given, or asks otherwise than it shows."""
        turns = self.context.messages(PROBE, None)
        self.jinja.close_thought(turns, self.context.messages(PROBE, PROBE))
        prompt, full = self.render(PROBE), self.render(PROBE, PROBE)
        lost = [turn["role"] for turn in turns if turn["content"].strip() not in prompt]
        if lost:
            remedy = _WITHOUT_SYSTEM if lost[0] == "system" else ""
            raise self.jinja.fault(f"the template does not write the {lost[0]}'s turn", None, remedy)
        self._refuse_other_prompt(prompt, full)
        if PROBE not in full[len(prompt) :]:
            raise self.jinja.fault("the template does not write the answer")

    def _refuse_other_prompt(self, prompt: str, full: str) -> None:
        if not full.startswith(prompt):
            raise self.jinja.fault(
                "the conversation with an answer does not begin with the generation prompt, so the "
                f"model would be asked differently than it was trained; prompt ends {prompt[-60:]!r}, "
                f"conversation continues {full[max(0, len(prompt) - 60) : len(prompt) + 20]!r}",
                None,
                _WITHOUT_SYSTEM if self.context.system else "",
            )

    def _end(self) -> int:
        """Return the token that ends an answer, and let generation stop at it."""
        full = self._without_trailing_space(self.render(PROBE, PROBE))
        last = self._tokenize(full)[0][-1]
        known = stop_ids(self.tokenizer)
        if last not in known and last not in self.tokenizer.get_added_vocab().values():
            own = self.tokenizer.eos_token
            remedy = "let it write {{ eos_token }} behind an answer" if own else "let it write an end token there"
            raise self.jinja.fault(
                "the template writes no end token behind an answer, so that a model would never learn to stop",
                None,
                remedy,
            )
        if last not in known:
            end_answers_with(self.tokenizer, last)
        return last

    def fingerprint(self) -> str:
        """Return a hash of how a conversation is written: template, system turn, instruction and tokenizer."""
        probe = self.render("¿Qué? 1,5", '{"á":[1]}')
        payload = json.dumps([probe, self.render("¿Qué? 1,5"), self._tokenize(probe)[0]])
        return hashlib.sha256(payload.encode()).hexdigest()[:16]

    def _cut(
        self, text: str, answer: str | None, limit: int, learn: Learn, context: Context | None, excess: int
    ) -> Encoded:
        words = self._tokenize(text)[1]
        removed = 0
        while removed < len(words):
            # Cutting in the middle can create new merges, so the excess is measured again after every cut.
            removed = min(len(words), removed + excess)
            keep = len(words) - removed
            head, tail = words[: (keep + 1) // 2], words[len(words) - keep // 2 :]
            shorter = text[: head[-1][1] if head else 0] + (text[tail[0][0] :] if tail else "")
            encoded = self.encode(shorter, answer, learn, context)
            excess = len(encoded.input_ids) - limit
            if excess <= 0:
                return replace(encoded, truncated=True)
        raise DataError(
            f"the answer and the template alone take {limit + excess} tokens, over max_length {limit}: "
            "raise data.init_args.max_length (an answer is never cut)"
        )

    def _tokenize(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        out = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return list(out["input_ids"]), list(out["offset_mapping"])

    def _without_trailing_space(self, full: str) -> str:
        # Templates write a newline after the token that ends a turn; it is not part of the answer.
        stripped = full.rstrip()
        return stripped if stripped.endswith(self.control.tokens) else full
