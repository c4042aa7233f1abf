"""An optimizer step does not depend on how its rows are cut into micro-batches and processes.

Measured through the command line's own ``fit``: rows of unequal length, and a last window that is not full.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lit_llm.__main__ import main
from tests import families

ROWS, STEP = 21, 8


def rows(path: Path) -> Path:
    """Write rows of unequal length, so that a mean of means differs from the mean over tokens."""
    lengths = [(i % 7, 1 + (i * 5) % 11) for i in range(ROWS)]
    lines = [{"text": "dame " + "pan " * a, "json": {"a": "pan " * b, "n": i}} for i, (a, b) in enumerate(lengths)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def fit(
    folder: Path, data: Path, root: Path, batch_size: int, accumulate: int, devices: int, precision: str, base: Path
) -> None:
    settings = {
        "model": "lit_llm.models.CausalLM",
        "model.adapter": "lit_llm.adapters.LoRA",
        "model.optimizer": "tests.recording.RecordingAdamW",
        "model.optimizer.folder": folder / "gradients",
        "model.schedule.name": "constant",
        "model.schedule.warmup": 0,
        "model.backbone": base,
        "data": "lit_llm.data.ExtractionData",
        "data.train": data,
        "data.batch_size": batch_size,
        "trainer.default_root_dir": folder,
        "trainer.max_epochs": 1,
        "trainer.accelerator": "cpu",
        "trainer.devices": devices,
        "trainer.strategy": "ddp" if devices > 1 else "auto",
        "trainer.accumulate_grad_batches": accumulate,
        "trainer.precision": precision,
        "trainer.enable_checkpointing": "false",
        "trainer.logger": "false",
        "trainer.enable_progress_bar": "false",
    }
    options = ["fit", *(f"--{key}={value}" for key, value in settings.items())]
    if devices == 1:
        assert main(options) == 0
        return
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "lit_llm", *options]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def gradients(folder: Path) -> list[torch.Tensor]:
    """The gradients of each step, put end to end."""
    files = sorted((folder / "gradients").glob("*.pt"))
    return [torch.cat([g.flatten() for g in torch.load(file, weights_only=True)]).double() for file in files]


@pytest.mark.parametrize(
    ("precision", "tolerance", "batch_size", "accumulate", "devices"),
    [
        ("64-true", 1e-6, 1, 8, 1),
        *(pytest.param("64-true", 1e-6, *cut, marks=pytest.mark.slow) for cut in [(4, 2, 1), (4, 1, 2)]),
        pytest.param("32-true", 1e-4, 4, 2, 1, marks=pytest.mark.slow),
    ],
)
def test_gradients_do_not_depend_on_the_cut(
    precision: str, tolerance: float, batch_size: int, accumulate: int, devices: int, tmp_path: Path, root: Path
) -> None:
    base = root / "checkpoints" / "qwen3-tiny"
    compare(tmp_path, root, base, (batch_size, accumulate, devices), precision, tolerance)


# In what float64 is left to float32 by their layers, texts of unlike length stand in other pieces.
@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [4, 1])
@pytest.mark.parametrize(
    ("family", "precision", "tolerance"),
    [("qwen3_5", "64-true", 1e-6), ("qwen3_next", "64-true", 1e-6), ("qwen3_next", "32-true", 1e-4)],
)
def test_gradients_of_hybrid_models_do_not_either(
    family: str, precision: str, tolerance: float, batch_size: int, tmp_path: Path, root: Path
) -> None:
    base = families.folder(tmp_path / "base", family, initializer_range=0.05)
    compare(tmp_path, root, base, (batch_size, STEP // batch_size, 1), precision, tolerance)


def compare(
    tmp_path: Path, root: Path, base: Path, cut: tuple[int, int, int], precision: str, tolerance: float
) -> None:
    """Train a step in one piece and cut, which is rows, batches and processes; gradients have to be equal."""
    data = rows(tmp_path / "rows.jsonl")
    fit(tmp_path / "whole", data, root, STEP, 1, 1, precision, base)
    fit(tmp_path / "cut", data, root, *cut, precision, base)
    wanted, found = gradients(tmp_path / "whole"), gradients(tmp_path / "cut")
    assert len(wanted) == len(found) == 3
    differences = [float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True)]
    print(f"{cut[0]}x{cut[1]} on {cut[2]}, {precision}: largest relative difference {max(differences):.1e}")
    assert max(differences) < tolerance
