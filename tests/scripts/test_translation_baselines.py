"""Baselines of translation: what each answers, and the published order of magnitude on real pairs."""

from __future__ import annotations

import csv
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lit_llm.metrics.corpus import corpus_score

SCRIPTS = str(Path(__file__).resolve().parents[2] / "scripts" / "tables")
WORDS = ["in", "calli", "huei", "amo", "nicnequi", "tlen", "ipan", "altepetl", "atl,", "(tepetl)"]


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    sys.path.insert(0, SCRIPTS)
    yield __import__("translation_baselines")
    sys.path.remove(SCRIPTS)


def test_the_constant_is_the_best_of_all(script: ModuleType) -> None:
    rng = random.Random(0)
    texts = [" ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 9))) for _ in range(60)]
    candidates, references = texts[:40], texts[40:]
    slow = {text: corpus_score("chrfpp", [text] * len(references), [references]).value for text in candidates}
    assert slow[script.constant(candidates, references)] == max(slow.values())


def test_a_file_for_each(script: ModuleType, tmp_path: Path) -> None:
    train = [{"es": "la casa grande", "nah": "in calli huei"}, {"es": "no quiero agua", "nah": "amo nicnequi atl"}]
    test = [{"id": "a", "es": "una casa grande", "nah": "ce calli huei"}, {"id": "b", "es": "no", "nah": "amo"}]
    for name, rows in (("train", train), ("test", test)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [str(tmp_path / f"{name}.jsonl") for name in ("train", "test")]
    assert script.main(["--train", files[0], "--test", files[1], "--output", str(tmp_path / "out")]) == 0
    answers = {}
    for path in (tmp_path / "out").glob("*.csv"):
        with path.open(newline="") as file:
            answers[path.stem] = [row["prediction"] for row in csv.DictReader(file)]
    assert answers["copy"] == ["una casa grande", "no"]
    assert answers["memory"] == ["in calli huei", "amo nicnequi atl"]
    assert sorted(answers["shuffled"]) == ["amo", "ce calli huei"]
    assert len(set(answers["constant"])) == 1


@pytest.mark.slow
def test_on_real_pairs(script: ModuleType, tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "data/translation"
    files = ["--train", f"{folder}/americasnlp_train_sample.jsonl", "--test", f"{folder}/americasnlp_dev.jsonl"]
    assert script.main([*files, "--output", str(tmp_path)]) == 0
    found = {}
    for path in tmp_path.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found[path.stem] = corpus_score(
            "chrfpp", [r["prediction"] for r in rows], [[r["reference"] for r in rows]]
        ).value
    print(found)
    assert 11 < found.pop("memory") < 15
    assert found == pytest.approx({"copy": 12.4, "shuffled": 13.8, "constant": 19.0}, abs=0.6)


def test_every_row_gets_the_source_of_another_one(tmp_path: Path) -> None:
    sys.path.insert(0, SCRIPTS)
    try:
        table = __import__("translation_table")
    finally:
        sys.path.remove(SCRIPTS)
    rows = [{"id": str(k), "es": f"e{k}", "nah": f"n{k}"} for k in range(40)] + [{"id": "x", "es": "e", "nah": " "}]
    test, target = tmp_path / "test.jsonl", tmp_path / "moved.jsonl"
    test.write_text("".join(json.dumps(row) + "\n" for row in rows))
    table.move_sources(test, "es-nah", target)
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["nah"] for row in found] == [f"n{k}" for k in range(40)]
    assert sorted(row["es"] for row in found) == sorted(f"e{k}" for k in range(40))
    assert all(row["es"] != f"e{k}" for k, row in enumerate(found))
