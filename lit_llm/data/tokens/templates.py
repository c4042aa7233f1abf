"""Chat templates as people have them: found, made ready for training, and their faults told with file and line."""

from __future__ import annotations

import re
import traceback
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lit_llm.data.tokens.unset import unset_names
from lit_llm.errors import ConfigError
from lit_llm.generation.stopping import own_templates
from lit_llm.thoughts import CLOSE, OPEN, opens_thought

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Messages = list[dict[str, str]]

KEY = "data.init_args.chat_template"

DAY = "2024-07-26"
"""What a template takes for today unless told otherwise: those of Llama write this day where there is no clock."""

PROBE = "\ue000"
"""A text that no template has in it."""

_CLOCK = "strftime_now"


class Template:
    """A tokenizer's chat template or that of a file, completed so that it writes the same prompt in every program.

    Three things are added to its text, and go along wherever the template does: the day that it takes for today; the
    end of a thought that its generation prompt opens, because an answer is learned right behind the prompt; and, for a
    template from a file, the token that the tokenizer itself begins texts with.

    Args:
        tokenizer: a fast tokenizer.
        given: a Jinja file that replaces the tokenizer's own template.
        day: what the template takes for today, as ``YYYY-MM-DD``.

    Attributes:
        text: Jinja, complete.
        notes: what was added, in words, by ``date``, ``thinking`` and ``bos``.
        reopened: whether only the generation prompt writes a thought, and no conversation does.

    Raises:
        ConfigError: if there is no template, or it cannot be read.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, given: Path | None = None, day: str = DAY) -> None:
        self.tokenizer, self.given = tokenizer, given
        self.notes: dict[str, str] = {}
        self.reopened = False
        self._lines_before = 0
        self.text = _read(given) if given else _own(tokenizer)
        if not self.text.strip():
            raise ConfigError(f"{KEY}: {self.place()}: the chat template is empty: write one, or name another file")
        self._refuse_undefined()
        self._set_date(day)
        self._begin_as_tokenizer()

    def place(self, line: int | None = None) -> str:
        """Return where the template stands, with a line of it."""
        line = None if line is None else max(1, line - self._lines_before)
        if self.given:
            return f"{self.given}:{line}" if line else str(self.given)
        home = Path(self.tokenizer.name_or_path)
        file = next(
            (home / name for name in ("chat_template.jinja", "chat_template.json") if (home / name).is_file()), ""
        )
        if not file and (home / "tokenizer_config.json").is_file():
            return f"{home / 'tokenizer_config.json'}, chat_template{f', its line {line}' if line else ''}"
        name = str(file) or f"the chat template of {self.tokenizer.name_or_path!r}"
        return f"{name}:{line}" if line else name

    def fault(self, reason: str, line: int | None = None, remedy: str = "") -> ConfigError:
        """Return what is wrong with the template as an error that names file, line and setting."""
        remedy = remedy or (f"mend it{'' if self.given else f', or name another Jinja file in {KEY}'}")
        return ConfigError(f"{KEY}: {self.place(line)}: {reason}: {remedy}")

    def write(self, messages: Messages, prompt: bool) -> str:
        """Return a conversation as text; with ``prompt`` up to where an answer begins.

        Raises:
            ConfigError: if the template refuses it or is wrong.
        """
        tokenizer: Any = self.tokenizer
        settings: dict[str, Any] = {"chat_template": self.text, "add_generation_prompt": prompt}
        try:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False, **settings))
        except Exception as error:  # a template is a program of other people, and may raise anything
            raise self._refused(error, messages) from error

    def close_thought(self, messages: Messages, answered: Messages) -> None:
        """Let the generation prompt end the thought that it opens, or the token that would go on into an answer.

        Args:
            messages: turns up to the answer ``PROBE``.
            answered: the same with it.
        """
        prompt, full = self.write(messages, True), self.write(answered, False)
        opens, continues = opens_thought(prompt), full.startswith(prompt)
        before = full[len(prompt) :].partition(PROBE)[0] if continues and PROBE in full[len(prompt) :] else ""
        if OPEN in prompt and not continues:
            self.reopened = full.startswith(prompt[: prompt.rfind(OPEN)])
        addition = ""
        if opens and (continues or self.reopened):
            addition = before if CLOSE in before else "\n" * (2 - prompt.endswith("\n")) + f"{CLOSE}\n\n"
            self.notes["thinking"] = "the prompt opens a thought, which is ended at once"
        elif self._straddles(full, len(prompt), len(prompt) + len(before)):
            addition = before
        if addition:
            stock, last = self.text, self.text.removesuffix("\n")
            self.text = f"{last}{{% if add_generation_prompt %}}{{{{ {addition!r} }}}}{{% endif %}}"
            if self.write(messages, True) != prompt + addition:
                self.text = stock

    def head(self, prompt: str) -> str:
        """Return a prompt as a conversation has it, in which no thought stands."""
        return prompt[: prompt.rfind(OPEN)] if self.reopened else prompt

    def _straddles(self, full: str, begin: int, end: int) -> bool:
        offsets = self.tokenizer(full, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        return any(first < begin < last <= end for first, last in offsets)

    def _set_date(self, day: str) -> None:
        """Put the day in the place of the clock, with a macro that takes its name."""
        if _CLOCK not in self.text:
            return
        today = _day(day)
        formats = [*sorted(set(re.findall(r"%[-_0^#]?[A-Za-z]", self.text))), "%%"]
        steps = "".join(f" | replace({found!r}, {today.strftime(found)!r})" for found in formats)
        self._prepend(f"{{% macro {_CLOCK}(format) %}}{{{{ format{steps} }}}}{{% endmacro %}}")
        self.notes["date"] = f"writes today's date, which is {day} in training and ever after"

    def _begin_as_tokenizer(self) -> None:
        """Begin with the token that the tokenizer's own call begins with, where a file of the user's does not.

        A tokenizer's own template is left as it is: other programs ask through it as it stands.
        """
        bos = self.tokenizer.bos_token
        if not self.given or not bos:
            return
        called, plain = (self.tokenizer(PROBE, add_special_tokens=flag)["input_ids"] for flag in (True, False))
        if called[:1] == [self.tokenizer.bos_token_id] and plain[:1] != called[:1]:
            turns = [{"role": "user", "content": PROBE}]
            if bos not in self.write(turns, True):
                self._prepend("{% if true %}{{ bos_token }}{% endif %}")
                self.notes["bos"] = f"begins with {bos!r}, as the tokenizer's own call does"

    def _prepend(self, line: str) -> None:
        # Templates are read with the first line break behind a block taken off, so this one is no part of the text.
        self.text = f"{line}\n{self.text}"
        self._lines_before += 1

    def _refused(self, error: Exception, messages: Messages) -> ConfigError:
        from jinja2 import TemplateSyntaxError

        if isinstance(error, TemplateSyntaxError):
            return self.fault(f"is not Jinja: {error.message}", error.lineno)
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
        reason = " ".join(str(error).split()) or type(error).__name__
        remedy = ""
        if "system" in reason.lower() and any(turn["role"] == "system" for turn in messages):
            remedy = "leave data.init_args.system out and say it in data.init_args.instruction, or mend it"
        return self.fault(
            f"the template refuses the conversation: {reason}", frames[-1].lineno if frames else None, remedy
        )

    def _refuse_undefined(self) -> None:
        if found := next(iter(unset_names(self.text)), None):
            name, line = found
            raise self.fault(f"writes {name!r}, which nothing sets, so that nothing would be written", line)


def _own(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the tokenizer's own template, of several the one called ``default``."""
    named, where = own_templates(tokenizer), repr(tokenizer.name_or_path)
    if not named:
        raise ConfigError(f"{KEY}: the tokenizer of {where} has no chat template; name a Jinja file in {KEY}")
    if "default" not in named:
        folder = Path(tokenizer.name_or_path) / "additional_chat_templates"
        name = next(iter(named))
        file = folder / f"{name}.jinja" if (folder / f"{name}.jinja").is_file() else "FILE.jinja"
        raise ConfigError(
            f"{KEY}: the tokenizer of {where} has the chat templates {', '.join(named)}, and none is called default: "
            f"name the file of one, such as {KEY}: {file}"
        )
    return named["default"]


def _read(template: Path) -> str:
    try:
        return template.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ConfigError(f"{KEY}: {template} cannot be read: {reason}") from error


def _day(day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise ConfigError(f"data.init_args.date: {day!r} is no day: write it as YYYY-MM-DD") from error
