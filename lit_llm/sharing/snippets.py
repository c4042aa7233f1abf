"""Lines of code that ask handed-on weights in other programs, with the prompt that they were trained with."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from lit_llm.sharing.about import About, Turns

TEXT = "your text"
"""What snippets ask."""

OFFERED = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM reserves room for."""

Snippet = tuple[str, str, str]
"""Name of the program, language of the code, and the code."""


def for_adapter(about: About, folder: Path, dtype: str) -> list[Snippet]:
    """Return snippets for an adapter in PEFT's format."""
    revision = f", revision={about.revision!r}" if about.revision and about.hub_id else ""
    stored = f", quantization_config=BitsAndBytesConfig(**{about.stored!r})" if about.stored else ""
    imports = "AutoModelForCausalLM, AutoTokenizer" + (", BitsAndBytesConfig" if stored else "")
    opened = [
        "from peft import PeftModel",
        f"from transformers import {imports}, GenerationConfig",
        "",
        f"folder = {str(folder)!r}",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        f'base = AutoModelForCausalLM.from_pretrained({about.base!r}, dtype="{dtype}"{revision}{stored})',
        "model = PeftModel.from_pretrained(base, folder).eval()",
    ]
    found = [("peft", "python", _asking(about, opened))]
    if about.adapter == "LoRA":
        lora = f"enable_lora=True, max_lora_rank={_at_least(about.rank)}"
        engine = [
            "from vllm import LLM, SamplingParams",
            "from vllm.lora.request import LoRARequest",
            "",
            f"folder = {str(folder)!r}",
            f'llm = LLM({about.base!r}, tokenizer=folder, dtype="{dtype}", {lora})',
        ]
        found.append(("vLLM", "python", _vllm(about, engine, ', lora_request=LoRARequest("tuned", 1, folder)')))
    return found


def for_model(about: About, folder: Path, dtype: str, needs: str = "") -> list[Snippet]:
    """Return snippets for a whole model; ``needs`` names a package that opening it takes."""
    install = [f"# pip install {needs}"] if needs else []
    opened = [
        *install,
        "from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig",
        "",
        f"folder = {str(folder)!r}",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        'model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()',
    ]
    engine = ["from vllm import LLM, SamplingParams", "", f'llm = LLM({str(folder)!r}, dtype="{dtype}")']
    return [("transformers", "python", _asking(about, opened)), ("vLLM", "python", _vllm(about, engine, ""))]


def for_gguf(about: About, file: Path) -> list[Snippet]:
    """Return snippets for llama.cpp, on its command line and from Python."""
    turns = _first(about)
    system = next((turn["content"] for turn in turns if turn["role"] == "system"), None)
    asked = turns[-1]["content"].replace("{text}", TEXT)
    limit = about.generation.get("max_new_tokens", 256)
    lines = [
        f"llama-cli -m {shlex.quote(str(file))} --jinja -st --temp 0 -n {limit}",
        "  --chat-template-kwargs '{\"enable_thinking\": false}'",
        *([f"  -sys {shlex.quote(system)}"] if system else []),
        f"  -p {shlex.quote(asked)}",
    ]
    code = [
        *(["import unicodedata", ""] if about.form else []),
        "import xllamacpp",
        "",
        "params = xllamacpp.CommonParams()",
        f"params.model.path = {str(file)!r}",
        "server = xllamacpp.Server(params)",
        f"text = {TEXT!r}",
        *([f"text = unicodedata.normalize({about.form!r}, text)"] if about.form else []),
        f"messages = {_messages(about)}",
        f'settings = {{"temperature": 0, "max_tokens": {limit}}}',
        'settings["chat_template_kwargs"] = {"enable_thinking": False}',
        'answer = server.handle_chat_completions({"messages": messages, **settings})',
        'print(answer["choices"][0]["message"]["content"])',
    ]
    return [("llama.cpp", "bash", " \\\n".join(lines)), ("llama.cpp from Python", "python", "\n".join(code))]


def for_run(about: About, run: Path) -> list[Snippet]:
    """Return a snippet that asks the run itself, for what other programs cannot open."""
    asked = "clip.npy" if about.vectors else TEXT
    return [("lit_llm", "python", f"import lit_llm\n\nprint(lit_llm.load({str(run)!r}).answer([{asked!r}]))")]


def _first(about: About) -> Turns:
    return next(iter(about.prompts.values()), [{"role": "user", "content": "{text}"}])


def _messages(about: About) -> str:
    """Return the turns as Python code in which ``text`` is what is asked."""
    turns = [json.dumps(turn, ensure_ascii=False) for turn in _first(about)[:-1]]
    last = json.dumps(_first(about)[-1]["content"], ensure_ascii=False)
    asked = "text" if last == '"{text}"' else f'{last}.replace("{{text}}", text)'
    turns.append('{"role": "user", "content": ' + asked + "}")
    return f"[{', '.join(turns)}]"


def _asking(about: About, opened: list[str]) -> str:
    settings = "".join(f", {key}={value!r}" for key, value in (about.generation or {"max_new_tokens": 256}).items())
    return "\n".join(
        [
            *opened,
            f"text = {TEXT!r}",
            f"messages = {_messages(about)}",
            'settings = {"add_generation_prompt": True, "enable_thinking": False}',
            'inputs = tokenizer.apply_chat_template(messages, return_dict=True, return_tensors="pt", **settings)',
            "# The folder's file names every token that ends an answer.",
            f"config = GenerationConfig.from_pretrained(folder{settings})",
            "output = model.generate(**inputs.to(model.device), generation_config=config)",
            'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))',
        ]
    )


def _vllm(about: About, engine: list[str], request: str) -> str:
    limit = about.generation.get("max_new_tokens", 256)
    return "\n".join(
        [
            *engine,
            f"text = {TEXT!r}",
            f"messages = {_messages(about)}",
            f"sampling = SamplingParams(temperature=0, max_tokens={limit})",
            'thinking = {"enable_thinking": False}',
            f"answers = llm.chat(messages, sampling, chat_template_kwargs=thinking{request})",
            "print(answers[0].outputs[0].text)",
        ]
    )


def _at_least(rank: int) -> int:
    """Return the least rank that vLLM offers and that holds an adapter's."""
    return next((offered for offered in OFFERED if offered >= rank), rank)
