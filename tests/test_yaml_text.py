"""YAML as people mean it: names that look like truth or numbers, and characters that JSON cuts in two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lit_llm.__main__ import main
from lit_llm.arguments import open_data
from lit_llm.arguments.yaml_text import half, whole

NAMES = ["no", "yes", "No", "on", "OFF", "y", "1", "1.0", "1e3", "0x1F", "010", "null", "true", "2024-01-01", "1:30"]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows 😀.jsonl"
    file.write_text('{"text": "quiero un pan", "json": {"n": 1}}\n')
    return file


def data_of(tmp_path: Path, text: str, *options: str) -> Any:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    return open_data("test", ["--config", str(file), *options])


def test_names_are_text_whatever_they_look_like(tmp_path: Path, rows: Path) -> None:
    tests = "\n".join(f"      {name}: {rows}" for name in NAMES)
    data = data_of(tmp_path, f"data:\n  class_path: lit_llm.data.ExtractionData\n  init_args:\n    test:\n{tests}\n")
    assert list(data.test_files) == NAMES
    typed = json.dumps(dict.fromkeys(NAMES, str(rows))).replace('"', "")
    head = "data:\n  class_path: lit_llm.data.ExtractionData\n"
    assert list(data_of(tmp_path, head, f"--data.test={typed}").test_files) == NAMES


def test_words_are_words_in_lists_and_truth_where_it_is_asked_for(tmp_path: Path) -> None:
    text = (
        "data:\n  class_path: lit_llm.data.TranslationData\n"
        "  init_args:\n    languages: {en: English, no: norsk}\n"
        "    directions: [en-no, no-en]\n    keep: [yes, off, n]\n    header: no\n"
    )
    data = data_of(tmp_path, text)
    assert list(data.languages) == ["en", "no"]
    assert (data.keep, data.layout.header) == (["yes", "off", "n"], False)
    assert data_of(tmp_path, text.replace("header: no", "header: on")).layout.header is True


def test_a_run_file_as_json_writes_it(tmp_path: Path, rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = {"data": {"class_path": "lit_llm.data.ExtractionData", "init_args": {"train": str(rows), "keep": ["𝒳"]}}}
    data = data_of(tmp_path, json.dumps(run, indent=1))
    assert (data.files["train"], data.keep) == (str(rows), ["𝒳"])
    rows.unlink()
    run["model"] = {"class_path": "lit_llm.models.CausalLM"}
    (tmp_path / "run.json").write_text(json.dumps(run, indent=1))
    assert main(["fit", "--config", str(tmp_path / "run.json")]) == 1
    assert f"data.train ({tmp_path}/run.json:5): {rows}: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("text", ['{"a": "x\\ud83d"}', '{"a\\ude00": 1}', '{"a": ["\\ude00\\ud83d"]}'])
def test_half_a_character_is_refused_with_its_place(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.json").write_text("\n" + text)
    assert main(["fit", "--config", str(tmp_path / "run.json")]) == 1
    assert f"{tmp_path}/run.json:2: holds \\ud" in capsys.readouterr().err


def test_other_escapes_stay() -> None:
    assert whole(r'"\u00e9 \\ud83d\\ude00 \\\ud83d\ude00 \uD835\uDCB3"') == r'"\u00e9 \\ud83d\\ude00 \\😀 𝒳"'
    assert half("é 😀") is None
