"""``python -m lit_llm compare``: sacrebleu's own paired bootstrap, groups, counts, and files that do not match."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

from lit_llm.__main__ import main
from tests.commands.conftest import write

WORDS = ["in", "calli", "huei", "amo", "nicnequi", "tlen", "ipan", "altepetl"]


@pytest.fixture
def systems(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    rng = random.Random(0)
    references = [" ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 15))) for _ in range(250)]

    def spoilt(text: str, share: float) -> str:
        return " ".join("x" if rng.random() < share else word for word in text.split())

    return {
        name: [
            {
                "text": f"es {k}",
                "prediction": spoilt(reference, share),
                "reference": reference,
                "meta": {"direction": "es-nah" if k % 2 else "nah-es", "dialect": "huasteca"},
            }
            for k, reference in enumerate(references)
        ]
        for name, share in (("a", 0.3), ("b", 0.27))
    }


def compared(tmp_path: Path, files: list[str], *options: str) -> Any:
    report = tmp_path / "report.json"
    assert main(["compare", *files, "--report", str(report), *options]) == 0
    return json.loads(report.read_text("utf-8"))


@pytest.mark.parametrize("seed", [12345, 7])
def test_p_values_are_those_of_sacrebleu(
    tmp_path: Path, systems: dict[str, list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    files = [write(tmp_path / f"{name}.csv", rows) for name, rows in systems.items()]
    found = compared(tmp_path, files, "--seed", str(seed), "--samples", "300")["systems"]
    monkeypatch.setenv("SACREBLEU_SEED", str(seed))
    texts: Any = [(name, [row["prediction"] for row in rows]) for name, rows in systems.items()]
    references = [[row["reference"] for row in systems["a"]]]
    metrics = {"chrfpp": CHRF(word_order=2), "chrf": CHRF(), "bleu": BLEU()}
    _, results = PairedTest(texts, metrics, references, test_type="bs", n_samples=300)()
    expected = [column for title, column in results.items() if title != "System"]
    for name, column in zip(metrics, expected, strict=True):
        for file, result in zip(files, column, strict=True):
            score = found[file][name]
            assert (score["value"], score["half_interval"], score["p_value"]) == (
                result.score,
                result.ci,
                result.p_value,
            )
    assert 0 < found[files[1]]["chrfpp"]["p_value"] < 0.2


def test_groups_counts_and_what_is_printed(
    tmp_path: Path, systems: dict[str, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    systems["a"][0] |= {"prediction": ""}
    systems["a"][1] |= {"status": "length"}
    systems["a"][2] |= {"prediction": "ES 2"}
    files = [write(tmp_path / f"{name}.csv", rows) for name, rows in systems.items()]
    report = compared(tmp_path, files, "--by", "direction,dialect", "--samples", "50", "--scores", "chrfpp")
    assert [(g["direction"], g["dialect"], g["n"]) for g in report["groups"]] == [
        ("es-nah", "huasteca", 125),
        ("nah-es", "huasteca", 125),
    ]
    means = [sum(group["chrfpp"][file] for group in report["groups"]) / 2 for file in files]
    assert list(report["macro"].values()) == pytest.approx(means)
    counts = report["outcomes"][files[0]]
    assert (counts["empty"], counts["unstopped"], counts["copied"]) == (1, 1, 1)
    printed = capsys.readouterr().out
    assert "nrefs:1|bs:50|seed:12345|case:mixed|eff:yes|nc:6|nw:2|space:no" in printed
    assert "es-nah" in printed and "macro" in printed


def test_one_file_alone_and_few_rows_are_warned_of(
    tmp_path: Path, systems: dict[str, list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(tmp_path, [write(tmp_path / "a.csv", systems["a"][:20])], "--samples", "50")
    (scores,) = found["systems"].values()
    assert scores["bleu"]["p_value"] is None
    assert "20 rows" in capsys.readouterr().out


def test_rows_without_reference_are_left_out(tmp_path: Path, systems: dict[str, list[dict[str, Any]]]) -> None:
    systems["a"][3] |= {"reference": ""}
    found = compared(tmp_path, [write(tmp_path / "a.csv", systems["a"])], "--samples", "20")
    assert (found["rows"], found["rows_without_reference"]) == (249, 1)


def test_groups_are_those_of_the_first_file(tmp_path: Path, systems: dict[str, list[dict[str, Any]]]) -> None:
    bare = [row | {"meta": {}} for row in systems["b"]]
    files = [write(tmp_path / "a.csv", systems["a"]), write(tmp_path / "b.csv", bare)]
    full = compared(
        tmp_path, [files[0], write(tmp_path / "c.csv", systems["b"])], "--by", "direction", "--samples", "9"
    )
    found = compared(tmp_path, files, "--by", "direction", "--samples", "9")
    assert [list(group["chrfpp"].values()) for group in found["groups"]] == [
        list(group["chrfpp"].values()) for group in full["groups"]
    ]


def test_rows_of_one_direction(tmp_path: Path, systems: dict[str, list[dict[str, Any]]]) -> None:
    path = write(tmp_path / "a.csv", systems["a"])
    assert compared(tmp_path, [path], "--only", "direction=es-nah", "--samples", "9")["rows"] == 125


def test_a_file_from_a_spreadsheet(tmp_path: Path, systems: dict[str, list[dict[str, Any]]]) -> None:
    path = Path(write(tmp_path / "a.csv", systems["a"]))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert compared(tmp_path, [str(path)], "--samples", "9")["rows"] == 250


def test_extractions_are_compared_by_field(tmp_path: Path) -> None:
    rows = [{"reference": json.dumps({"a": k, "b": "x"}), "text": "t"} for k in range(60)]
    exact = [row | {"prediction": row["reference"]} for row in rows]
    half = [row | {"prediction": json.dumps({"a": -1, "b": "x"})} for row in rows]
    files = [write(tmp_path / "exact.csv", exact), write(tmp_path / "half.csv", half)]
    found = compared(tmp_path, files, "--samples", "100")["systems"]
    assert [found[file]["field_f1"]["value"] for file in files] == [100, 50]
    assert [found[file]["exact_match"]["value"] for file in files] == [100, 0]
    assert found[files[1]]["field_f1"]["p_value"] < 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[:-1], "1 rows are not in both files, such as 'r249'"),
        (lambda rows: [*rows[:-1], rows[-1] | {"reference": "x"}], "row 'r249' has another reference"),
    ],
)
def test_files_of_different_rows_are_refused(
    tmp_path: Path,
    systems: dict[str, list[dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    change: Any,
    message: str,
) -> None:
    files = [write(tmp_path / "a.csv", systems["a"]), write(tmp_path / "b.csv", change(systems["b"]))]
    assert main(["compare", *files]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("id,prediction\n1,a\n", "a.csv:1: field 'reference' is missing from the header"),
        ("id,prediction,reference,status,meta\n1,a,a,ok,{\n", "a.csv:2: field 'meta': is not JSON"),
        ("id,prediction,reference,status\n1,a,,ok\n", "no row has a reference"),
        ("id,prediction,reference,status\n1,a\n", "a.csv:2: field 'reference': the row has 2 cells for 4"),
        ("id,prediction,reference,status\n1,a,b,ok\n1,a,c,ok\n", "id '1' occurs twice"),
        ("id,prediction,reference,status\n1,a,{},ok\n2,a,c,ok\n", "1 of 2 references are JSON"),
    ],
)
def test_files_that_predict_did_not_write_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert main(["compare", str(path)]) == 1
    assert message in capsys.readouterr().err
