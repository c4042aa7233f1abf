"""Short passages with a fact each, and run files of a tiny CLaRa that learns to answer from their vectors."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from lit_llm.__main__ import main

ROOT = Path(__file__).resolve().parent.parent
BASE = str(ROOT / "checkpoints/qwen3-tiny")

WORDS = [
    *("pan", "sal", "mar", "sol", "luz", "rey", "pez", "flor", "tren", "mes", "voz", "paz", "gas", "red", "ley", "fin"),
    *(
        "don",
        "mal",
        "par",
        "ser",
        "ver",
        "dar",
        "mil",
        "tres",
        "seis",
        "dos",
        "por",
        "con",
        "sin",
        "tan",
        "muy",
        "bien",
    ),
]
KEYS, VALUES = WORDS[:12], WORDS[12:28]


def fact(rng: random.Random, key: str | None = None) -> tuple[str, str, str]:
    """Return a passage of eight words, the key that stands in it, and the value behind it."""
    key, value = key or rng.choice(KEYS), rng.choice(VALUES)
    noise = [rng.choice(WORDS[28:]) for _ in range(4)]
    at = rng.randrange(5)
    return " ".join([*noise[:at], key, value, *noise[at:]]), key, value


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write rows, and return where."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def single(count: int, seed: int) -> list[dict[str, Any]]:
    """Return questions with the passage that answers each."""
    rng, rows = random.Random(seed), []
    for number in range(count):
        text, key, value = fact(rng)
        rows.append({"id": f"q{number}", "question": key, "answer": value, "docs": [text]})
    return rows


def among(count: int, candidates: int, seed: int) -> list[dict[str, Any]]:
    """Return questions with candidates of other keys, one of which answers."""
    rng, rows = random.Random(seed), []
    for number in range(count):
        facts = [fact(rng, key) for key in rng.sample(KEYS, candidates)]
        right = rng.randrange(candidates)
        _, key, value = facts[right]
        docs = [text for text, _, _ in facts]
        rows.append({"id": f"m{number}", "question": key, "answer": value, "docs": docs, "pos_index": [right]})
    return rows


def run_file(folder: Path, name: str, train: str, valid: str, model: dict[str, Any], **settings: Any) -> Path:
    """Write the run file of a tiny model with random weights; ``settings`` are ``data`` and ``trainer`` to add."""
    small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
    init = {
        "backbone": BASE,
        # Of small weights the logits of this base are bounded, and so is what it can learn.
        "loading": {"random_init": True, "config_overrides": small | {"initializer_range": 0.25}},
        "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 16, "alpha": 32}},
        "rate": 4,
        "passage_tokens": 16,
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 5e-3, "weight_decay": 0.0}},
        "schedule": {"name": "constant", "warmup": 0},
        "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 24}},
        "metrics": [{"class_path": "lit_llm.metrics.AnswerMetrics"}],
    }
    data = {
        "train": train,
        "valid": valid,
        "batch_size": 32,
        "instruction": "{passages}{question}",
    }
    trainer = {
        "default_root_dir": str(folder / name),
        "max_epochs": 1,
        "accelerator": "cpu",
        "gradient_clip_val": 1.0,
        "num_sanity_val_steps": 0,
        "enable_progress_bar": False,
        "log_every_n_steps": 10,
    }
    config = {
        "seed_everything": 0,
        "model": {"class_path": "lit_llm.models.ClaraLM", "init_args": init | model},
        "data": {"class_path": "lit_llm.data.DocumentsData", "init_args": data | settings.get("data", {})},
        "trainer": trainer | settings.get("trainer", {}),
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(config))
    return path


def fit(path: Path, *options: str) -> Path:
    """Train a run, and return its folder."""
    assert main(["fit", "--config", str(path), *options]) == 0
    return path.with_suffix("")


def logged(run: Path, name: str) -> list[float]:
    """Return the values of a figure of a run, in their order."""
    lines = (run / "metrics.csv").read_text().splitlines()[1:]
    return [float(value) for step, epoch, key, value in (line.split(",") for line in lines) if key == name]
