"""A run asks on any day, and what is handed on asks anywhere, as the run was trained."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any

import gguf
import pytest
import transformers.utils.chat_template_utils as chat_templates
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.data import ExtractionData, MixedData
from lit_llm.errors import ConfigError
from lit_llm.report import open_run
from lit_llm.sharing import as_trained
from tests import short_runs

TURNS = "{% for m in messages %}<|{{ m.role }}|>{{ thought if m.role == 'assistant' }}{{ m.content }}{{ eos_token }}\n"
DATED = (
    "{% set thought = '<think>\n\n</think>\n\n' %}{{ strftime_now('%A %d %B %Y') }}\n"
    + TURNS
    + "{% endfor %}{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)

BEGIN = "<|im_start|>"
"""A token that the tiny base has, and that the templates here do not write."""


class Monday(datetime):
    """The day of the training."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls(2026, 11, 23)


class Later(Monday):
    """A day of the next year."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return cls(2027, 2, 3)


@pytest.fixture
def dated(root: Path, tmp_path: Path) -> Path:
    """A base whose own templates write today's date and open a thought, the default beside another."""
    base = shutil.copytree(root / "checkpoints/qwen3-tiny", tmp_path / "base")
    (base / "chat_template.jinja").write_text(DATED)
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates/tool_use.jinja").write_text("{{ tools }}")
    return base


@pytest.fixture
def beginning(root: Path, tmp_path: Path) -> Path:
    """A base for plain text whose tokenizer begins each text with a token, and has no template."""
    base = shutil.copytree(root / "checkpoints/qwen3-tiny", tmp_path / "base")
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    tokenizer.bos_token = BEGIN
    at = tokenizer.convert_tokens_to_ids(BEGIN)
    process = TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, at)])
    tokenizer.backend_tokenizer.post_processor = process
    tokenizer.chat_template = None
    (base / "chat_template.jinja").unlink()
    tokenizer.save_pretrained(base)
    return base


def trained(folder: Path, base: Path, **data: Any) -> Path:
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"quiero {k} panes", "json": {"n": k}}) + "\n" for k in range(4)))
    generator = {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 8}}
    files = {"train": str(rows), "test": {"one": str(rows)}, "batch_size": 2}
    return short_runs.fit(folder / "run", files | data, backbone=str(base), generator=generator)


def asked_by(folder: Path) -> list[int]:
    """Return the prompt that other programs make with a folder that was handed on."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "quiero 2 panes"}]
    found: list[int] = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    return found


def handed_on(run: Path, folder: Path) -> list[list[int]]:
    """Return the prompts of all that is handed on of a run, its own first."""
    data = open_run(run, "last").data
    merged, packed, file = folder / "merged", folder / "packed", folder / "model.gguf"
    assert main(["export", "--run", str(run), "--checkpoint", "last", "--merged", str(merged)]) == 0
    assert main(["quantize", "--run", str(run), "--checkpoint", "last", "--output", str(packed), "--bits", "8"]) == 0
    assert main(["export", "--run", str(run), "--checkpoint", "last", "--gguf", str(file)]) == 0
    fields = gguf.GGUFReader(file).fields
    assert fields["tokenizer.chat_template"].contents() == data.format.template
    if data.format.tokenizer.bos_token:
        assert fields["tokenizer.ggml.bos_token_id"].contents() == data.format.tokenizer.bos_token_id
    return [data.format.encode("quiero 2 panes", None).input_ids, *map(asked_by, (run / "adapter", merged, packed))]


@pytest.mark.slow
def test_a_run_goes_on_the_next_year(dated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_templates, "datetime", Monday)
    run = trained(tmp_path, dated)
    asked = open_run(run, "last").data.format.render("quiero 2 panes")
    monkeypatch.setattr(chat_templates, "datetime", Later)
    assert main(["predict", "--config", str(run / "config.yaml"), "--ckpt_path", "last"]) == 0
    assert main(["fit", "--config", str(run / "config.yaml"), "--ckpt_path", "last", "--trainer.max_steps=3"]) == 0
    assert open_run(run, "last").data.format.render("quiero 2 panes") == asked
    assert AutoTokenizer.from_pretrained(run / "adapter").decode(asked_by(run / "adapter")) == asked
    assert asked.startswith("Friday 26 July 2024\n<|user|>quiero 2 panes")
    assert asked.endswith("<think>\n\n</think>\n\n")


def test_parts_with_templates_of_their_own_hand_on_all(root: Path, tmp_path: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    own = tokenizer.chat_template
    plain = str(root / "configs/template/plain.jinja")
    mixed = MixedData({"notes": ExtractionData(chat_template=plain), "orders": ExtractionData()})
    for part in mixed.parts.values():
        part.tokenizer = tokenizer
    with as_trained(tokenizer, mixed.template()):
        tokenizer.save_pretrained(tmp_path)
    assert tokenizer.chat_template == own
    other: Any = AutoTokenizer.from_pretrained(tmp_path)
    turns, settings = [{"role": "user", "content": "quiero 2"}], {"add_generation_prompt": True, "return_dict": False}
    for name, template in (("notes", "notes"), ("orders", "orders"), ("notes", None)):
        asked = mixed.parts[name].format.encode("quiero 2", None).input_ids
        assert other.apply_chat_template(turns, chat_template=template, enable_thinking=False, **settings) == asked
    named_first = MixedData({"notes": ExtractionData(chat_template=plain), "default": ExtractionData()})
    for part in named_first.parts.values():
        part.tokenizer = tokenizer
    with pytest.raises(ConfigError, match="call the part otherwise"):
        named_first.template()


@pytest.mark.slow
def test_the_template_of_a_run_goes_wherever_its_weights_go(dated: Path, tmp_path: Path) -> None:
    run = trained(tmp_path, dated)
    assert main(["test", "--config", str(run / "config.yaml"), "--ckpt_path", "last"]) == 0
    own, *others = handed_on(run, tmp_path)
    assert others == [own, own, own]


@pytest.mark.slow
def test_a_base_for_plain_text_is_asked_with_its_first_token(beginning: Path, root: Path, tmp_path: Path) -> None:
    run = trained(tmp_path, beginning, chat_template=str(root / "configs/template/plain.jinja"))
    assert main(["predict", "--config", str(run / "config.yaml"), "--ckpt_path", "last"]) == 0
    own, *others = handed_on(run, tmp_path)
    assert others == [own, own, own]
    assert own == AutoTokenizer.from_pretrained(beginning)("quiero 2 panes\n")["input_ids"]
