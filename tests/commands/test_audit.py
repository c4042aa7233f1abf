"""``python -m lit_llm audit`` finds what was planted, and says nothing of what was not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main

WORDS = (  # noqa: SIM905
    "casa perro camino grande monte flor agua cielo niño mujer hombre canta corre mira busca quiere tiene viene lleva "
    "siempre nunca hoy ayer mañana tarde pueblo mercado iglesia río piedra maíz frijol sol luna estrella noche día"
).split()


def sentence(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) + rng.choice(["", "s", "ito", "ote"]) for _ in range(rng.randint(8, 14)))


def misspelt(rng: random.Random, text: str) -> str:
    at = rng.choice([k for k, letter in enumerate(text) if letter.isalpha()])
    return f"{text[:at]}{text[at]}{text[at:]}"


def run(folder: Path, splits: dict[str, list[dict[str, Any]]], *options: str, **settings: Any) -> tuple[int, Any]:
    """Audit splits through a run file; return the exit status and the report."""
    paths = {}
    for name, rows in splits.items():
        paths[name] = str(folder / f"{name}.jsonl")
        Path(paths[name]).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    files: dict[str, Any] = {k: paths.pop(k) for k in ("train", "valid") if k in paths}
    data = {"class_path": "lit_llm.data.TranslationData", "init_args": {**files, "test": paths, **settings}}
    model = {"class_path": "lit_llm.models.CausalLM"}
    (folder / "run.yaml").write_text(yaml.safe_dump({"model": model, "data": data}), encoding="utf-8")
    report = folder / "report.json"
    status = main(["audit", "--config", str(folder / "run.yaml"), "--report", str(report), *options])
    return status, json.loads(report.read_text("utf-8"))


def found(report: Any, kind: str, split: str = "dev") -> dict[str, int]:
    return {o["side"]: o[kind] for o in report["overlaps"] if o["second"] == split and o["first"] != split}


def test_planted_duplicates_are_found(tmp_path: Path) -> None:
    rng = random.Random(0)
    train = [{"id": f"t{k}", "es": sentence(rng), "nah": sentence(rng)} for k in range(2000)]
    dev = [{"id": f"d{k}", "es": sentence(rng), "nah": sentence(rng)} for k in range(300)]
    exact = [{"id": f"e{k}", "es": f"¡{r['es'].upper()}!", "nah": sentence(rng)} for k, r in enumerate(train[:100])]
    near = [{"id": f"n{k}", "es": sentence(rng), "nah": misspelt(rng, r["nah"])} for k, r in enumerate(train[100:200])]
    status, report = run(tmp_path, {"train": train, "dev": [*dev, *exact, *near]})
    assert status == 1
    assert found(report, "exact") == {"es": 100, "nah": 0}
    assert found(report, "near")["nah"] >= 95
    assert found(report, "near").get("es", 0) == 0


def test_clean_splits_pass_and_repeats_within_a_split_are_only_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(1)
    train = [{"es": sentence(rng), "nah": sentence(rng)} for _ in range(50)]
    status, report = run(tmp_path, {"train": [*train, train[0]], "dev": [{"es": sentence(rng), "nah": sentence(rng)}]})
    assert status == 0
    assert [(o["first"], o["second"], o["exact"]) for o in report["overlaps"]] == [("train", "train", 1)] * 2
    assert "no row stands in more than one split" in capsys.readouterr().out


def test_settings_of_the_run_can_be_overridden(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"es": "la casa es grande y bonita", "nah": "in calli huei"}]
    status, report = run(tmp_path, {"train": rows, "dev": rows}, "--data.init_args.test", "null")
    assert (status, list(report["rows"])) == (0, ["train"])
    assert main(["audit", "--config", str(tmp_path / "run.yaml"), "--data.init_args.tets", "null"]) == 1
    assert "test" in capsys.readouterr().err


def test_lengths_of_every_split_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = [{"es": "x" * k, "nah": "y" * k} for k in range(1, 101)]
    _, report = run(tmp_path, {"train": train, "dev": [{"es": "z" * 40, "nah": "w" * 40}]})
    measured = {(one["measure"], one["split"]): one for one in report["lengths"]}
    # Both directions of a pair are rows, so either side is once the text and once the answer.
    assert set(measured) == {
        (f"characters of {side}", split) for side in ("texts", "answers") for split in report["rows"]
    }
    one = measured["characters of texts", "train"]
    sizes = [len(row[side]) for row in train for side in ("es", "nah")]
    assert (one["shortest"], one["longest"], one["width"]) == (1, 100, 5)
    assert one["counts"] == [sum(size // 5 == at for size in sizes) for at in range(24)]
    assert one["p95"] == pytest.approx(sorted(sizes)[189], abs=1)
    assert measured["characters of texts", "dev"]["counts"][8] == 2
    assert "█" in capsys.readouterr().out


def test_the_demo_shares_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--config", str(root / "configs/run/extraction_tiny.yaml")]) == 0


@pytest.mark.slow
def test_americasnlp_shares_nothing_until_it_is_planted(tmp_path: Path, real_data: Path) -> None:
    folder = real_data / "data/translation"
    read = lambda name: [json.loads(line) for line in (folder / name).read_text("utf-8").splitlines()]  # noqa: E731
    train, dev = read("americasnlp_train_sample.jsonl"), read("americasnlp_dev.jsonl")
    status, report = run(tmp_path, {"train": train, "dev": dev})
    print(json.dumps(report["overlaps"], ensure_ascii=False, indent=1))
    assert found(report, "exact") == {}
    long = [row for row in train if len(row["nah"]) > 40][:10]
    planted = [{**row, "id": f"p{k}"} for k, row in enumerate(long)]
    status, report = run(tmp_path, {"train": train, "dev": dev + planted})
    assert status == 1
    assert found(report, "exact") == {"es": 10, "nah": 10}


def test_bars_of_all_splits_stand_under_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lit_llm.data.hygiene.histogram import Lengths

    rng = random.Random(5)
    long = [{"es": " ".join([sentence(rng)] * 4), "nah": sentence(rng)} for _ in range(30)]
    short = [{"es": sentence(rng)[:12], "nah": sentence(rng)[:9]} for _ in range(30)]
    _, report = run(tmp_path, {"train": long, "dev": short})
    lines = capsys.readouterr().out.splitlines()
    head = next(line for line in lines if "rows by length" in line)
    column = [cell.strip() for cell in head.strip("┃").split("┃")].index("rows by length")
    below = [line for line in lines[lines.index(head) :] if line.startswith("│")][: len(report["lengths"])]
    shown = [line.strip("│").split("│")[column][1:-1] for line in below]
    # Blanks at the end are bars without rows: without them, short rows would stand under long ones.
    assert shown == [Lengths(**one).bars() for one in report["lengths"]]
    assert any(bars.endswith(" ") for bars in shown) and all(line[:1] in "┃│┏┡├└" for line in lines[1:4])
