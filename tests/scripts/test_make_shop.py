"""The shop's data: the bytes that are committed, names that no training text means, texts that say what is wanted."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from lit_llm.schemas import first_fault
from scripts.demo_data.make_shop import AMOUNTS, NAMES, make_shop

SHOP = Path(__file__).resolve().parents[2] / "configs" / "data" / "shop"
SPLITS = ["train", "valid", "test_seen", "test_unseen"]


@pytest.fixture(scope="module")
def names() -> list[str]:
    return (SHOP / "catalogue.csv").read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, Any]]]:
    texts = {split: (SHOP / f"{split}.jsonl").read_text(encoding="utf-8") for split in SPLITS}
    return {split: [json.loads(line) for line in text.splitlines()] for split, text in texts.items()}


def test_the_committed_files_are_what_the_script_writes(tmp_path: Path) -> None:
    make_shop(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        path.name: path.read_bytes() for path in SHOP.iterdir()
    }
    assert sum(path.stat().st_size for path in SHOP.iterdir()) < 500_000
    make_shop(tmp_path / "other", seed=1)
    assert (tmp_path / "other/catalogue.csv").read_bytes() != (SHOP / "catalogue.csv").read_bytes()


def products(rows: list[dict[str, Any]]) -> set[str]:
    return {item["producto"] for row in rows for item in row["json"]["compras"]}


def test_a_third_of_the_names_is_unseen(names: list[str], rows: dict[str, list[dict[str, Any]]]) -> None:
    assert len(names) == len(set(names)) == NAMES
    seen, unseen = products(rows["train"] + rows["valid"] + rows["test_seen"]), products(rows["test_unseen"])
    assert seen | unseen <= set(names)
    assert not seen & unseen
    assert len(seen) <= NAMES * 2 / 3 + 1


def test_rows_meet_the_schema_and_are_of_no_other_split(rows: dict[str, list[dict[str, Any]]]) -> None:
    schema = json.loads((SHOP / "schema.json").read_text(encoding="utf-8"))
    every = [row for some in rows.values() for row in some]
    assert [first_fault(row["json"], schema) for row in every] == [None] * len(every)
    assert len({row["text"] for row in every}) == len(every)


def test_texts_hold_what_is_wanted_in_other_words(rows: dict[str, list[dict[str, Any]]]) -> None:
    verbatim = total = 0
    for row in rows["train"]:
        text, value = row["text"], row["json"]
        said = [value["comprador"][key] for key in ("nombre", "correo", "telefono")]
        said += [*(value["direccion"] or {}).values(), *(item["descuento"] for item in value["compras"])]
        assert all(one in text for one in said if one), row["id"]
        for item in value["compras"]:
            brand = item["producto"].split()[1]
            assert any(f"{word} " in text for word in AMOUNTS[item["cantidad"]])
            assert brand.casefold() in text.casefold()
            verbatim += item["producto"] in text
            total += 1
        if day := value["envio"]["antes_de"]:
            assert 1 <= (date.fromisoformat(day) - datetime.fromisoformat(row["received"]).date()).days <= 20
    assert 0.2 < verbatim / total < 0.35
