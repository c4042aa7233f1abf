"""What goes with weights: other programs stop where an answer ends, and find every size under its name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig, Qwen3Config

from lit_llm.__main__ import main
from lit_llm.errors import ConfigError
from lit_llm.generation.stopping import stop_ids, turn_end
from lit_llm.llama_cpp import write_gguf
from lit_llm.sharing import as_trained
from tests import short_runs

END, TEXT_END = "<|im_end|>", "<|endoftext|>"
FIN = """{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|fin|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""


def chained(folder: Path, tokenizer: Any, end: str, named: Any) -> Path:
    """Write a base whose answers are ``sí``, then a token, then ``pan`` for ever: only a named end stops it."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": False}
    text_end = tokenizer.convert_tokens_to_ids(TEXT_END)
    config = Qwen3Config(vocab_size=len(tokenizer), **sizes, **heads, eos_token_id=text_end)
    model: Any = AutoModelForCausalLM.from_config(config)
    layer, embedding = model.model.layers[0], model.get_input_embeddings().weight.data.normal_()
    for module in (layer.self_attn.o_proj, layer.mlp.down_proj, model.lm_head):
        module.weight.data.zero_()
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "a"}], add_generation_prompt=True, enable_thinking=False, tokenize=False
    )
    start = tokenizer(prompt, add_special_tokens=False)["input_ids"][-1]
    yes, bread = (tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in ("sí", "pan"))
    stop = tokenizer.convert_tokens_to_ids(end)
    for before, after in ((start, yes), (yes, stop), (stop, bread), (bread, bread)):
        model.lm_head.weight.data[after] += embedding[before]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    GenerationConfig(eos_token_id=named, temperature=0.6, do_sample=True).save_pretrained(folder)
    return folder


def tokenizer_of(kind: str, root: Path, request: pytest.FixtureRequest) -> Any:
    folder = root / "checkpoints/qwen3-tiny"
    if kind == "real":
        folder = request.getfixturevalue("real_data") / "tokenizers/qwen3"
    return AutoTokenizer.from_pretrained(folder)


def trained(tmp_path: Path, base: Path, **data: Any) -> Path:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "quiero un pan", "json": {"n": 1}}\n')
    optimizer = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 1e-9}}
    return short_runs.fit(tmp_path / "run", {"train": str(rows)} | data, 1, backbone=str(base), optimizer=optimizer)


def answered(folder: Path, base: Path | None = None) -> list[str]:
    """Return the tokens that transformers generates with nothing but what the folder says."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(base or folder).eval()
    config = GenerationConfig.from_pretrained(folder, max_new_tokens=8, do_sample=False)
    messages = [{"role": "user", "content": "quiero un pan"}]
    settings = {"add_generation_prompt": True, "enable_thinking": False, "return_dict": True, "return_tensors": "pt"}
    inputs = tokenizer.apply_chat_template(messages, **settings)
    output = model.generate(**inputs, generation_config=config)
    return tokenizer.convert_ids_to_tokens(output[0, inputs["input_ids"].shape[1] :])


def ends_of(folder: Path) -> tuple[Any, ...]:
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    found: Any = GenerationConfig.from_pretrained(folder)
    return (*tokenizer.convert_ids_to_tokens(found.eos_token_id), tokenizer.eos_token)


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("tiny", [TEXT_END]),
        pytest.param("real", [END, TEXT_END], marks=pytest.mark.slow),
    ],
)
def test_other_programs_stop_after_the_turn(
    kind: str, named: list[str], tmp_path: Path, root: Path, request: pytest.FixtureRequest
) -> None:
    tokenizer = tokenizer_of(kind, root, request)
    tokenizer.eos_token = named[0]
    ids = tokenizer.convert_tokens_to_ids(named)
    base = chained(tmp_path / "base", tokenizer, END, ids[0] if len(ids) == 1 else ids)
    if named == [TEXT_END]:
        assert len(answered(base)) == 8
    run = trained(tmp_path, base)
    merged, int8, file = (tmp_path / name for name in ("merged", "int8", "out.gguf"))
    assert main(["export", "--run", str(run), "--merged", str(merged)]) == 0
    folders: dict[Path, Path | None] = {merged: None, run / "adapter": base}
    if kind == "tiny":
        assert main(["quantize", "--run", str(run), "--output", str(int8), "--bits", "8"]) == 0
        folders[int8] = None
    for folder, weights in folders.items():
        assert ends_of(folder) == (END, TEXT_END, END)
        assert answered(folder, weights)[1:] == [END]
        assert "do_sample" not in json.loads((folder / "generation_config.json").read_text())
    if kind == "real":
        return
    assert main(["export", "--run", str(run), "--gguf", str(file)]) == 0
    fields = gguf.GGUFReader(file).fields
    written = [fields[f"tokenizer.ggml.{name}_token_id"].contents() for name in ("eos", "eot")]
    assert tokenizer.convert_ids_to_tokens(written) == [END, TEXT_END]


def test_the_template_of_the_run_and_its_end_go_along(tmp_path: Path, root: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|fin|>"]})
    tokenizer.chat_template = FIN
    base = chained(tmp_path / "base", tokenizer, "<|fin|>", tokenizer.convert_tokens_to_ids(TEXT_END))
    # The base itself has another template.
    (base / "chat_template.jinja").write_text((root / "checkpoints/qwen3-tiny/chat_template.jinja").read_text())
    (tmp_path / "fin.jinja").write_text(FIN)
    run = trained(tmp_path, base, chat_template=str(tmp_path / "fin.jinja"))
    assert main(["export", "--run", str(run), "--merged", str(tmp_path / "merged")]) == 0
    for folder in (tmp_path / "merged", run / "adapter"):
        assert (folder / "chat_template.jinja").read_text() == FIN
        assert ends_of(folder)[0] == ends_of(folder)[-1] == "<|fin|>"
    assert answered(tmp_path / "merged")[1:] == ["<|fin|>"]


def test_a_template_that_writes_the_end_token_by_its_role_keeps_it(root: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    plain = (root / "configs/template/plain.jinja").read_text()
    before = tokenizer.eos_token, tokenizer.chat_template
    tokenizer.eos_token = TEXT_END
    with as_trained(tokenizer, plain):
        assert (tokenizer.eos_token, tokenizer.chat_template) == (TEXT_END, plain)
    with as_trained(tokenizer):
        assert tokenizer.eos_token == END
    assert (tokenizer.eos_token, tokenizer.chat_template) == (TEXT_END, before[1])


def test_the_end_of_a_turn_is_read_from_the_template(root: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    end = tokenizer.convert_tokens_to_ids(END)
    assert turn_end(tokenizer) == end
    for template in ("{{ messages[1].content }}\n", "{{ nothing.at.all }}", "{{ raise_exception('no') }}"):
        assert turn_end(tokenizer, template) is None
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|fin|>"]})
    tokenizer.chat_template = FIN
    assert tokenizer.convert_tokens_to_ids("<|fin|>") in stop_ids(tokenizer)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "default", "rope_theta": 5e5},
        {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": 64, "rope_theta": 3e4},
        pytest.param({"rope_type": "linear", "factor": 3.0, "rope_theta": 2e4}, marks=pytest.mark.slow),
    ],
)
def test_rotary_sizes_are_found_by_old_readers_and_new_ones(rope: dict[str, Any], tmp_path: Path, root: Path) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(root / "checkpoints/qwen3-tiny")
    base = chained(tmp_path / "base", tokenizer, END, None)
    config = json.loads((base / "config.json").read_text()) | {"rope_parameters": rope}
    (base / "config.json").write_text(json.dumps(config))
    run = trained(tmp_path, base)
    merged, file = tmp_path / "merged", tmp_path / "out.gguf"
    assert main(["export", "--run", str(run), "--merged", str(merged)]) == 0
    written = json.loads((merged / "config.json").read_text())
    assert written["rope_theta"] == rope["rope_theta"]
    scaled = {key: value for key, value in rope.items() if key != "rope_theta"}
    assert written.get("rope_scaling") == (None if rope["rope_type"] == "default" else scaled)
    assert AutoConfig.from_pretrained(merged).rope_parameters == rope
    assert main(["export", "--run", str(run), "--gguf", str(file)]) == 0
    fields = gguf.GGUFReader(file).fields
    found = {key.removeprefix("qwen3.rope."): field.contents() for key, field in fields.items() if ".rope." in key}
    wanted = {"freq_base": rope["rope_theta"], "dimension_count": AutoConfig.from_pretrained(base).head_dim}
    if rope["rope_type"] != "default":
        wanted |= {"scaling.type": rope["rope_type"], "scaling.factor": rope["factor"]}
    if rope["rope_type"] == "yarn":
        wanted["scaling.original_context_length"] = 64
    assert found == wanted


@pytest.mark.parametrize(
    ("rope", "said"),
    [
        ({"rope_type": "dynamic", "factor": 2.0}, "rope_type 'dynamic'"),
        ({"rope_type": "longrope", "factor": 2.0, "short_factor": [1.0] * 8, "long_factor": [2.0] * 8}, "'longrope'"),
        (
            {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
            "rope_type 'llama3'",
        ),
        ({"rope_type": "yarn", "factor": 2.0, "attention_factor": 1.5}, "yarn with attention_factor 1.5"),
        ({"rope_type": "yarn", "factor": 2.0, "beta_fast": 16.0}, "yarn with beta_fast 16.0"),
    ],
)
def test_positions_that_the_file_cannot_say_are_refused_by_name(
    rope: dict[str, Any], said: str, tmp_path: Path
) -> None:

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 16, "vocab_size": 50}
    more = {"original_max_position_embeddings": 64, "rope_theta": 1e4}
    model: Any = AutoModelForCausalLM.from_config(
        Qwen3Config(**sizes, num_attention_heads=2, num_key_value_heads=1, rope_parameters=rope | more)
    )
    with pytest.raises(ConfigError, match=re.escape(said)):
        write_gguf(model, None, tmp_path / "out.gguf", "F32")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
