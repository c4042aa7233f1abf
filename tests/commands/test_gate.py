"""``python -m lit_llm gate``: each gate is seen to pass and to fail, by its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main
from lit_llm.report.predictions import read_predictions
from tests.commands.conftest import write

System = Callable[..., str]


def chrf(path: str) -> float:
    from sacrebleu.metrics import CHRF

    rows = read_predictions(path)
    return CHRF().corpus_score([row.prediction for row in rows], [[row.reference for row in rows]]).score


def test_a_small_fall_passes_and_a_large_one_fails(system: System) -> None:
    base = system("base", 0.30)
    near, far = system("near", 0.31), system("far", 0.38)
    assert chrf(base) - chrf(near) < 5
    assert chrf(base) - chrf(far) > 5
    assert main(["gate", "quality", near, "--baseline", base]) == 0
    assert main(["gate", "quality", far, "--baseline", base]) == 1


@pytest.mark.parametrize(("fall", "status"), [(6.0, 1), (1.0, 0), (-3.0, 0)])
def test_a_fall_from_a_file_of_scores(tmp_path: Path, system: System, fall: float, status: int) -> None:
    path = system("a", 0.3, 600)
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"chrf": chrf(path) + fall}))
    assert main(["gate", "quality", path, "--baseline", str(baseline)]) == status


@pytest.mark.parametrize(("margin", "status"), [(0.1, 1), (-0.1, 0)])
def test_the_floor(system: System, margin: float, status: int) -> None:
    path = system("a", 0.3, 600)
    assert main(["gate", "quality", path, "--least", str(chrf(path) + margin)]) == status


@pytest.mark.parametrize(("row", "status"), [({"prediction": ""}, 1), ({"status": "length"}, 1), ({}, 0)])
def test_flawed_answers_fail(
    system: System, row: dict[str, Any], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", "quality", system("a", 0.3, 60, **row), "--least", "0"]) == status
    assert ("FAIL" in capsys.readouterr().out) == bool(status)


def test_a_significant_fall_within_the_limit_is_warned_of(system: System, capsys: pytest.CaptureFixture[str]) -> None:
    base, other = system("base", 0.30), system("other", 0.45)
    assert main(["gate", "quality", other, "--baseline", base, "--most_drop", "20"]) == 0
    assert "warn  p-value of the drop" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "margin", "status"),
    [(150, 0.1, 0), (150, 20, 1), (250, 0.1, 0), (250, 20, 1), (600, 0.1, 1)],
    ids=["few rows", "few rows, far off", "wide interval", "wide interval, far off", "enough rows"],
)
def test_what_may_be_luck_is_warned_of(
    system: System, rows: int, margin: float, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = system("a", 0.3, rows)
    assert main(["gate", "quality", path, "--least", str(chrf(path) + margin)]) == status
    assert ("warn  chrf" in capsys.readouterr().out) is (status == 0)


def test_less_is_better_of_ter(system: System) -> None:
    good, bad = system("good", 0.1, 600), system("bad", 0.6, 600)
    options = ["gate", "quality", "--score", "ter"]
    assert main([*options, good, "--least", "30"]) == 0
    assert main([*options, bad, "--least", "30"]) == 1
    assert main([*options, good, "--baseline", bad]) == 0
    assert main([*options, bad, "--baseline", good]) == 1


def test_rows_of_one_fact(tmp_path: Path, system: System, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"prediction": "in calli", "reference": f"in calli {'x' * (k % 2)}", "meta": {"n": k % 2}} for k in range(500)
    ]
    path = write(tmp_path / "p.csv", rows)
    assert main(["gate", "quality", path, "--least", "99"]) == 1
    assert main(["gate", "quality", path, "--least", "99", "--only", "n=0"]) == 0
    assert main(["gate", "quality", path, "--least", "99", "--only", "n=2"]) == 1
    assert "--only n=2: no row of" in capsys.readouterr().err


@pytest.mark.parametrize(("wrong", "status"), [(0.3, 0), (0.0, 1)])
def test_leakage(tmp_path: Path, system: System, wrong: float, status: int) -> None:
    report = tmp_path / "report.json"
    assert main(["gate", "leakage", system("a", wrong), "--report", str(report)]) == status
    (check,) = json.loads(report.read_text())["checks"]
    assert check["passes"] is (status == 0)


def test_the_published_predictions_have_seen_their_test(tmp_path: Path, real_data: Path) -> None:
    lines = (real_data / "data/translation/predictions_qwen3_4b.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    path = write(tmp_path / "p.csv", [{"text": r["es"], "prediction": r["hyp"], "reference": r["ref"]} for r in rows])
    assert main(["gate", "leakage", path]) == 1
    assert main(["gate", "quality", path, "--least", "61"]) == 0
    assert main(["gate", "quality", path, "--least", "67"]) == 1


@pytest.fixture(scope="module")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rows = [{"es": f"casa {k}", "nah": f"calli {k}"} for k in range(4)]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = {"backbone": str(root / "checkpoints/qwen3-tiny"), "merge": True}
    settings = {
        "model": {"class_path": "lit_llm.models.CausalLM", "init_args": model},
        "data": {"class_path": "lit_llm.data.TranslationData", "init_args": {"train": str(folder / "t.jsonl")}},
        "trainer": {
            "default_root_dir": str(folder / "run"),
            "max_steps": 1,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "lit_llm.callbacks.RunCheckpoint"}],
        },
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    assert main(["fit", "--config", str(folder / "run.yaml")]) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        (["--most_p95", "1000", "--least_rate", "0"], 0),
        pytest.param(["--most_p95", "0", "--least_rate", "0"], 1, marks=pytest.mark.slow),
        pytest.param(["--most_p95", "1000", "--least_rate", "1e9"], 1, marks=pytest.mark.slow),
    ],
)
def test_latency(tmp_path: Path, run: Path, limit: list[str], status: int) -> None:
    report = tmp_path / "report.json"
    options = ["--run", str(run), "--tokens", "8", "--report", str(report), *limit]
    assert main(["gate", "latency", *options]) == status
    found = json.loads(report.read_text())
    assert (found["tokens"], found["device"], found["dtype"], found["merged"]) == (8, "cpu", "torch.float32", True)
    assert 0 < found["p50_s"] <= found["p95_s"]
    assert found["tokens_per_s"] == pytest.approx(8 / found["p50_s"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["quality", "{a}"], "give --floor, --least or --baseline"),
        (["latency", "--run", "{run}"], "give --most_p95, --least_rate, or both"),
        (["quality", "{a}", "--baseline", "none.json"], "none.json holds no score 'chrf'"),
        (["quality", "{a}", "--baseline", "{a}"], "is its own baseline"),
        (["quality", "{json}", "--least", "1"], "the answers are JSON"),
        (["quality", "{a}", "--least", "1", "--only", "x"], "write key=value"),
        (["leakage", "{short}"], "no reference has 10 words"),
    ],
)
def test_what_cannot_be_judged_is_an_error(
    tmp_path: Path, system: System, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    json_rows = [{"prediction": "{}", "reference": "{}"}]
    files = {
        "a": system("a", 0.3, 20),
        "json": write(tmp_path / "json.csv", json_rows),
        "short": system("short", 0.3, 20, reference="in calli"),
        "run": str(tmp_path),
    }
    (tmp_path / "config.yaml").touch()
    assert main(["gate", *(option.format(**files) for option in options)]) == 1
    assert message in capsys.readouterr().err


def extraction(path: Path, right: int, rows: int = 10) -> str:
    """Write predictions of two splits, of which so many rows of each have the right total; all have the right name."""
    found = []
    for split in ("norte", "sur"):
        for number in range(rows):
            gold = {"total": number, "cliente": f"c{number}"}
            said = gold | ({} if number < right or split == "sur" else {"total": -1})
            found.append(
                {
                    "id": f"{split}{number}",
                    "prediction": json.dumps(said),
                    "raw": json.dumps(said),
                    "reference": json.dumps(gold),
                    "meta": {"split": split},
                }
            )
    return write(path, found)


@pytest.mark.parametrize(
    ("floors", "status"),
    [
        (["field_f1=0.85"], 0),
        (["field_f1=0.86"], 1),
        (["sur/field_f1=1"], 0),
        (["norte/exact_match=0.7", "fields/cliente=1"], 0),
        (["norte/exact_match=0.7", "fields/total=0.9"], 1),
        (["norte/fields/total=0.7"], 0),
    ],
)
def test_floors_of_extraction_hold_in_every_split(
    tmp_path: Path, floors: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    # 7 of 10 totals and 10 of 10 names: 17 of 20 fields.
    path = extraction(tmp_path / "p.csv", right=7)
    assert main(["gate", "quality", path, *(part for floor in floors for part in ("--floor", floor))]) == status
    assert ("FAIL" in capsys.readouterr().out) == bool(status)


def test_only_some_rows_have_to_reach_a_floor(tmp_path: Path) -> None:
    path = extraction(tmp_path / "p.csv", right=0)
    assert main(["gate", "quality", path, "--floor", "exact_match=1"]) == 1
    assert main(["gate", "quality", path, "--floor", "exact_match=1", "--only", "split=sur"]) == 0


def test_a_floor_of_translations_from_their_text(system: System) -> None:
    path = system("a", 0.2, 60)
    assert main(["gate", "quality", path, "--floor", f"chrf={chrf(path) - 0.01}"]) == 0
    assert main(["gate", "quality", path, "--floor", f"chrf={chrf(path) + 0.01}"]) == 1


def stored(folder: Path, loss: float, weights: bytes = b"w", **scores: float) -> Path:
    from lit_llm.results import Result, content_hash, write_result

    (folder / "best.ckpt").parent.mkdir(parents=True, exist_ok=True)
    (folder / "best.ckpt").write_bytes(weights)
    checkpoint = {"name": "best", "step": 7, "sha256": content_hash(folder / "best.ckpt")}
    return write_result(Result("test", checkpoint=checkpoint, scores={"mayo": {"loss": loss, **scores}}), folder)


def test_the_newest_test_of_a_run_counts_and_a_loss_has_a_ceiling(tmp_path: Path, capsys: Any) -> None:
    first = stored(tmp_path, 0.9, field_f1=0.5)
    stored(tmp_path, 0.2, field_f1=0.8)
    assert main(["gate", "quality", str(tmp_path), "--floor", "field_f1=0.75", "--floor", "mayo/loss=0.2"]) == 0
    assert "of: test of best at step 7" in capsys.readouterr().out
    assert main(["gate", "quality", str(tmp_path), "--floor", "loss=0.19"]) == 1
    assert main(["gate", "quality", str(first), "--floor", "field_f1=0.75"]) == 1


def test_what_cannot_be_held_to_a_floor_is_named(tmp_path: Path, capsys: Any) -> None:
    def refused(*options: str) -> str:
        assert main(["gate", "quality", *options]) == 1
        return str(capsys.readouterr().err)

    folder = tmp_path / "run"
    stored(folder, 0.2, field_f1=0.8)
    assert "field_f1" in refused(str(folder), "--floor", "fieldf1=0.5")
    assert "name=value" in refused(str(folder), "--floor", "field_f1")
    assert "name=value" in refused(str(folder), "--floor", "field_f1=high")
    (folder / "best.ckpt").write_bytes(b"other")
    assert "lit_llm test --config" in refused(str(tmp_path), "--floor", "field_f1=0.5")
    assert "other weights" in refused(str(folder), "--floor", "field_f1=0.5")
    assert "no such file" in refused(str(tmp_path / "results.json"), "--floor", "field_f1=0.5")
    assert "--floor field_f1" in refused(extraction(tmp_path / "p.csv", 3), "--least", "4")
