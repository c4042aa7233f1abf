"""Opening backbones: from a folder, without weights, placed on devices, and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_llm.errors import ConfigError
from lit_llm.models import Loading
from lit_llm.models.backbone import fingerprint, open_model, open_tokenizer


@pytest.fixture
def base(root: Path) -> str:
    return str(root / "checkpoints/qwen3-tiny")


@pytest.fixture
def copy(base: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("Qwen/Qwen3-0.6B", "hf download Qwen/Qwen3-0.6B"),
        ("checkpoints/qwen3-tinny", "did you mean checkpoints/qwen3-tiny?"),
        ("qwen3-tiny", "did you mean checkpoints/qwen3-tiny?"),
        ("./nowhere", "there is no folder ./nowhere"),
        ("models/mine/final", "its folder models/mine does not exist either"),
    ],
)
@pytest.mark.parametrize("part", ["tokenizer", "model", "fingerprint"])
def test_absent_backbones_say_what_to_do(name: str, remedy: str, part: str) -> None:
    opened: dict[str, Any] = {
        "tokenizer": lambda: open_tokenizer(name, Loading()),
        "model": lambda: open_model(name, Loading(), torch.float32),
        "fingerprint": lambda: fingerprint(name, Loading()),
    }
    with pytest.raises(ConfigError, match=r"model\.init_args\.backbone: cannot open") as error:
        opened[part]()
    assert remedy in str(error.value)


def test_only_safetensors_are_read(copy: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(copy)
    torch.save(model.state_dict(), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="safetensors"):
        open_model(str(copy), Loading(), torch.float32)


def test_remote_code_is_off(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Model"}}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text("raise SystemExit('remote code ran')\n")
    assert Loading().trust_remote_code is False
    with pytest.raises(ConfigError):
        open_model(str(copy), Loading(), torch.float32)


@pytest.mark.parametrize("layers", [1, 2])
def test_random_weights_take_another_shape(base: str, layers: int) -> None:
    loading = Loading(random_init=True, config_overrides={"num_hidden_layers": layers, "vocab_size": 1152})
    model = open_model(base, loading, torch.float32)
    assert len(model.model.layers) == layers
    assert model.get_input_embeddings().weight.shape[0] == 1152
    assert model(torch.arange(5)[None]).logits.shape == (1, 5, 1152)


@pytest.mark.parametrize(
    ("loading", "message"),
    [
        (Loading(config_overrides={"num_hidden_layers": 1}), "set model.init_args.loading.random_init to true"),
        (Loading(random_init=True, config_overrides={"layers": 1}), "config_overrides.layers"),
    ],
)
def test_impossible_overrides_are_refused(base: str, loading: Loading, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_model(base, loading, torch.float32)


def test_fingerprint_follows_the_weights(base: str, copy: Path) -> None:
    assert fingerprint(base, Loading()) == fingerprint(str(copy), Loading())
    file = copy / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert fingerprint(base, Loading()) != fingerprint(str(copy), Loading())
    shapes = [Loading(random_init=True, config_overrides={"num_hidden_layers": n}) for n in (1, 2)]
    assert len({fingerprint(base, shape, seed) for shape in shapes for seed in (0, 1)}) == 4


def test_layers_placed_by_a_device_map_give_the_same_logits(base: str) -> None:
    plain = open_model(base, Loading(), torch.float32).eval()
    placed = open_model(base, Loading(device_map="auto", max_memory={"cpu": "8MB"}), torch.float32).eval()
    assert "disk" in set(placed.hf_device_map.values())
    ids = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(placed(ids).logits, plain(ids).logits)
