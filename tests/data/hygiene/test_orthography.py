"""One spelling for training targets: by its own package, on targets alone, and without losing macrons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lit_llm.data import NahuatlOrthography, TranslationData
from lit_llm.errors import ConfigError


@pytest.fixture(scope="module")
def ack() -> NahuatlOrthography:
    pytest.importorskip("elotl", reason="pip install -e '.[nahuatl]'")
    return NahuatlOrthography("ack")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("tiualaskej", "tihualazqueh"),
        ("Tiualaskej, TIUALASKEJ!", "Tihualazqueh, TIHUALAZQUEH!"),
        ("Ōtlācat īpan 1900.", "Ōtlācat īpan 1900."),
        ("12 %", "12 %"),
    ],
)
def test_words_are_rewritten_and_the_rest_stays(ack: NahuatlOrthography, text: str, written: str) -> None:
    assert ack.write(text) == written
    assert ack.write(written) == written


def test_audit_compares_what_the_files_say(ack: NahuatlOrthography, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"es": "vendremos", "nah": "tiualaskej"}) + "\n")
    data = TranslationData(train=str(path), valid=str(path), orthography=ack)
    assert {e.answer for rows in data.read_splits().values() for e in rows} == {"vendremos", "tiualaskej"}
    assert data.orthography is ack


def test_only_targets_of_training_are_rewritten(ack: NahuatlOrthography, tmp_path: Path, root: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"es": "vendremos", "nah": "tiualaskej"}) + "\n")
    data = TranslationData(train=str(path), valid=str(path), orthography=ack)
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    data.setup("fit")
    trained = [(e.text, e.answer) for e in data.splits["train"].examples]
    assert trained == [("vendremos", "tihualazqueh"), ("tiualaskej", "vendremos")]
    assert data.splits["valid"].examples[0].answer == "tiualaskej"


def test_without_its_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "elotl.nahuatl.orthography", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[nahuatl\]'"):
        NahuatlOrthography("inali").write("calli")
