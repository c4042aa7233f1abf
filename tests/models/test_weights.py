"""Bases as they are downloaded: cut, pointed to, too shallow, larger than their embedding, or no bases at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM, Loading
from lit_llm.models.backbone import fingerprint, open_model, open_tokenizer
from lit_llm.models.weights import FOR_OTHERS, INDEX, names, weight_files

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3400000\n"
BASE = "model.init_args.backbone"


@pytest.fixture
def base(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root / "checkpoints/qwen3-tiny", tmp_path / "base"))


def refused_by_all(base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> str:
    """Return the error with which every verb refuses a base, before it reads any data or writes anything."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("no rows at all")
    run = {
        "model": {"class_path": "lit_llm.models.CausalLM", "init_args": {"backbone": str(base)}},
        "data": {
            "class_path": "lit_llm.data.ExtractionData",
            "init_args": {"train": str(rows), "test": {"a": str(rows)}},
        },
        "trainer": {"default_root_dir": str(tmp_path / "run"), "max_steps": 1, "accelerator": "cpu", "logger": False},
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    said = []
    for command in (
        ["fit", "--config", str(tmp_path / "run.json")],
        ["test", "--config", str(tmp_path / "run.json"), "--ckpt_path", "none"],
        ["predict", "--config", str(tmp_path / "run.json"), "--ckpt_path", "none"],
        ["check", "--backbone", str(base)],
    ):
        assert main(command) == 1
        streams = capsys.readouterr()
        said.append(streams.err + streams.out)
    assert not (tmp_path / "run").exists()
    assert all("no rows at all" not in text for text in said)
    messages = {text[text.index("error: ") :].strip().replace(f"{BASE}: ", "") for text in said}
    assert len(messages) == 1, messages
    return messages.pop()


def cut(base: Path) -> None:
    file = base / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def split(base: Path) -> None:
    """Divide the weights into two files with an index."""
    state = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    parts = [dict(list(state.items())[:20]), dict(list(state.items())[20:])]
    shards = [f"model-{at}-of-2.safetensors" for at in (1, 2)]
    for name, part in zip(shards, parts, strict=True):
        save_file(part, base / name, {"format": "pt"})
    where = {key: name for name, part in zip(shards, parts, strict=True) for key in part}
    (base / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))


def lose_a_shard(base: Path) -> None:
    split(base)
    (base / "model-2-of-2.safetensors").unlink()


def cut_a_shard(base: Path) -> None:
    split(base)
    file = base / "model-1-of-2.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pointer": (
        lambda base: (base / "model.safetensors").write_text(POINTER),
        "model.safetensors is a pointer of git-lfs",
    ),
    "tokenizer pointer": (lambda base: (base / "tokenizer.json").write_text(POINTER), "tokenizer.json is a pointer"),
    "cut": (cut, "model.safetensors is cut: it has"),
    "cut within its header": (
        lambda base: os.truncate(base / "model.safetensors", 300),
        "is cut or no safetensors file",
    ),
    "three bytes": (lambda base: os.truncate(base / "model.safetensors", 3), "is cut or no safetensors file"),
    "empty": (lambda base: os.truncate(base / "model.safetensors", 0), "model.safetensors is empty"),
    "empty tokenizer": (lambda base: os.truncate(base / "tokenizer.json", 0), "tokenizer.json is empty"),
    "letters": (
        lambda base: (base / "model.safetensors").write_text("<html>404 not found</html>"),
        "no safetensors file",
    ),
    "a shard lacks": (lose_a_shard, "lacks model-2-of-2.safetensors"),
    "a shard is cut": (cut_a_shard, "model-1-of-2.safetensors is cut"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_refused_before_anything_is_read(kind: str, base: Path) -> None:
    spoil, said = BROKEN[kind]
    spoil(base)
    with pytest.raises(ConfigError, match=f"^{BASE}") as caught:
        open_tokenizer(str(base), Loading())
    for part in (said, str(base), "git lfs pull"):
        assert part in str(caught.value)
    # A base of random weights reads none.
    if "tokenizer" not in kind:
        open_tokenizer(str(base), Loading(random_init=True))


def test_every_verb_refuses_them(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_pad(base, pad_token="[PAD]")
    assert "token '[PAD]', its pad_token, with id 1024" in refused_by_all(base, capsys, tmp_path)
    cut(base)
    assert "model.safetensors is cut" in refused_by_all(base, capsys, tmp_path)


def rewrite(base: Path, **fields: Any) -> None:
    config = json.loads((base / "config.json").read_text())
    depth = fields.get("num_hidden_layers", 0)
    if config.get("layer_types") and depth:
        fields["layer_types"] = [config["layer_types"][0]] * depth
    (base / "config.json").write_text(json.dumps(config | fields))


def rename(base: Path, **renamed: str) -> None:
    state = load_file(base / "model.safetensors")
    for old, new in renamed.items():
        state = {key.replace(old, new): value for key, value in state.items()}
    save_file(state, base / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda base, depth: rewrite(base, num_hidden_layers=depth + 2), "no weights for layers {0} to {1}"),
        (lambda base, depth: rewrite(base, num_hidden_layers=depth + 1), "no weights for layer {0} "),
        (lambda base, depth: rewrite(base, num_hidden_layers=depth - 1), "config.json does not speak of: layer {2} "),
        (lambda base, depth: rename(base, q_proj="query"), "no weights for layers 0 to {2}"),
        (lambda base, depth: rename(base, **{"model.norm": "model.last_norm"}), "no weights for model.norm.weight"),
        (lambda base, depth: rewrite(base, intermediate_size=64), "of other shapes"),
    ],
)
def test_weights_that_the_configuration_does_not_describe_are_refused(spoil: Any, said: str, base: Path) -> None:
    depth = json.loads((base / "config.json").read_text())["num_hidden_layers"]
    spoil(base, depth)
    with pytest.raises(ConfigError, match=f"^{BASE}") as caught:
        open_model(str(base), Loading(), torch.float32)
    assert said.format(depth, depth + 1, depth - 1) in str(caught.value)


def test_only_what_is_read_tells_a_base_from_another(base: Path) -> None:
    before = fingerprint(str(base), Loading())
    save_file({"stray": torch.ones(3)}, base / "consolidated.safetensors")
    save_file({"stray": torch.ones(3)}, base / "adapter_model.safetensors")
    assert fingerprint(str(base), Loading()) == before
    split(base)
    assert [file.name for file in weight_files(base)] == ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]
    of_shards = fingerprint(str(base), Loading())
    save_file({"stray": torch.ones(3)}, base / "consolidated-00001.safetensors")
    assert fingerprint(str(base), Loading()) == of_shards
    assert sum(w.numel() for w in open_model(str(base), Loading(), torch.float32).parameters())


def test_copies_for_other_programs_are_not_fetched(base: Path) -> None:
    listing = ["config.json", "tokenizer.json", "model.safetensors", "consolidated.safetensors", "params.json"]
    listing += ["original/model.safetensors", "original/params.json", "onnx/model.onnx", "onnx/config.json"]

    def fetched(patterns: list[str]) -> list[str]:
        return list(filter_repo_objects(listing, allow_patterns=patterns, ignore_patterns=FOR_OTHERS))

    assert fetched(["*.json"]) == ["config.json", "tokenizer.json", "params.json"]
    assert fetched(names(base)) == ["model.safetensors"]


def add_pad(base: Path, **roles: Any) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    while len(tokenizer) < 1024:
        tokenizer.add_tokens([AddedToken(f"<extra_{len(tokenizer)}>", special=True)])
    tokenizer.add_tokens([AddedToken(name, special=special) for name, special in roles.pop("added", {}).items()])
    tokenizer.add_special_tokens(roles)
    tokenizer.save_pretrained(base)


@pytest.mark.parametrize(
    ("added", "token"),
    [
        ({"pad_token": "[PAD]"}, "[PAD]"),
        ({"eos_token": "</s>"}, "</s>"),
        ({"added": {"[EMPRESA]": False}}, "[EMPRESA]"),
        ({"added": {"<image>": True}, "pad_token": "<pad>"}, "<pad>"),
    ],
)
def test_a_token_beyond_the_embedding_is_named(added: dict[str, Any], token: str, base: Path) -> None:
    add_pad(base, **added)
    at = AutoTokenizer.from_pretrained(base).convert_tokens_to_ids(token)
    with pytest.raises(ConfigError, match=f"^{BASE}") as caught:
        open_tokenizer(str(base), Loading())
    for part in (f"token {token!r}", f"with id {at}", "has 1024 rows"):
        assert part in str(caught.value)


def test_a_token_of_images_that_no_text_has_is_passed_over(base: Path) -> None:
    add_pad(base, added={"<image>": True})
    assert open_tokenizer(str(base), Loading()).convert_tokens_to_ids("<image>") == 1024


def adapter(folder: Path, base: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))
    return folder


def test_what_is_no_base_is_told_with_what_to_do(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "a run"
    own = adapter(run / "adapter", str(base))
    (run / "config.yaml").write_text("model: {}\n")
    strange = adapter(tmp_path / "strange", "Qwen/Qwen3-0.6B")
    shutil.copytree(base, tmp_path / "models--a--b/snapshots/0a1b")
    (tmp_path / "model.gguf").touch()
    cases = {
        own: [f"adapter of {base}", f"'{run}'/config.yaml --ckpt_path last", f"export --run '{run}' --merged"],
        run: ["is a run folder", "--ckpt_path last"],
        strange: ["adapter of Qwen/Qwen3-0.6B", "merge_and_unload"],
        tmp_path / "models--a--b": [f"did you mean {tmp_path}/models--a--b/snapshots/0a1b?"],
        base / "model.safetensors": [f"name the folder of the base: {base}"],
        tmp_path / "model.gguf": ["llama.cpp"],
    }
    for named, parts in cases.items():
        with pytest.raises(ConfigError, match=f"^{BASE}") as caught:
            open_tokenizer(str(named), Loading())
        for part in parts:
            assert part in str(caught.value)
    run_file = tmp_path / "fit.yaml"
    run_file.write_text(f"model: {{class_path: CausalLM, init_args: {{backbone: '{own}'}}}}\n")
    assert main(["fit", "--config", str(run_file)]) == 1
    assert f"model.backbone ({run_file}:1): {own} is an adapter of {base}" in capsys.readouterr().err


def test_home_is_meant_by_its_sign(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_tokenizer("~/base", Loading()).name_or_path == str(base)
    assert open_tokenizer(str(base), Loading(tokenizer="~/base")).name_or_path == str(base)
    assert CausalLM(backbone="~/base").backbone == str(base)
    run_file = tmp_path / "fit.yaml"
    named = "model: {class_path: CausalLM, init_args: {backbone: ~/base}}\n"
    for data, said in (
        (
            "{class_path: ExtractionData, init_args: {train: ~/rows.jsonl}}",
            f"data.train ({run_file}:2): {tmp_path}/rows",
        ),
        ("{class_path: ExtractionData, init_args: {chat_template: ~/t.jinja}}", f"there is no {tmp_path}/t.jinja"),
    ):
        run_file.write_text(f"{named}data: {data}\n")
        assert main(["fit", "--config=~/fit.yaml"]) == 1
        assert said in capsys.readouterr().err
    run_file.write_text(f"{named}data: {{class_path: ExtractionData}}\n")
    for typed, said in (
        (["--model.backbone=~/bases"], f"there is no folder {tmp_path}/bases; did you mean {base}?"),
        (["--data.train", "~/none.jsonl"], f"{tmp_path}/none.jsonl: no such file"),
    ):
        assert main(["fit", "--config=~/fit.yaml", *typed]) == 1
        assert said in capsys.readouterr().err
    assert main(["ask", "--run=~/none", "--text", "hola"]) == 1
    assert f"there is no run folder {tmp_path}/none" in capsys.readouterr().err
