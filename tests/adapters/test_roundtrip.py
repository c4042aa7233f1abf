"""Every adapter, on every architecture: saved, opened again by us and by PEFT alone, merged, exported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch

from lit_llm.adapters import Adapter


def test_saved_loaded_merged_and_exported_give_the_same_logits(
    base: str,
    name: str,
    make: Callable[[], Adapter],
    tmp_path: Path,
    backbones: dict[str, Path],
    open_base: Callable,
    prepared: Callable,
    train: Callable,
    logits: Callable,
) -> None:
    from transformers import AutoModelForCausalLM

    adapter = make()
    network = prepared(adapter, base)
    untouched = logits(open_base(base))
    assert (logits(network) - untouched).abs().max() < 1e-5, "a fresh adapter changes the model"
    train(adapter, network, total=8 if name == "adalora-between" else 4)
    trained = logits(network)
    assert (trained - untouched).abs().max() > 1e-2, "training changed nothing"
    adapter.save(network, tmp_path / adapter.folder)
    torch.testing.assert_close(logits(network), trained, rtol=0, atol=0)  # saving leaves the network alone

    again = make()
    loaded = again.wrap(open_base(base))  # other random numbers than before
    again.load(loaded, tmp_path / adapter.folder)
    # Seven matrices of each layer are added to in float32.
    torch.testing.assert_close(logits(loaded), trained, rtol=0, atol=2e-5)
    if adapter.folder == "adapter":
        _opens_with_peft_alone(tmp_path / "adapter", open_base(base), trained, logits)
        config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
        assert config["base_model_name_or_path"] == str(backbones[base])
        assert config["target_modules"] == sorted(config["target_modules"])

    merged = again.merge(loaded)
    torch.testing.assert_close(logits(merged), trained, rtol=0, atol=2e-5)
    merged.save_pretrained(tmp_path / "merged")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(exported), trained, rtol=0, atol=2e-5)
    assert type(exported) is type(open_base(base))
    assert exported.config.tie_word_embeddings == open_base(base).config.tie_word_embeddings


def _opens_with_peft_alone(folder: Path, base, trained: torch.Tensor, logits: Callable) -> None:
    from peft import PeftModel

    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    torch.testing.assert_close(logits(PeftModel.from_pretrained(base, folder)), trained, rtol=0, atol=2e-5)
