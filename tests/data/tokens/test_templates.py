"""Chat templates of other people: what they lack is added or refused, with file, line and setting."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import transformers.utils.chat_template_utils as chat_templates
from tokenizers import AddedToken
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from lit_llm.batch import IGNORE
from lit_llm.data.tokens.conformance import findings
from lit_llm.data.tokens.prompting import ChatFormat
from lit_llm.errors import ConfigError
from lit_llm.generation import stop_ids

TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}\n{% endfor %}"
ASKS = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
PLAIN = TURNS + ASKS
DATED = "Today: {{ strftime_now('%d %b %Y') }} ({{ strftime_now('%A') }}, {{ strftime_now('%-m/%y') }}).\n" + PLAIN
KEY = "data.init_args.chat_template"

# The generation prompt begins a thought that a conversation ends, or that no conversation has.
ENDED = """{% for m in messages %}<|{{ m.role }}|>
{% if m.role == 'assistant' and loop.last %}<think>
{{ m.thought }}
</think>

{% endif %}{{ m.content }}{{ eos_token }}
{% endfor %}{% if add_generation_prompt %}<|assistant|>
<think>
{% endif %}"""
LEFT_OUT = """{%- for m in messages -%}
{{ '<|' + m.role + '|>' + m.content.split('</think>')[-1] + (eos_token if m.role == 'assistant' else '') }}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<|assistant|><think>\\n' }}{% endif %}"""
ON_ONE_LINE = """{%- for m in messages -%}
{{ '<|' + m.role + '|>' + ('<think></think>' if m.role == 'assistant' else '') + m.content + eos_token }}
{%- endfor -%}
{% if add_generation_prompt %}{{ '<|assistant|><think>' }}{% endif %}"""
CLOSED = ENDED.replace("<think>\n{% endif %}", "<think>\n</think>\n{% endif %}").replace("loop.last", "m.thought")
# One token begins in the prompt and ends in what stands before an answer.
GLUED = """{% for m in messages %}<|{{ m.role }}|>{{ 'den' if m.role == 'assistant' }}:{{ m.content }}{{ eos_token }}
{% endfor %}{% if add_generation_prompt %}<|assistant|>d{% endif %}"""


@pytest.fixture
def tokenizer(root: Path, tmp_path: Path) -> Any:
    folder = tmp_path / "base"
    shutil.copytree(root / "checkpoints/qwen3-tiny", folder, ignore=shutil.ignore_patterns("*.safetensors"))
    return AutoTokenizer.from_pretrained(folder)


def beginning(tokenizer: Any, token: str = "<bos>") -> Any:
    """Let a tokenizer begin its texts with a token, as those of Llama, Gemma and Mistral do."""
    tokenizer.add_special_tokens({"bos_token": AddedToken(token, special=True)})
    at = tokenizer.convert_tokens_to_ids(token)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A", pair=f"{token} $A {token} $B", special_tokens=[(token, at)]
    )
    return tokenizer


def written(folder: Path, text: str) -> Path:
    file = folder / "own.jinja"
    file.write_text(text)
    return file


def asked_elsewhere(tokenizer: Any, template: str, system: str | None = None) -> list[int]:
    """Return the prompt that other programs write with a template."""
    turns = [{"role": "system", "content": system}] * bool(system) + [{"role": "user", "content": "hola 3"}]
    settings = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": False}
    found: list[int] = tokenizer.apply_chat_template(turns, chat_template=template, **settings)
    return found


@pytest.mark.parametrize("template", [ENDED, CLOSED, LEFT_OUT, ON_ONE_LINE, GLUED, PLAIN, DATED, f"\n  {DATED}\n\n"])
def test_a_run_asks_as_it_was_trained_and_as_its_template_asks(tokenizer: Any, tmp_path: Path, template: str) -> None:
    form = ChatFormat(tokenizer, template=written(tmp_path, template))
    trained, asked = form.encode("hola 3", "sí"), form.encode("hola 3", None)
    assert trained.prompt_ids == asked.input_ids == asked_elsewhere(tokenizer, form.template)
    learned = tokenizer.decode([label for label in trained.labels if label != IGNORE])
    assert learned == "sí" + tokenizer.eos_token
    assert tokenizer.decode(asked.input_ids).count("<think>") == tokenizer.decode(asked.input_ids).count("</think>")


def test_what_is_right_stays_as_it_is(tokenizer: Any, tmp_path: Path) -> None:
    assert ChatFormat(tokenizer, template=written(tmp_path, PLAIN)).template == PLAIN
    assert ChatFormat(tokenizer).template == tokenizer.chat_template
    tokenizer.chat_template = PLAIN
    # Other programs ask through a tokenizer's own template as it stands, bos or not.
    assert ChatFormat(beginning(tokenizer)).template == PLAIN


class Later(datetime):
    """A clock that is ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls(2031, 3, 9)


@pytest.mark.parametrize("template", [DATED, f"\n  {DATED}\n", DATED.replace("'%A'", "'day %j%%'")])
def test_the_day_is_the_runs(tokenizer: Any, tmp_path: Path, template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ChatFormat(tokenizer, template=written(tmp_path, template))
    of_before = before.render("hola"), before.fingerprint()
    monkeypatch.setattr(chat_templates, "datetime", Later)
    getattr(chat_templates._compile_jinja_template, "cache_clear", lambda: None)()
    after = ChatFormat(tokenizer, template=written(tmp_path, template))
    assert (after.render("hola"), after.fingerprint()) == of_before
    assert "26 Jul 2024" in of_before[0]
    as_given = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hola"}], chat_template=template, tokenize=False, add_generation_prompt=True
    )
    assert "09 Mar 2031" in as_given
    on_that_day = ChatFormat(tokenizer, template=written(tmp_path, template), day="2031-03-09")
    assert on_that_day.render("hola") == as_given
    with pytest.raises(ConfigError, match=r"data.init_args.date: '9/3/2031' is no day"):
        ChatFormat(tokenizer, template=written(tmp_path, template), day="9/3/2031")


FAULTS = {
    "raises": (
        "\n{{ raise_exception('only pairs of turns') }}" + PLAIN,
        2,
        "refuses the conversation: only pairs of turns",
    ),
    "syntax": ("{% for m in messages %}\n{% if %}\n{% endfor %}", 2, "is not Jinja"),
    "not closed": (PLAIN.replace("{% endfor %}", ""), 2, "is not Jinja"),
    "filter": (f"{TURNS}\n{{{{ messages | shuffled }}}}", 3, "shuffled"),
    "function": ("\n\n{{ nowadays() }}" + PLAIN, 3, "'nowadays' is undefined"),
    "attribute": ("{% for m in messages %}\n{{ m.content.text.all }}{% endfor %}", 2, "has no attribute"),
    "name": (PLAIN.replace("{{ m.content }}", "\n{{ mesage }}"), 2, "writes 'mesage', which nothing sets"),
    "joined name": (PLAIN + "{{ 'a' ~ (footer | trim) }}", 2, "writes 'footer', which nothing sets"),
    "loop over nothing": (PLAIN.replace("in messages", "in message"), None, "does not write the user's turn"),
    "no text": ("{{ bos_token }}" + ASKS, None, "does not write the user's turn"),
    "no answer": (PLAIN.replace("{{ m.content }}", "{{ m.content if m.role == 'user' }}"), None, "the answer"),
    "no end": (PLAIN.replace("{{ eos_token }}", ""), None, "no end token behind an answer"),
    "an end in letters": (PLAIN.replace("{{ eos_token }}", " END"), None, "no end token behind an answer"),
    "empty": ("", None, "is empty"),
    "blank": ("\n \n", None, "is empty"),
    "a comment": ("{# turns #}", None, "does not write the user's turn"),
}


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("where", ["file", "beside", "config"])
def test_faults_name_file_line_and_setting(tokenizer: Any, tmp_path: Path, kind: str, where: str) -> None:
    text, line, reason = FAULTS[kind]
    given = None
    if where == "file":
        given = place = written(tmp_path, text)
    else:
        folder = Path(tokenizer.name_or_path)
        (folder / "chat_template.jinja").unlink()
        place = folder / ("chat_template.jinja" if where == "beside" else "tokenizer_config.json")
        if where == "beside":
            place.write_text(text)
        tokenizer.chat_template = text
    if kind == "empty" and not given:
        reason = "has no chat template"
        place = Path("")
    said = (
        f"{place}:{line}"
        if line and where != "config"
        else f"{place}, chat_template"
        if where == "config"
        else f"{place}"
    )
    if line and where == "config":
        said += f", its line {line}"
    with pytest.raises(ConfigError) as caught:
        ChatFormat(tokenizer, template=given)
    message = str(caught.value)
    assert message.startswith(KEY)
    assert reason in message
    assert kind == "empty" or said in message
    assert findings(tokenizer, given) == [("chat template", message, False)]


@pytest.mark.parametrize(
    "text",
    [
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + PLAIN,
        "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
        + ASKS,
    ],
)
def test_a_system_turn_that_cannot_be_written_is_refused(tokenizer: Any, tmp_path: Path, text: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ConfigError, match=re.escape(f"{KEY}: {file}") + r".*data\.init_args\.instruction"):
        ChatFormat(tokenizer, "Sé breve.", template=file)
    assert ChatFormat(tokenizer, None, "Sé breve.", template=file).render("hola").startswith("<|user|>Sé breve.\nhola")
    found = {name: verdict for name, verdict, _ in findings(tokenizer, file)}
    assert "not written" in found["system turn"]


def test_names_that_are_asked_for_may_be_unset(tokenizer: Any, tmp_path: Path) -> None:
    text = (
        "{% if tools is defined and tools %}{{ tools | tojson }}{% endif %}{{ note if note }}{{ bos_token }}"
        "{% if messages %}{% set head = 'x' %}{% endif %}{{ head }}"
        "{% macro put(part) %}{{ part }}{% endmacro %}{{ put('y') }}"
        "{% for m in messages %}{% if m.content is string %}{% set said = m.content %}{% endif %}"
        "{{ said[:0] }}{{ said[0:0] ~ '' }}"
        "{% endfor %}{% generation %}{% endgeneration %}{{ header | default('') }}" + PLAIN
    )
    assert ChatFormat(tokenizer, template=written(tmp_path, text)).template == text


@pytest.mark.parametrize("template", [PLAIN, DATED, ENDED])
@pytest.mark.parametrize("token", ["<bos>", "<s>"])
def test_texts_begin_as_the_tokenizer_begins_them(tokenizer: Any, tmp_path: Path, template: str, token: str) -> None:
    form = ChatFormat(beginning(tokenizer, token), template=written(tmp_path, template))
    ids = form.encode("hola 3", "sí").input_ids
    assert tokenizer("hola")["input_ids"][0] == ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert form.encode("hola 3", None).input_ids == asked_elsewhere(tokenizer, form.template)
    writes_it = "{{ bos_token }}" + template
    assert ChatFormat(tokenizer, template=written(tmp_path, writes_it)).encode("hola 3", "sí").input_ids == ids


def test_of_several_templates_the_default_is_meant(tokenizer: Any) -> None:
    folder = Path(tokenizer.name_or_path)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/tool_use.jinja").write_text("{{ tools }}")
    reread: Any = AutoTokenizer.from_pretrained(folder)
    assert isinstance(reread.chat_template, dict)
    assert ChatFormat(reread).encode("hola", "sí") == ChatFormat(tokenizer).encode("hola", "sí")
    assert stop_ids(reread) == stop_ids(tokenizer)
    (folder / "chat_template.jinja").unlink()
    without: Any = AutoTokenizer.from_pretrained(folder)
    file = folder / "additional_chat_templates/tool_use.jinja"
    with pytest.raises(ConfigError, match=f"tool_use, and none is called default: .* {re.escape(str(file))}"):
        ChatFormat(without)


def test_generation_stops_at_the_end_of_a_template_from_a_file(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.add_tokens([AddedToken("<turn|>", special=True)])
    end = tokenizer.convert_tokens_to_ids("<turn|>")
    assert end not in stop_ids(tokenizer)
    form = ChatFormat(tokenizer, template=written(tmp_path, PLAIN.replace("{{ eos_token }}", "<turn|>")))
    assert form.end == end in stop_ids(tokenizer)


def test_findings_say_what_a_template_does(tokenizer: Any, tmp_path: Path) -> None:
    found = findings(beginning(tokenizer), written(tmp_path, DATED.replace(ASKS, ENDED[ENDED.index("{% if add_") :])))
    assert [name for name, _, fine in found if not fine] == ["chat template"]
    found = findings(tokenizer, written(tmp_path, "{{ strftime_now('%Y') }}" + ENDED))
    said = {name: verdict for name, verdict, fine in found if fine}
    assert list(said) == ["chat template", "end token", "date", "thinking", "system turn", "first token"]
    for name, part in {
        "end token": tokenizer.eos_token,
        "date": "2024-07-26",
        "thinking": "ended",
        "first token": "<bos>",
    }.items():
        assert part in said[name]
