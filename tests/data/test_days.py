"""Texts with a day of their own: what is asked, what is compared, and how days are written otherwise."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lit_llm.__main__ import main
from lit_llm.data import Augmenter, ExtractionData
from lit_llm.errors import ConfigError, DataError
from lit_llm.metrics import ExtractionMetrics
from lit_llm.moments import mentions

ROWS = [
    {"text": "para el 8 de marzo de 2024", "json": {"fecha": "2024-03-08"}, "received": "2024-03-05T10:20:30"},
    {"text": "para mañana", "json": {"fecha": "2024-03-07"}, "received": "2024-03-06"},
    {"text": "sin día", "json": {"fecha": None}, "received": None},
]


def data(tmp_path: Path, root: Path, rows: list[dict[str, Any]] = ROWS, **settings: Any) -> ExtractionData:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    module = ExtractionData(train=str(path), **settings)
    module.tokenizer = AutoTokenizer.from_pretrained(root / "checkpoints" / "qwen3-tiny")
    return module


def asked(module: ExtractionData) -> list[str]:
    module.setup("fit")
    own = module.format.context
    return [(example.context or own).asked(example.text) for example in module.splits["train"].examples]


def test_a_text_is_asked_with_its_day(tmp_path: Path, root: Path) -> None:
    module = data(tmp_path, root, reference_date_field="received", instruction="Pedido:")
    assert asked(module) == [
        "Hoy es martes 2024-03-05.\nPedido:\npara el 8 de marzo de 2024",
        "Hoy es miércoles 2024-03-06.\nPedido:\npara mañana",
        "Pedido:\nsin día",
    ]
    assert [example.meta.get("reference_date") for example in module.splits["train"].examples] == [
        "2024-03-05",
        "2024-03-06",
        None,
    ]


def test_one_day_may_be_that_of_all(tmp_path: Path, root: Path) -> None:
    settings = {"reference_date": "2024-01-01", "date_line": "[{date}]"}
    assert asked(data(tmp_path, root, **settings))[0] == "[2024-01-01]\npara el 8 de marzo de 2024"
    both = data(tmp_path, root, reference_date_field="received", **settings)
    assert [text.partition("\n")[0] for text in asked(both)] == ["[2024-03-05]", "[2024-03-06]", "[2024-01-01]"]
    assert both.question("x", reference_date="2025-12-31").meta["reference_date"] == "2025-12-31"


def test_what_is_no_day_is_refused(tmp_path: Path, root: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.init_args\.reference_date: '5/3/2024' is no date: write it as"):
        ExtractionData(reference_date="5/3/2024")
    module = data(tmp_path, root, [ROWS[0] | {"received": "ayer"}], reference_date_field="received")
    with pytest.raises(DataError, match=r"rows\.jsonl:1: field 'received': 'ayer' is no date: write it as 2024-03-05"):
        module.setup("fit")
    with pytest.raises(DataError, match="'recieved': is missing"):
        data(tmp_path, root, reference_date_field="recieved").setup("fit")
    with pytest.raises(ConfigError, match="reference_date: '1-1-24' is no date"):
        ExtractionData().question("x", reference_date="1-1-24")


@pytest.mark.parametrize(
    ("answer", "gold", "day", "right"),
    [
        ("mañana", "2024-03-06", "2024-03-05", True),
        ("MAÑANA", "2024-03-06", None, False),
        ("mañana", "2024-03-07", "2024-03-05", False),
        ("el viernes", "8/3/2024", "2024-03-05", True),
        ("8 de marzo", "2024-03-08", "2024-03-05", True),
        ("8 de marzo", "el viernes", "2024-03-05", True),
        ("2024-03-08", "2024-03-08T00:00:00", "2024-03-05", False),
        ("pronto", "Pronto", "2024-03-05", True),
    ],
)
def test_days_are_compared_as_they_are_meant(answer: str, gold: str, day: str | None, right: bool) -> None:
    metric = ExtractionMetrics(date_fields=["fecha"])
    metric.update([json.dumps({"fecha": answer, "nota": answer})], [{"fecha": gold}], [{"reference_date": day}])
    assert metric.per_field()["fecha"].tp == int(right)


TEXTS = [
    ("Entregar el 8 de marzo de 2024 en Oaxaca, 5 panes.", {"fecha": "2024-03-08", "cant": 5}),
    ("Lo necesito el día 06/03/2024 o antes; 2 panes", {"fecha": "2024-03-06", "cant": 2}),
    ("2024-03-12: 7 panes", {"fecha": "2024-03-12", "cant": 7}),
    ("Para el viernes, 3 panes", {"fecha": "2024-03-08", "cant": 3}),
    ("del 5 de marzo al 19 de marzo del 2024", {"desde": "2024-03-05", "hasta": "2024-03-19"}),
]
TODAY = date(2024, 3, 5)


@pytest.mark.parametrize(("text", "value"), TEXTS)
def test_days_are_written_from_the_day_of_the_text(text: str, value: dict[str, Any]) -> None:
    augmenter = Augmenter(["relative_date"], probability=1.0, seed=0)
    found = set()
    for variant in range(40):
        other, same = augmenter.augment(text, value, epoch=0, index=0, variant=variant, day=TODAY)
        assert same == value
        named = Counter(mention.day.isoformat() for mention in mentions(other, TODAY))
        assert named == Counter(leaf for leaf in value.values() if isinstance(leaf, str))
        assert not re.search(r"\b(el|del|al|de|a) (el|en|mañana|hoy|pasado)\b", other), other
        found.add(other)
    assert len(found) > 2 or text.startswith("del")
    assert not augmenter.counts["relative_date", "rejected"]
    assert augmenter.augment(text, value, epoch=0, index=0, variant=0) == (text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Entregar 2024-03-06T10:00:00 en Oaxaca", {"fecha": "2024-03-06T10:00:00"}),
        ("Lote 2024-03-06-A7, 5 cajas", {"lote": "2024-03-06-A7"}),
        ("el 8 de marzo a las 10", {"fecha": "2024-03-08", "hora": "2024-03-08T10:00"}),
        ("del 6 de marzo de 2025", {"fecha": "2024-03-06"}),
        ("Lo quiero en 3 días", {"dias": 3, "fecha": "2024-03-08"}),
        ("5 tubos de 3/4 y Av. 5 de Mayo 20", {"fecha": "2024-04-03", "otra": "2024-05-05"}),
        ("Santo Domingo, cada lunes", {"fecha": "2024-03-10", "otra": "2024-03-11"}),
        ("lo pedí esta mañana", {"fecha": "2024-03-06"}),
        ("en 3 días hábiles", {"fecha": "2024-03-08"}),
    ],
)
def test_what_is_no_such_day_stays(text: str, value: dict[str, Any]) -> None:
    augmenter = Augmenter(["relative_date"], probability=1.0, seed=0)
    for variant in range(10):
        other, _ = augmenter.augment(text, value, epoch=0, index=0, variant=variant, day=TODAY)
        assert other == text or "a las 10" in text
        assert "a las 10" not in text or "a las 10" in other


@pytest.mark.parametrize("text", ["entrega el viernes 8 de marzo de 2024", "antes del viernes 8 de marzo de 2024"])
def test_a_weekday_goes_with_its_date(text: str) -> None:
    augmenter = Augmenter(["relative_date"], probability=1.0, seed=0)
    for variant in range(20):
        other, _ = augmenter.augment(text, {"fecha": "2024-03-08"}, epoch=0, index=0, variant=variant, day=TODAY)
        assert [mention.day for mention in mentions(other, TODAY)] == [date(2024, 3, 8)], other
        assert other.count("viernes") <= 1


def test_other_edits_leave_such_days_alone() -> None:
    augmenter = Augmenter(probability=1.0, seed=0)
    for variant in range(60):
        text, value = TEXTS[variant % 4]
        other, _ = augmenter.augment(text, value, epoch=0, index=0, variant=variant, day=TODAY)
        days = {mention.day.isoformat() for mention in mentions(other, TODAY)}
        assert value["fecha"] in days or re.search(r"\d{4}", other), other


def test_asking_takes_a_day(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ask", "--help"])
    assert "--reference_date" in capsys.readouterr().out
