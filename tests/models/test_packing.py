"""Rows that stand behind one another in a single row teach what they teach apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.batch import IGNORE
from lit_llm.data import ExtractionData, MixedData, SignData
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM, Loading
from lit_llm.models.backbone import open_model
from tests import families
from tests.short_runs import fit

TEXTS = ["pan", "dos panes y una torta de jamón", "nada", "tres cafés, dos panes, una leche y cuatro tamales", "sí"]


@pytest.fixture
def train(tmp_path: Path) -> str:
    rows = [{"text": text * (1 + k % 3), "json": {"n": k, "t": text}} for k, text in enumerate(TEXTS * 4)]
    file = tmp_path / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def loaded(root: Path, train: str, **settings: Any) -> ExtractionData:
    data = ExtractionData(train=train, batch_size=5, **settings)
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    data.setup("fit")
    return data


@pytest.mark.parametrize(
    ("family", "attention", "learn"),
    [
        *(("qwen3", "sdpa", "answer"), ("qwen3", "sdpa", "text"), ("qwen3", "eager", "text")),
        *(("qwen2", "sdpa", "text"), ("gemma3", "sdpa", "answer"), ("gemma3", "eager", "text")),
        *(("mistral", "sdpa", "text"), ("granite", "eager", "answer")),
    ],
)
def test_losses_and_gradients_are_those_of_rows_apart(
    family: str, attention: str, learn: str, train: str, root: Path, tmp_path: Path
) -> None:
    model = CausalLM()
    loading = Loading(attn_implementation=attention)
    model.network = open_model(str(families.folder(tmp_path / "base", family)), loading, torch.float64)
    found = []
    for packing in (False, True):
        loader = loaded(root, train, packing=packing, learn=learn, pad_to_multiple_of=16).train_dataloader()
        model.network.zero_grad()
        losses, counts, ids = [], [], []
        for batch in loader:
            assert (len(batch.input_ids) == 1) is packing
            assert batch.input_ids.shape[1] % 16 == 0
            loss, tokens = model.summed_loss(batch)
            loss.backward()
            losses.append(loss.detach())
            counts.append(tokens)
            ids.append(batch.ids)
        grads = [weight.grad.flatten() for weight in model.network.parameters() if weight.grad is not None]
        found.append((torch.stack(losses), torch.cat(grads), counts, ids))
    (plain, plain_grads, *rest), (packed, packed_grads, *others) = found
    assert rest == others
    # Rotations are computed in float32, and those of a row are the same wherever it stands.
    torch.testing.assert_close(packed, plain, rtol=1e-6, atol=0)
    assert (packed_grads - plain_grads).norm() / plain_grads.norm() < 1e-6


def test_padding_stands_at_the_end_alone(train: str, root: Path) -> None:
    batch = next(iter(loaded(root, train, packing=True).train_dataloader()))
    real = int(batch.attention_mask.sum())
    assert batch.attention_mask[0, :real].all()
    assert batch.labels[0, real:].eq(IGNORE).all()
    starts = (batch.position_ids[0] == 0).nonzero().flatten().tolist()
    assert len(starts) == len(batch.ids) == 5
    assert batch.labels[0, starts].eq(IGNORE).all()


def test_a_run_with_rows_packed_is_the_same_run(train: str, root: Path, tmp_path: Path) -> None:
    base = str(root / "checkpoints/qwen3-tiny")
    adapter = {"class_path": "lit_llm.adapters.LoRA", "init_args": {"dropout": 0.0}}
    weights = []
    for packing in (False, True):
        data = {"train": train, "batch_size": 4, "packing": packing}
        run = fit(tmp_path / str(packing), data, steps=5, backbone=base, adapter=adapter)
        weights.append(load_file(run / "adapter" / "adapter_model.safetensors"))
    plain, packed = (torch.cat([part.flatten() for part in each.values()]) for each in weights)
    assert (plain - packed).norm() / plain.norm() < 1e-5


@pytest.mark.parametrize("family", ["qwen3_5", "qwen3_next"])
def test_layers_with_a_state_refuse_packed_rows(
    family: str, train: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = families.folder(tmp_path / "base", family)
    options = ["--model=lit_llm.models.CausalLM", f"--model.backbone={base}", "--data=lit_llm.data.ExtractionData"]
    options += [f"--data.train={train}", "--data.packing=true", "--trainer.max_steps=2", "--trainer.accelerator=cpu"]
    folder = tmp_path / "run"
    assert main(["fit", *options, f"--trainer.default_root_dir={folder}"]) == 1
    assert "data.init_args.packing: layers of " in capsys.readouterr().err
    assert not folder.exists()


def test_clips_are_not_packed() -> None:
    with pytest.raises(ConfigError, match=r"data\.init_args\.packing: rows with clips"):
        SignData(packing=True)
    with pytest.raises(ConfigError, match=r"data\.init_args\.packing: rows with clips"):
        MixedData({"signs": SignData(), "orders": ExtractionData()}, packing=True)
    with pytest.raises(ConfigError, match=r"data\.init_args\.parts\.orders\.packing: .*packing of the mixture"):
        MixedData({"orders": ExtractionData(packing=True)})


class Joining(ExtractionData):
    """A user who joins rows in another way."""

    def collate(self, *args: Any, **kwargs: Any) -> Any:
        return super().collate(*args, **kwargs)


def test_rows_joined_in_another_way_are_not_packed() -> None:
    with pytest.raises(ConfigError, match=r"packing: Joining joins rows in its own way"):
        Joining(packing=True)
