"""Small backbones on disk, and a few steps of training on one batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lit_llm.adapters import AdaLoRA, Adapter, DoRA, Full, LoRA, VeRA
from lit_llm.batch import Batch

SHAPE = {
    "vocab_size": 300,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
}

PATTERNS = {"rank_pattern": {"q_proj": 2, "layers.1.self_attn.o_proj": 6}, "alpha_pattern": {"v_proj": 5.0}}
ADAPTERS: dict[str, Callable[[], Adapter]] = {
    "lora": lambda: LoRA(r=4, dropout=0.1),
    "lora-all-linear": lambda: LoRA(r=4, target_modules="all-linear"),
    "lora-gaussian": lambda: LoRA(r=4, init="gaussian", target_modules=["q_proj", "down_proj"]),
    "rslora": lambda: LoRA(r=4, rslora=True, **PATTERNS),
    "patterns": lambda: LoRA(r=4, **PATTERNS),
    "pissa": lambda: LoRA(r=4, init="pissa", **PATTERNS),
    "pissa-rslora": lambda: LoRA(r=4, init="pissa", rslora=True, **PATTERNS),
    "olora": lambda: LoRA(r=4, init="olora"),
    "eva": lambda: LoRA(r=4, init="eva", eva_rho=2.0),
    "eva-rslora": lambda: LoRA(r=4, init="eva", rslora=True, **PATTERNS),
    "dora": lambda: DoRA(r=4, dropout=0.1),
    "dora-pissa": lambda: DoRA(r=4, init="pissa"),
    "dora-eva": lambda: DoRA(r=4, init="eva", eva_rho=2.0),
    "vera": lambda: VeRA(r=16, target_modules="all-linear"),
    "adalora": lambda: AdaLoRA(r=2, initial_r=4, interval=1),
    "adalora-between": lambda: AdaLoRA(r=2, initial_r=4, interval=2, final_share=0.0),
    "full": lambda: Full(),
}
WITH_BIAS: dict[str, Callable[[], Adapter]] = {
    "lora-bias-all": lambda: LoRA(r=4, bias="all"),
    "dora-bias-adapted": lambda: DoRA(r=4, bias="adapted"),
    "pissa-bias-all": lambda: LoRA(r=4, init="pissa", bias="all"),
    "vera-bias-adapted": lambda: VeRA(r=16, bias="adapted"),
    "adalora-bias-adapted": lambda: AdaLoRA(r=2, initial_r=4, interval=1, bias="adapted"),
}
WITH_MODULES: dict[str, Callable[[], Adapter]] = {
    "lora-head": lambda: LoRA(r=4, modules_to_save=["lm_head"]),
    "lora-adapted-head": lambda: LoRA(r=4, target_modules=["q_proj", "lm_head"]),
    "lora-embedding": lambda: LoRA(r=4, modules_to_save=["embed_tokens", "norm"]),
    "vera-head": lambda: VeRA(r=16, modules_to_save=["lm_head"]),
    "adalora-head": lambda: AdaLoRA(r=2, initial_r=4, interval=1, modules_to_save=["lm_head"]),
}
ALL = {**ADAPTERS, **WITH_BIAS, **WITH_MODULES}
SOME = ("lora", "pissa", "dora", "vera", "adalora", "full", "eva")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``name`` for each adapter, and one that takes ``base`` too on each architecture."""
    if "base" in metafunc.fixturenames:
        cases: list[Any] = [("qwen3", name) for name in ADAPTERS]
        for other in ("qwen2", "llama"):
            cases += [pytest.param(other, name, marks=[] if name == "lora" else pytest.mark.slow) for name in SOME]
        cases += [("qwen2", name) for name in WITH_BIAS] + [("untied", name) for name in WITH_MODULES]
        metafunc.parametrize(("base", "name"), cases)
    elif "name" in metafunc.fixturenames and not any("name" in m.args[0] for m in metafunc.definition.own_markers):
        metafunc.parametrize("name", list(ADAPTERS))


@pytest.fixture
def make(name: str) -> Callable[[], Adapter]:
    """What makes the adapter called ``name``, anew at each call."""
    return ALL[name]


@pytest.fixture(scope="session")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with random weights, of the architectures that are supported."""
    from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

    configs = {
        "qwen3": Qwen3Config(**SHAPE, tie_word_embeddings=True),
        "untied": Qwen3Config(**SHAPE, tie_word_embeddings=False),
        "qwen2": Qwen2Config(**{k: v for k, v in SHAPE.items() if k != "head_dim"}),
        "llama": LlamaConfig(**SHAPE),
    }
    folder = tmp_path_factory.mktemp("backbones")
    for name, config in configs.items():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for key, weight in model.named_parameters():
                if key.endswith("bias"):
                    weight.normal_(std=0.1)
        model.save_pretrained(folder / name)
    return {name: folder / name for name in configs}


@pytest.fixture
def open_base(backbones: dict[str, Path]) -> Callable:
    """Open a backbone as it lies on disk."""
    from transformers import AutoModelForCausalLM

    def opened(name: str = "qwen3", dtype: torch.dtype = torch.float32):
        return AutoModelForCausalLM.from_pretrained(backbones[name], dtype=dtype)

    return opened


@pytest.fixture(scope="session")
def batch() -> Batch:
    """Two rows, the second of which is padded."""
    ids = torch.randint(0, 300, (2, 24), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    return Batch(["a", "b"], "train", "test", mask, ids.masked_fill(mask == 0, -100), input_ids=ids)


@pytest.fixture
def logits(batch: Batch) -> Callable:
    """Logits of a network for the batch, in eval mode."""

    @torch.no_grad()
    def compute(network) -> torch.Tensor:
        network.eval()
        return network(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits.float()

    return compute


@pytest.fixture
def train(batch: Batch) -> Callable:
    """Train some steps of a longer run, the adapter's hooks included; dropout draws from the step's number."""

    def run(adapter: Adapter, network, steps: range = range(1, 5), total: int = 4, optimizer=None):
        learned = [p for p in network.parameters() if p.requires_grad]
        optimizer = optimizer or torch.optim.AdamW(learned, lr=1e-2)
        network.train()
        for step in steps:
            torch.manual_seed(step)
            optimizer.zero_grad()
            out = network(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            loss = F.cross_entropy(out[:, :-1].flatten(0, 1).float(), batch.labels[:, 1:].flatten())
            penalty = adapter.penalty(network)
            (loss if penalty is None else loss + penalty).backward()
            optimizer.step()
            adapter.after_step(network, step, total)
        return optimizer

    return run


@pytest.fixture
def prepared(batch: Batch, open_base: Callable) -> Callable:
    """Wrap a fresh backbone, from the same random numbers each time, and start it from data if needed."""

    def make(adapter: Adapter, base: str = "qwen3", dtype: torch.dtype = torch.float32, seed: int = 0):
        model = open_base(base, dtype)
        torch.manual_seed(seed)
        network = adapter.wrap(model)
        if adapter.needs_data:
            adapter.initialize(network, [batch, batch])
        return network

    return make
