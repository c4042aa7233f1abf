"""What only a GPU can show: the numbers of a CPU in every type, texts that no batch changes, runs that go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lit_llm.__main__ import main
from lit_llm.data import TranslationData
from lit_llm.generation import Generator, Lookup
from lit_llm.models import CausalLM
from tests import clara_rows, families, short_runs

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]

GPU: dict[str, Any] = {"accelerator": "gpu", "devices": 1, "log_every_n_steps": 1}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Pairs of unlike length."""
    path = tmp_path_factory.mktemp("pairs") / "pairs.jsonl"
    rows = [{"es": f"La casa {k} es grande" * (1 + k % 5), "nah": f"In calli {k} huei"} for k in range(16)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def loss(folder: Path, pairs: str, trainer: dict[str, Any], **model: Any) -> float:
    """Train four steps and return the last loss."""
    data = {"train": pairs, "batch_size": 4}
    run = short_runs.fit(folder, data, steps=4, task="Translation", trainer=trainer, **model)
    return short_runs.logged(run)["train/loss"]


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("32-true", 1e-3), ("bf16-mixed", 0.05), ("16-mixed", 0.05), ("bf16-true", 0.1)]
)
def test_training_gives_the_loss_of_a_cpu(precision: str, tolerance: float, tmp_path: Path, pairs: str) -> None:
    cpu = loss(tmp_path / "cpu", pairs, {"accelerator": "cpu", "log_every_n_steps": 1})
    assert loss(tmp_path / "gpu", pairs, GPU | {"precision": precision}) == pytest.approx(cpu, abs=tolerance)


WAYS: dict[str, dict[str, Any]] = {
    "DoRA": {"adapter": {"class_path": "lit_llm.adapters.DoRA"}},
    "VeRA": {"adapter": {"class_path": "lit_llm.adapters.VeRA"}},
    "AdaLoRA": {"adapter": {"class_path": "lit_llm.adapters.AdaLoRA"}},
    "full": {"adapter": {"class_path": "lit_llm.adapters.Full"}},
    "checkpointed": {"gradient_checkpointing": True},
    "training on a grid": {"qat": {"class_path": "lit_llm.quantization.QAT"}},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_train_gives_the_loss_of_a_cpu(way: str, tmp_path: Path, pairs: str) -> None:
    cpu = loss(tmp_path / "cpu", pairs, {"accelerator": "cpu", "log_every_n_steps": 1}, **WAYS[way])
    assert loss(tmp_path / "gpu", pairs, GPU, **WAYS[way]) == pytest.approx(cpu, abs=1e-3)


@pytest.mark.parametrize("family", ["qwen3_5", "qwen3_moe", "gemma3"])
def test_other_families_give_the_loss_of_a_cpu(family: str, tmp_path: Path, pairs: str) -> None:
    base = str(families.folder(tmp_path / "base", family))
    cpu = loss(tmp_path / "cpu", pairs, {"accelerator": "cpu", "log_every_n_steps": 1}, backbone=base)
    assert loss(tmp_path / "gpu", pairs, GPU, backbone=base) == pytest.approx(cpu, abs=2e-3)


def test_passages_in_vectors_give_the_losses_of_a_cpu(tmp_path: Path) -> None:
    rows = clara_rows.write(tmp_path / "rows.jsonl", clara_rows.single(16, 0))
    losses = []
    for name in ("cpu", "gpu"):
        trainer = {"accelerator": name, "max_steps": 4, "log_every_n_steps": 1}
        file = clara_rows.run_file(tmp_path, name, rows, rows, {}, data={"batch_size": 4}, trainer=trainer)
        losses.append(clara_rows.logged(clara_rows.fit(file), "train/loss"))
    assert len(losses[0]) == 4 and losses[0] == pytest.approx(losses[1], abs=2e-3)


@pytest.mark.parametrize("quantizer", ["NF4", "Int8"])
def test_quantized_bases_learn(quantizer: str, tmp_path: Path, pairs: str) -> None:
    stored = {"class_path": f"lit_llm.quantization.{quantizer}"}
    plain = loss(tmp_path / "plain", pairs, GPU)
    assert loss(tmp_path / "run", pairs, GPU | {"precision": "bf16-mixed"}, quantizer=stored) == pytest.approx(
        plain, abs=0.3
    )


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path, pairs: str) -> None:
    for folder, steps in (("whole", 4), ("parts", 2)):
        data = {"train": pairs, "batch_size": 4}
        constant = {"name": "constant"}
        short_runs.fit(tmp_path / folder, data, steps=steps, task="Translation", trainer=GPU, schedule=constant)
    go_on = ["fit", "--config", str(tmp_path / "parts/config.yaml"), "--ckpt_path", "last", "--trainer.max_steps", "4"]
    assert main(go_on) == 0
    whole, parts = (load_file(tmp_path / run / "adapter/adapter_model.safetensors") for run in ("whole", "parts"))
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)


def test_no_batch_and_no_guess_changes_a_text(pairs: str) -> None:
    model = CausalLM()
    model.configure_model()
    model.to("cuda").eval()
    texts = []
    for size, draft in ((16, None), (3, None), (1, None), (16, Lookup()), (1, Lookup())):
        way = Generator(max_new_tokens=24, draft=draft)
        data = TranslationData(predict=pairs, eval_batch_size=size)
        data.tokenizer = model.tokenizer
        data.setup("predict")
        found: dict[str, str] = {}
        for batch in data.predict_dataloader()[0]:
            answers = model.answers(batch.to("cuda"), way)
            found |= {row: answer.text for row, answer in zip(batch.ids, answers, strict=False) if row}
        texts.append(found)
    assert len(texts[0]) == 32 and all(found == texts[0] for found in texts)
