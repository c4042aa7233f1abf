"""The commands of docs/clara.md, run in order with fewer rows and steps, and the run files for large models, small."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from lit_llm.__main__ import main
from scripts.demo_data import make_facts
from tests.clara_rows import among, single, write

SIZES = {"pretrain_1": 16, "pretrain_few": 16, "pretrain": 16, "instruct": 16, "search": 32, "valid": 24, "test": 24}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16}


def guide(root: Path) -> list[list[str]]:
    text = (root / "docs/clara.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_passages_of_a_split_are_of_people_whom_no_other_names(tmp_path: Path) -> None:
    make_facts.make_facts(tmp_path, SIZES, 0)
    people: dict[str, set[str]] = {}
    assert {row["text"] for row in map(json.loads, (tmp_path / "corpus.jsonl").read_text().splitlines())} <= {
        row["docs"][0] for row in map(json.loads, (tmp_path / "test_gold.jsonl").read_text().splitlines())
    }
    for path in sorted(set(tmp_path.glob("*.jsonl")) - {tmp_path / "corpus.jsonl"}):
        split = path.stem.partition("_")[0]
        texts = [line for line in path.read_text(encoding="utf-8").splitlines()]
        people.setdefault(split, set()).update(re.findall(r"(\w+ \w+) es mi vecina", "\n".join(texts)))
    names = list(people.values())
    assert all(not one & other for at, one in enumerate(names) for other in names[:at])
    again = {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}
    make_facts.make_facts(tmp_path, SIZES, 0)
    assert again == {path.name: path.read_bytes() for path in tmp_path.glob("*.jsonl")}


def test_passages_may_be_shorter(tmp_path: Path) -> None:
    make_facts.make_facts(tmp_path, SIZES, 0, sentences=2)
    told: dict[str, set[int]] = {}
    for path in tmp_path.glob("*_gold.jsonl"), tmp_path.glob("pretrain*.jsonl"):
        for row in (json.loads(line) for file in path for line in file.read_text(encoding="utf-8").splitlines()):
            told.setdefault(row["id"].partition("-")[0], set()).add(row["docs"][0].count(".") - 1)
    assert told == {"pretrain_1": {1}, "pretrain_few": {1, 2}, "pretrain": {2}, "gold": {2}}


def test_more_people_than_there_are_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="20033 people are wanted for train, and there are 16000 names"):
        make_facts.make_facts(tmp_path, SIZES | {"instruct": 20_000}, 0)
    assert not list(tmp_path.glob("train*"))


@pytest.mark.slow
def test_every_command_of_the_guide(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("configs", "scripts"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/qwen3-tiny").symlink_to(root / "checkpoints/qwen3-tiny")
    (tmp_path / "notas").mkdir()
    (tmp_path / "notas/balsas.md").write_text("El río Balsas nace en Tlaxcala.", encoding="utf-8")
    rows = {"pretrain": single(8, 0), "questions": single(8, 1), "candidates": among(8, 8, 2)}
    for name, made in rows.items():
        write(tmp_path / f"{name}.jsonl", made)
    done = []
    for command in guide(root):
        if command[1].endswith("make_facts.py"):
            make_facts.make_facts(Path(command[2]), SIZES, 0)
            continue
        options = command[3:]
        if options[0] == "fit":
            options += [
                "--trainer.max_epochs=1",
                "--trainer.enable_progress_bar=false",
                "--trainer.num_sanity_val_steps=0",
                "--trainer.val_check_interval=1.0",
            ]
        if "qwen3_4b" in " ".join(options):
            # Nothing but depth, width and vocabulary is other than in the file.
            shape = yaml.safe_dump({"random_init": True, "config_overrides": SMALL}, default_flow_style=True).strip()
            options += [f"--model.loading={shape}", "--model.backbone=checkpoints/qwen3-tiny"]
        assert main(options) == 0, command
        done.append(options[0])
    assert done.count("fit") == 9 and {"compress", "ask", "prepare"} <= set(done)
