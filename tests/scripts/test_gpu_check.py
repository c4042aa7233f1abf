"""What is tried on a GPU runs with small shapes without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scripts.gpu.types import Watch

ROOT = Path(__file__).resolve().parents[2]


def test_operations_of_a_type_are_seen_in_the_backward_pass_too() -> None:
    weight = torch.ones(2, 2, requires_grad=True)
    with Watch(torch.bfloat16) as watch:
        (weight @ weight).sum().backward()
    assert watch.seen == set()
    with Watch(torch.bfloat16) as watch, torch.autocast("cpu", dtype=torch.bfloat16):
        (weight @ weight).sum().backward()
    assert any(name.startswith("aten.mm") for name in watch.seen)


@pytest.mark.slow
def test_every_check_runs_with_small_shapes(tmp_path: Path) -> None:
    command = [ROOT / "scripts/gpu_check.sh", "--tiny", "--output", tmp_path / "seen.json"]
    done = subprocess.run(command, env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["tiny"] and not [name for name, check in seen["checks"].items() if "error" in check]
    trained = [check for name, check in seen["checks"].items() if "LoRA" in name]
    assert len(trained) == 4
    assert all(check["planned_gib"] > 0 for check in trained)
    assert all(check["tokens_per_second"] > 0 and check["plain_tokens_per_second"] > 0 for check in trained)
    trl = next(check for name, check in seen["checks"].items() if "TRL" in name)
    assert "TRL_PYTHON" in trl["skipped"] if "skipped" in trl else trl["tokens_per_second"] > 0
    assert seen["checks"]["generation"]["equal_texts"] == seen["checks"]["generation"]["rows"]
    assert seen["checks"]["merge"]["difference"] < 1e-3
