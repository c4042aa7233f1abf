"""The commands of docs/translation.md, run in order as they stand there, over small files."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shlex
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import Any

import lightning.pytorch  # noqa: F401  # its log keeps the stderr that it finds, which must not be a single test's
import pytest

from lit_llm.__main__ import main

NOUNS = ["calli", "tepetl", "atl", "xochitl", "tonalli", "altepetl", "metztli", "citlalli"]
MEANINGS = ["casa", "montaña", "agua", "flor", "día", "pueblo", "luna", "estrella"]


def pairs(first: int, count: int) -> list[dict[str, Any]]:
    rows = []
    for number in range(first, first + count):
        noun, other = number % len(NOUNS), (number // len(NOUNS)) % len(NOUNS)
        spanish = f"La {MEANINGS[noun]} de la {MEANINGS[other]} número {number} está lejos de aquí, dijo el abuelo."
        nahuatl = f"In {NOUNS[noun]} {NOUNS[other]} {number} huehca nican cah, quihtoh in colli īpan cē tōnalli."
        rows.append({"id": f"r{number}", "es": spanish, "nah": nahuatl, "dialect": ["clásico", "huasteca"][number % 2]})
    return rows


def unlike(count: int) -> list[dict[str, Any]]:
    rng = random.Random(0)
    made = [[" ".join(rng.choices(words, k=9)) for words in (MEANINGS, NOUNS)] for _ in range(count)]
    return [{"es": spanish, "nah": nahuatl} for spanish, nahuatl in made]


def guide(root: Path) -> list[list[str]]:
    text = (root / "docs/translation.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert all(line[:3] == ["python", "-m", "lit_llm"] for line in lines)
    return [line[3:] for line in lines]


def fill_in(sheet: Path) -> None:
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"adequacy": "1", "fluency": "2"} for row in rows)


@pytest.mark.slow
def test_every_command_of_the_guide(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lit_llm"])
    os.symlink(root / "configs", "configs")
    Path("checkpoints").mkdir()
    os.symlink(root / "checkpoints/qwen3-tiny", "checkpoints/qwen3-tiny")
    files = {"train": pairs(0, 24), "valid": pairs(100, 8), "dev": pairs(200, 24)}
    files["mono"] = [{"id": row["id"], "nah": row["nah"]} for row in pairs(300, 8)]
    files["all"] = [row | {"document": f"d{k // 2}"} for k, row in enumerate(unlike(60))]
    Path("data").mkdir()
    for name, rows in files.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        Path(f"data/{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    verbs = []
    for verb, *options in guide(root):
        if verb == "compare" and not Path("checkpoints/other").exists():
            shutil.copytree("checkpoints/translation_tiny", "checkpoints/other")
        if options[:1] == ["score"]:
            fill_in(Path("checkpoints/sheet.csv"))
        status = main([verb, *options])
        printed = capsys.readouterr()
        verbs.append(verb)
        expected = {"audit": None, "gate": None, "synthesize": None}.get(verb, 0)
        assert status == expected or (expected is None and status in (0, 1)), (verb, options, printed.err)
        assert "Traceback" not in printed.err
        assert not printed.err.startswith("error:"), printed.err
    assert set(verbs) == {"split", "audit", "fit", "test", "predict", "compare", "gate", "sheet", "synthesize"}
    with Path("checkpoints/translation_tiny/predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 48
    assert any("tōnalli" in row["reference"] for row in rows), "macrons survive"
    assert json.loads(rows[0]["meta"]) == {
        "split": "dev",
        "direction": "es-nah",
        "pair": "r200",
        "dialect": "clásico",
    }
    # A keyboard that composes accents in another way is asked for the same.
    Path("data/nfd.jsonl").write_text(unicodedata.normalize("NFD", Path("data/dev.jsonl").read_text("utf-8")), "utf-8")
    options = ["--config", "checkpoints/translation_tiny/config.yaml", "--data.test", '{"nfd": "data/nfd.jsonl"}']
    assert main(["predict", *options, "--predictions", "nfd.csv"]) == 0
    with Path("nfd.csv").open(encoding="utf-8", newline="") as file:
        others = list(csv.DictReader(file))
    assert others[0]["text"] != rows[0]["text"]
    assert [row["prediction"] for row in others] == [row["prediction"] for row in rows]
