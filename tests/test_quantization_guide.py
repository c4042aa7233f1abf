"""The commands of docs/quantization.md, in order as they stand there, with a few steps of training."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from lit_llm.__main__ import main
from tests.short_runs import logged

SHORT = {
    "fit": ["--trainer.max_steps", "3", "--trainer.limit_val_batches", "1"],
    "test": ["--trainer.limit_test_batches", "1"],
    "quantize": [],
    "export": [],
    "compare": ["--tokens", "4"],
}


def guide(root: Path) -> list[list[str]]:
    text = (root / "docs/quantization.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


@pytest.mark.slow
def test_the_guide(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("configs", "checkpoints/qwen3-tiny"):
        shutil.copytree(root / folder, tmp_path / folder)
    for file in (tmp_path / "configs/data/orders").glob("test_*.jsonl"):
        file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:4]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    assert main(["fit", "--config", "configs/run/extraction_tiny.yaml", *SHORT["fit"]]) == 0
    commands = guide(root)
    assert len(commands) == 11
    for program, dash, package, verb, *options in commands:
        assert (program, dash, package) == (".venv/bin/python", "-m", "lit_llm")
        assert main([verb, *options, *SHORT[verb]]) == 0
    assert {path.name for path in Path("checkpoints").iterdir()} >= {"int2", "int4", "mixed", "nf4", "demo.gguf"}
    with Path("checkpoints/compared/table.csv").open(newline="") as file:
        assert [row["rows"] for row in csv.DictReader(file)] == ["16"] * 4
    assert "test/known/field_f1" in logged(Path("checkpoints/int4_test"))
