"""The page of a run says what the run's files say, in a browser and without a network."""

from __future__ import annotations

import html
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_llm.__main__ import main
from lit_llm.batch import Prediction
from lit_llm.callbacks.prediction_file import COLUMNS, cells, encode
from lit_llm.report.page.curves import Chart, Line, thinned
from lit_llm.report.page.marks import marked_words
from lit_llm.report.page.rows import confusion, judged, worst
from lit_llm.results import Result, write_result

FILES = ["conocidos", "año <nuevo>"]
EVIL = '<script>document.title="run"</script>'


def numbers(rng: random.Random) -> dict[str, float]:
    found = {name: rng.random() for name in ("loss", "field_f1", "exact_match", "strict_parse")}
    return found | {"rows": 40.0, "chars": 12345.678}


def result(rng: random.Random, **more: Any) -> Result:
    fields = [
        {"field": f"items[].{c}", "precision": 1.0, "recall": 0.5, "f1": rng.random(), "support": 7} for c in "abc"
    ]
    scores = {file: numbers(rng) for file in FILES}
    return Result("test", scores=scores, fields={FILES[0]: fields}, mains=["field_f1"], **more)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with everything that a page is made of, and texts that try to break out of it."""
    folder = tmp_path / "pedidos ñ"
    folder.mkdir()
    config = {
        "seed_everything": 7,
        "model": {
            "class_path": "lit_llm.models.CausalLM",
            "init_args": {
                "backbone": "Qwen/Qwen3-0.6B",
                "adapter": {"class_path": "lit_llm.adapters.LoRA", "init_args": {"r": 16, "dropout": 0.0}},
            },
        },
        "data": {"class_path": "lit_llm.data.ExtractionData", "init_args": {"batch_size": 8}},
        "trainer": {"max_epochs": 2},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    logged = [f"{step},0,train/loss,{4 / (step + 1)}" for step in range(500)] + ["499,0,val/loss,nan", "499,0,va"]
    logged += ["249,0,val/field_f1,0.5", "499,0,val/field_f1,0.75", "499,0,speed/tokens_per_second,1200"]
    (folder / "metrics.csv").write_text("step,epoch,name,value\n" + "\n".join(logged) + "\n")
    write_rows(folder, [("a", '{"n":1,"m":2}', '{"m":2,"n":1}', "ok"), ("b", '{"n":1}', '{"n":2}', "ok")])
    return folder


def write_rows(folder: Path, rows: list[tuple[str, str, str, str]]) -> None:
    predictions = [
        Prediction(name, EVIL, found, reference, status, EVIL * (status != "ok"), found, 9, -0.5, {"split": FILES[1]})
        for name, reference, found, status in [*rows, ("c", f'{{"x":"{name_of_evil()}"}}', EVIL, "invalid")]
    ]
    (folder / "predictions.csv").write_bytes(encode([COLUMNS, *map(cells, predictions)]))


def name_of_evil() -> str:
    return EVIL.replace('"', "'")


def page(folder: Path, *options: str) -> str:
    assert main(["report", str(folder), *options]) == 0
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_numbers_are_those_of_the_results(run: Path) -> None:
    rng = random.Random(0)
    write_result(result(rng), run)
    last = result(rng, baselines={FILES[0]: {"nearest training text": {"field_f1": 1.0}}})
    write_result(last, run)
    text = page(run)
    found = cells_of(text)
    assert found == {(f, m): v for f, values in last.scores.items() for m, v in values.items()}
    bars = dict(re.findall(r'data-field="([^"]+)" data-value="([^"]+)"', text))
    assert {html.unescape(k): float(v) for k, v in bars.items()} == {r["field"]: r["f1"] for r in last.fields[FILES[0]]}
    assert "does not beat 1.000 of the nearest training text" in text


def cells_of(text: str) -> dict[tuple[str, str], float]:
    """Return the table's numbers, after checking that each is shown as what it is."""
    found = {}
    for file, metric, value, seen in re.findall(
        r'data-file="([^"]*)" data-metric="([^"]*)" data-value="([^"]*)">([^<]*)<', text
    ):
        assert float(seen.replace(",", "")) == pytest.approx(float(value), abs=5.1e-4)
        found[html.unescape(file), metric] = float(value)
    return found


def test_nothing_breaks_out_and_nothing_is_fetched(run: Path) -> None:
    write_result(result(random.Random(1)), run)
    text = page(run)
    assert "<script" not in text
    assert html.escape(EVIL) in text.replace("&#34;", "&quot;")
    assert re.findall(r"(?:src|href)\s*=|url\(|@import|https?://", text) == []
    assert "nan" not in re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL).lower().split("worst rows")[0]


def test_a_number_that_is_not_finite_is_said_to_be_none(run: Path) -> None:
    write_result(Result("test", scores={"a": {"loss": None, "field_f1": None}}, mains=["field_f1"]), run)  # type: ignore[dict-item]
    assert page(run).count("not finite") == 2


def test_a_run_that_was_only_trained_has_a_page(run: Path) -> None:
    for name in ("predictions.csv", "metrics.csv"):
        (run / name).unlink()
    text = page(run)
    assert "Not measured yet" in text and "no predictions yet" in text


def test_a_result_of_other_weights_is_said_to_be_one(run: Path) -> None:
    (run / "best.ckpt").write_bytes(b"new")
    write_result(result(random.Random(2), checkpoint={"name": "best", "sha256": "0" * 64, "step": 5}), run)
    assert "weights that this run no longer holds" in page(run)


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (lambda run: (run / "config.yaml").unlink(), [], "is no run folder, there is no config.yaml in it"),
        (lambda run: (run / "config.yaml").write_text("- 1\n"), [], "is no configuration of a run"),
        (lambda run: (run / "config.yaml").write_text("a: [\n"), [], "cannot be read"),
        (lambda run: None, ["--rows", "-1"], "--rows: -1"),
        (lambda run: (run / "own.html").write_text("mine"), ["--output", "{run}/own.html"], "exists already"),
        (lambda run: None, ["--output", "{run}/no/own.html"], "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_refused(run: Path, capsys: Any, prepare: Any, options: list[str], message: str):
    prepare(run)
    before = sorted((p.name, p.read_bytes()) for p in run.iterdir())
    assert main(["report", str(run), *(o.format(run=run) for o in options)]) == 1
    assert message in capsys.readouterr().err
    assert sorted((p.name, p.read_bytes()) for p in run.iterdir()) == before


def test_both_sides_mark_what_differs_whatever_the_order_of_items() -> None:
    gold = {"items": [{"p": "pan", "n": 1}, {"p": "leche", "n": 2}]}
    said = {"items": [{"p": "leche", "n": 2}, {"p": "pan", "n": 3}]}
    row = Prediction("a", "t", json.dumps(said), json.dumps(gold), raw=json.dumps(said))
    (shown,) = worst(judged([row]), 5)
    assert re.findall(r"<mark>(.*?)</mark>", shown.reference) == ["1"]
    assert re.findall(r"<mark>(.*?)</mark>", shown.prediction) == ["3"]


def test_rows_are_ordered_by_score_and_counted_by_status() -> None:
    rows = [
        Prediction("fair", "t", "in calli huei", "in calli tepetl"),
        Prediction("none", "t", "zzz", "in calli tepetl"),
        Prediction("right", "t", "in  calli", "in calli"),
        Prediction("cut", "t", "in calli", "in calli", status="length"),
        Prediction("unknown", "t", "in calli", ""),
    ]
    found = judged(rows)
    assert [row.id for row in worst(found, 2)] == ["none", "fair"]
    assert confusion(found) == {"": {"ok": {"wrong": 2, "right": 1}, "length": {"wrong": 1}}}


def test_words_that_differ_are_marked() -> None:
    left, right = marked_words("in <b> huei calli", "in huei amo calli")
    assert (left, right) == ("in <mark>&lt;b&gt;</mark> huei calli", "in huei <mark>amo</mark> calli")


@pytest.mark.parametrize("values", [[0.5], [3.0, 3.0], [0.0, 0.0], [-2.0, 5.0], [1e-9, 1e9], [float("nan"), 1.0]])
@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_curve_stays_inside_its_drawing(values: list[float], logarithmic: bool) -> None:
    drawn = Chart("t", [Line("a", list(enumerate(values)), dots=True)], logarithmic).svg()
    places = [(float(x), float(y)) for x, y in re.findall(r'cx="([^"]+)" cy="([^"]+)"', drawn)]
    assert places and all(50 <= x <= 347 and 11 <= y <= 173 for x, y in places)


def test_a_long_curve_is_thinned_to_means() -> None:
    points = [(float(i), float(i % 2)) for i in range(10_000)]
    found = thinned(points, 100)
    assert len(found) == 100 and {y for _, y in found} == {0.5}


@pytest.mark.slow
def test_a_browser_reads_the_numbers_of_the_results(run: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        pytest.skip("there is no chromium: apt-get install chromium")
    last = result(random.Random(3))
    write_result(last, run)
    page(run)
    assert (run / "report.html").stat().st_size < 2_000_000
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = ["--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]
    command = [
        browser,
        *flags.split(),
        *more,
        f"--user-data-dir={tmp_path / 'profile'}",
        (run / "report.html").as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert cells_of(dom) == {(f, m): v for f, values in last.scores.items() for m, v in values.items()}
    assert dom.count("<svg") >= 3 and "<title>pedidos ñ · lit_llm</title>" in dom
