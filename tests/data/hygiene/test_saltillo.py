"""One mark for the saltillo, which people write with five."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lit_llm.data import Saltillo, TranslationData
from lit_llm.data.hygiene.saltillo import with_saltillo
from lit_llm.errors import ConfigError

MARKS = ["'", "’", "ʼ", "ꞌ", "`"]


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("text", ["ye:hco'", "to'tomochtin", "Ca' amo niccua'", "a'a'", "ma'", "ti'ij ko'one'ex"])
def test_every_mark_becomes_every_other(text: str, mark: str) -> None:
    for other in MARKS:
        assert with_saltillo(text.replace("'", other), mark) == text.replace("'", mark)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("quihto 'amo' yehuatl", "quihto 'amo' yehuatl"),
        ("quihto ‘amo’ yehuatl", "quihto ‘amo’ yehuatl"),
        ("quihto 'ca'' yehuatl", "quihto 'caʼ' yehuatl"),
        ("'a'a' amo", "'aʼa' amo"),
        ("`amo` ca`", "`amo` caʼ"),
        ("ꞌamo ʼamo Ꞌamo", "ʼamo ʼamo ʼamo"),
        ("'", "'"),
        ("5'", "5'"),
        ("", ""),
        ("¡ca'!", "¡caʼ!"),
        ("ca’, ca’. ", "caʼ, caʼ. "),
        ("cualli\u0304'", "cualli\u0304ʼ"),
    ],
)
def test_quotations_stay_what_they_are(text: str, found: str) -> None:
    assert with_saltillo(text, "ʼ") == found


def test_doing_it_twice_changes_nothing() -> None:
    for text in ("'ca'' a'a ‘amo’ ca’", "`a``", "''a'''"):
        for mark in MARKS[2:4]:
            once = with_saltillo(text, mark)
            assert with_saltillo(once, mark) == once


@pytest.mark.parametrize("setting", [{"learned": "x"}, {"written": "ʼʼ"}, {"learned": "‘"}, {"written": "Ꞌ"}])
def test_other_marks_are_refused(setting: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"data\.init_args\.saltillo\.\w+: .* is no saltillo: use one of"):
        Saltillo(**setting)


def test_what_is_learned_and_asked_has_one_mark_and_references_keep_theirs(tmp_path: Path, root: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"es": "el ’90", "nah": "ca’ ca'"}) + "\n")
    data = TranslationData(train=str(rows), valid=str(rows), test={"t": str(rows)}, saltillo=Saltillo("ʼ", written="'"))
    data.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    data.setup("fit")
    there, back = data.splits["train"].examples
    assert (there.text, there.answer) == ("el ’90", "caʼ caʼ")
    assert (back.text, back.answer) == ("caʼ caʼ", "el ’90")
    there, back = data.splits["valid"].examples
    assert (there.text, there.reference, back.text) == ("el ’90", "ca’ ca'", "caʼ caʼ")
    assert data.settled("caʼ", {"direction": "es-nah"}) == ("ca'", {})
    assert data.settled("l’90 caʼ", {"direction": "nah-es"}) == ("l’90 caʼ", {})
    assert data.question("ca`", direction="nah-es").text == "caʼ"
    assert data.read_splits()["train"][0].answer == "ca’ ca'"
