"""No edit changes a value, a sign, a comparison or an owner, by a reading that shares nothing with the package."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from lit_llm.data.variants.augmentation import STRATEGIES, Augmenter
from tests.data.variants import checker

FOLDER = Path(__file__).with_name("field_texts")
TEXTS = [
    (locale, line.replace("\\n", "\n"))
    for locale in ("es_MX", "es_ES")
    for line in (FOLDER / f"{locale}.txt").read_text(encoding="utf-8").splitlines()
]


def target(text: str, locale: str, seed: int) -> dict[str, Any]:
    """All numbers of the text, so that each may be rewritten, or nothing, so that no value guides the edits."""
    values = [a.value for a in checker.amounts(text, locale) if isinstance(a.value, Fraction)]
    return {"valores": [int(v) if v.denominator == 1 else float(v) for v in values]} if seed % 2 else {}


def tried(seeds: list[int]) -> tuple[list[str], Counter[str]]:
    """Rewrite every text by each strategy alone with each seed; return the faults, and how many texts were varied."""
    found, varied = [], Counter[str]()
    locales = ("es_MX", "es_ES")
    for name in STRATEGIES[1:]:
        by = {(s, place): Augmenter([name], probability=1.0, seed=s, locale=place) for s in seeds for place in locales}
        for index, (locale, text) in enumerate(TEXTS):
            values = {seed: target(text, locale, seed + index) for seed in seeds}
            drawn = {by[s, locale].augment(text, v, epoch=0, index=index, variant=1)[0] for s, v in values.items()}
            for new in drawn - {text}:
                found += [f"{name}: {text!r} -> {new!r}: {why}" for why in checker.faults(text, new, name, locale)]
            varied[name] += drawn != {text}
    return found, varied


def test_there_are_several_hundred_texts_and_most_state_amounts() -> None:
    assert len({text for _, text in TEXTS}) == len(TEXTS) > 350
    assert sum(len(checker.amounts(text, locale)) > 1 for locale, text in TEXTS) > 330


def test_no_edit_changes_what_a_text_states() -> None:
    found, varied = tried([7])
    assert not found, found[:5]
    assert all(varied[name] > 0 for name in STRATEGIES[1:])
    assert varied["case"] > 300 and varied["white_space"] > 200 and varied["punctuation"] > 100


@pytest.mark.slow
def test_no_edit_changes_what_a_text_states_with_fifteen_seeds() -> None:
    found, varied = tried(list(range(15)))
    print(f"{len(TEXTS)} texts, varied by strategy: {dict(varied)}")
    assert not found, found[:5]


@pytest.mark.parametrize(
    ("strategy", "before", "after"),
    [
        ("misspelling", "son 75 millones de pesos", "son 75 mil de pesos"),
        ("misspelling", "pagó trescientos pesos", "pagó tres pesos"),
        ("misspelling", "quedan dos mil hojas", "quedan dos mi hojas"),
        ("misspelling", "Subtotal 20, total 23", "Stotal 20, total 23"),
        ("synonyms", "Mide menos de 170", "Mide rebajando de 170"),
        ("synonyms", "Total 300, subtotal 250", "Subtotal 300, subtotal 250"),
        ("synonyms", "Cliente 12, destinatario 14", "Destinatario 12, destinatario 14"),
        ("synonyms", "Envío el 3, entrega el 8", "Entrega el 3, entrega el 8"),
        ("word_order", "Ana pide 5, total 30. Luis pide 6, total 36", "Ana pide 5, total 36. Luis pide 6, total 30"),
        ("word_order", "Quiero 5 tazas. Total: 30", "Total: 5. Quiero 30 tazas"),
        ("punctuation", "Saldo: 500", "Saldo - 500"),
        ("punctuation", "No, quiero 500. Total 3", "quiero 500. Total 3"),
        ("punctuation", "Mesa 4: 2 vinos. Mesa 5: 3", "Mesa 4: 2 vinos, Mesa 5: 3"),
        ("number_format", "van treinta y dos sillas", "van treinta y 2 sillas"),
        ("number_format", "Lote 12 1500 piezas", "Lote 12 1 500 piezas"),
        ("number_format", "son 1,250 pesos", "son 1.250 pesos"),
        ("number_format", "a -5 grados", "a 5 grados"),
        ("case", "potencia de 5 mW", "potencia de 5 MW"),
        ("white_space", "son 1 250 pesos", "son 1  250 pesos"),
    ],
)  # fmt: skip
def test_the_checker_sees_what_must_not_happen(strategy: str, before: str, after: str) -> None:
    assert checker.faults(before, after, strategy, "es_MX")


@pytest.mark.parametrize(
    ("strategy", "before", "after"),
    [
        ("misspelling", "Quiero comprar treinta y dos sillas", "Quireo comprar treinta y dos sillas"),
        ("synonyms", "Total: $300", "Importe: $300"),
        ("word_order", "Quiero 5 tazas. Total: 30", "Total: 30. Quiero 5 tazas"),
        ("punctuation", "Saldo: -500", "Saldo : -500."),
        ("number_format", "quiero 3 tazas por $1,250", "quiero tres tazas por $1 250.00"),
        ("case", "Quiero cinco tazas", "QUIERO CINCO TAZAS"),
        ("white_space", "Quiero 5 tazas", " Quiero  5 tazas\n"),
    ],
)
def test_the_checker_lets_pass_what_may_happen(strategy: str, before: str, after: str) -> None:
    assert checker.faults(before, after, strategy, "es_MX") == []
