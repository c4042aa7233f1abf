"""The demo's orders: the same bytes again, stated in full, and split so that a test asks something new."""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lit_llm.schemas import first_fault

ROOT = Path(__file__).resolve().parents[2]
ORDERS = ROOT / "configs" / "data" / "orders"
SPLITS = ["train", "valid", "test_known", "test_phrasings", "test_products", "test_noisy"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_orders", ROOT / "scripts" / "demo_data" / "make_orders.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def vocabulary() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((ORDERS / "vocabulary.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, Any]]]:
    files = {name: (ORDERS / f"{name}.jsonl").read_text(encoding="utf-8") for name in SPLITS}
    return {name: [json.loads(line) for line in text.splitlines()] for name, text in files.items()}


def product_words(vocabulary: dict[str, Any], group: str) -> set[str]:
    products = vocabulary["products"][group]
    names = [f"{noun} {' '.join(modifiers)}" for noun, modifiers in products["counted"].items()]
    names += itertools.chain.from_iterable(products["bulk"].values())
    return {word for name in names for word in re.findall(r"\w{3,}", name.casefold())} - {"con", "para", "sin"}


def clauses(vocabulary: dict[str, Any], group: str) -> set[str]:
    named = {k: v for k, v in vocabulary["clauses"][group].items() if k not in ("item", "last_joiner")}
    return {clause.strip().casefold() for kind in named.values() for clause in kind}


def scalars(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [found for k, v in value.items() for found in scalars(v, k)]
    return [found for v in value for found in scalars(v, key)] if isinstance(value, list) else [(key, value)]


def is_stated(script: ModuleType, key: str, value: Any, text: str) -> bool:
    """Read a value back, by other code than the package's."""
    text = " ".join(text.casefold().split())
    if key == "fecha":
        year, month, day = map(int, value.split("-"))
        written = rf"{day} de {script.MONTHS[month - 1]} del? {year}"
        return re.search(rf"(?<!\d)(?:{written}|0?{day}([/-])0?{month}\1(?:{year}))(?!\d)", text) is not None
    if isinstance(value, str):
        return re.search(rf"(?<!\w){re.escape(value.casefold())}(?!\w)", text) is not None
    if key == "cant" and value <= 12:
        words = ["un", "una"] if value == 1 else [script.WORDS[value]]
        if re.search(rf"\b(?:{'|'.join(words)})\b", text):
            return True
    tokens = re.findall(r"\d+(?:[.,]\d+| \d{3}(?!\d))*", text)
    return any(float(value) in readings(token) for token in tokens)


def readings(token: str) -> set[float]:
    plain = token.replace(" ", "")
    if "," in plain and "." in plain and plain.rindex(",") > plain.rindex("."):
        plain = plain.replace(".", "").replace(",", ".")
    return {float(plain.replace(",", ""))} if plain.replace(",", "").count(".") <= 1 else set()


def test_the_committed_files_are_what_the_script_writes(script: ModuleType, tmp_path: Path) -> None:
    script.make_orders(tmp_path, ORDERS / "vocabulary.json", seed=2025)
    for name in [*(f"{name}.jsonl" for name in SPLITS), "schema.json"]:
        assert (tmp_path / name).read_bytes() == (ORDERS / name).read_bytes(), name


@pytest.mark.slow
def test_another_seed_makes_other_orders(script: ModuleType, tmp_path: Path) -> None:
    script.make_orders(tmp_path, ORDERS / "vocabulary.json", seed=7)
    assert (tmp_path / "train.jsonl").read_bytes() != (ORDERS / "train.jsonl").read_bytes()


def test_the_files_are_small_and_of_the_stated_sizes(rows: dict[str, list[dict[str, Any]]]) -> None:
    assert [len(rows[name]) for name in SPLITS] == [2400, 150, 200, 200, 200, 200]
    assert sum(file.stat().st_size for file in ORDERS.iterdir()) <= 2**20


@pytest.mark.parametrize("name", SPLITS)
def test_every_value_is_stated_in_the_text(
    script: ModuleType, rows: dict[str, list[dict[str, Any]]], name: str
) -> None:
    missing = [
        (key, value, row["text"])
        for row in rows[name]
        for key, value in scalars(row["json"])
        if not is_stated(script, key, value, row["text"])
    ]
    assert missing == []


@pytest.mark.parametrize("name", SPLITS)
def test_every_target_follows_the_schema(rows: dict[str, list[dict[str, Any]]], name: str) -> None:
    schema = json.loads((ORDERS / "schema.json").read_text(encoding="utf-8"))
    order = ["cliente", "items", "entrega", "desc", "total"]
    for row in rows[name]:
        assert first_fault(row["json"], schema) is None, row
        assert sorted(row["json"], key=order.index) == list(row["json"]), "the schema's order is the serialised one"


def test_no_text_and_no_target_occurs_twice(rows: dict[str, list[dict[str, Any]]]) -> None:
    every = [row for split in rows.values() for row in split]
    assert len({" ".join(row["text"].casefold().split()) for row in every}) == len(every)
    assert len({json.dumps(row["json"], sort_keys=True) for row in every}) == len(every)
    assert len({row["id"] for row in every}) == len(every)


def test_groups_of_wordings_share_no_clause(vocabulary: dict[str, Any]) -> None:
    groups = [clauses(vocabulary, group) for group in ("train", "valid", "heldout")]
    assert all(a.isdisjoint(b) for a, b in itertools.combinations(groups, 2))
    assert min(len(kind) for kind in vocabulary["clauses"]["train"].values()) >= 6


def test_unseen_products_and_customers_share_no_word_with_training(vocabulary: dict[str, Any]) -> None:
    assert product_words(vocabulary, "train").isdisjoint(product_words(vocabulary, "heldout"))
    for part in ("first", "last", "companies"):
        assert set(vocabulary["customers"]["train"][part]).isdisjoint(vocabulary["customers"]["heldout"][part])


def test_unseen_products_stand_in_no_training_text(rows: dict[str, list[dict[str, Any]]]) -> None:
    seen = "\n".join(row["text"].casefold() for name in ("train", "valid") for row in rows[name])
    for row in rows["test_products"]:
        names = [item["prod"] for item in row["json"]["items"]] + [row["json"].get("cliente", "\0")]
        assert not [name for name in names if name.casefold() in seen]


def test_unseen_phrasings_contain_no_training_clause(
    vocabulary: dict[str, Any], rows: dict[str, list[dict[str, Any]]]
) -> None:
    stems = {re.sub(r"\{\w+\}.*", "", clause).strip(" :") for clause in clauses(vocabulary, "train")}
    long = [stem for stem in stems if len(stem) > 12]
    assert len(long) > 15
    found = [(s, row["text"]) for s in long for row in rows["test_phrasings"] if s in row["text"].casefold()]
    assert found == []


def test_the_augmenters_words_do_not_give_the_unseen_phrasings_away(vocabulary: dict[str, Any], root: Path) -> None:
    def words(phrases: list[str]) -> set[str]:
        return {w for p in phrases for w in re.findall(r"[^\W\d_]+", re.sub(r"\{\w+\}", "", p).casefold())}

    table = json.loads((root / "lit_llm" / "data" / "variants" / "synonyms_es.json").read_text(encoding="utf-8"))
    known = words([*clauses(vocabulary, "train"), *vocabulary["greetings"]["train"]])
    for group in ("valid", "heldout"):
        new = words([*clauses(vocabulary, group), *vocabulary["greetings"][group]]) - known
        assert len(new) > 15
        assert words([*table, *itertools.chain(*table.values())]).isdisjoint(new)


def test_noise_leaves_values_whole_and_spoils_what_carries_them(script: ModuleType) -> None:
    pieces = [("por favor mándame ", False), ("dos", True), (" ", False), ("cajas", True), (" de ", False)]
    pieces += [("clavos", True), (", entrega a nombre de ", False), ("Ana Núñez", True)]
    noisy = {script.make_noise(random.Random(seed), pieces, {"nombre": "nom."}) for seed in range(200)}
    assert len(noisy) > 100
    for text in noisy:
        kept = " ".join(text.casefold().split())
        assert all(value.casefold() in kept for value, is_value in pieces if is_value), text
    assert any(text.isupper() for text in noisy) and any(text.islower() for text in noisy)
    assert any("nom." in text for text in noisy)


def test_the_noisy_split_is_noisy(rows: dict[str, list[dict[str, Any]]]) -> None:
    texts = [row["text"] for row in rows["test_noisy"]]
    assert 10 <= sum(text.isupper() for text in texts) <= 40
    assert 10 <= sum(text.islower() for text in texts) <= 60
    assert sum("  " in text for text in texts) >= 40
    assert any(re.search(r"\d\.\d{3},\d\d", text) for text in texts)
    assert any(re.search(r"\d \d{3}\.\d", text) for text in texts)


@pytest.mark.parametrize("seed", range(5))
def test_foreign_amounts_have_one_reading(script: ModuleType, seed: int) -> None:
    rng = random.Random(seed)
    for cents in (500, 12_050, 99_990, 125_050, 125_000, 7_023_975, 100_000_000):
        for _ in range(20):
            token = script.foreign(rng, cents)
            assert readings(token) == {cents / 100}, token
            assert not re.fullmatch(r"\d{1,3}[.]\d{3}", token)


def test_noise_and_augmentation_share_no_code(root: Path) -> None:
    source = (root / "scripts" / "demo_data" / "make_orders.py").read_text(encoding="utf-8")
    assert "lit_llm" not in source
