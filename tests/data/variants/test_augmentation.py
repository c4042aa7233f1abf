"""The seven strategies: the words change, the values never."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lit_llm.data.variants.augmentation import STRATEGIES as EVERY
from lit_llm.data.variants.augmentation import Augmenter
from lit_llm.data.variants.spans import as_written
from lit_llm.errors import ConfigError, DataError

STRATEGIES = EVERY[1:]
"""Those for rows without a day of their own."""

ORDERS = Path(__file__).resolve().parents[3] / "configs" / "data" / "orders"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in (ORDERS / "train.jsonl").read_text("utf-8").splitlines()]
SAMPLE = ROWS[::8]


def only(name: str, **arguments: Any) -> Augmenter:
    return Augmenter([name], probability=1.0, **arguments)


def variants(augmenter: Augmenter, text: str, value: Any, count: int = 60) -> set[str]:
    return {augmenter.augment(text, value, epoch=k, index=0, variant=1)[0] for k in range(count)}


def flat(text: str) -> str:
    return " ".join(text.casefold().split())


def amounts(text: str) -> Counter[str]:
    """Count the digits of numbers without separators, grouping or closing zeros; words for digits are digits."""
    words = "dos tres cuatro cinco seis siete ocho nueve diez once doce".split()  # noqa: SIM905
    text = re.sub(r"\b[^\W\d_]+\b", lambda m: str(words.index(m[0]) + 2) if m[0] in words else m[0], text.casefold())
    tokens = re.findall(r"\d+(?:,\d{3}| \d{3}(?!\d))*(?:\.\d+)?", text)
    return Counter(f"{float(re.sub('[, ]', '', token)):.2f}" for token in tokens)


def strings(value: Any) -> list[str]:
    parts = [value["items"], {k: v for k, v in value.items() if k != "items"}]
    found = [v for part in (*parts[0], parts[1], value.get("entrega", {})) for v in part.values()]
    return [v for v in found if isinstance(v, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", v)]


@pytest.mark.parametrize("case_values", [False, True])
@pytest.mark.parametrize("names", [[name] for name in STRATEGIES] + [list(STRATEGIES)], ids=lambda n: "+".join(n))
def test_every_value_is_still_stated(names: list[str], case_values: bool) -> None:
    augmenter = Augmenter(names, probability=0.9, case_values=case_values)
    for index, row in enumerate(SAMPLE):
        text, target = augmenter.augment(row["text"], row["json"], epoch=1, index=index, variant=2)
        assert flat(json.dumps(target, ensure_ascii=False)) == flat(json.dumps(row["json"], ensure_ascii=False))
        assert amounts(text) == amounts(row["text"]), (row["text"], text)
        for value in strings(row["json"]):
            assert flat(text).count(flat(value)) >= 1, (value, row["text"], text)
        for value in strings(target):
            assert value in " ".join(text.split()), (value, row["text"], text)


@pytest.mark.parametrize(("name", "changed"), list(zip(STRATEGIES, [0.8, 0.8, 0.3, 0.8, 0.5, 0.9, 0.9], strict=True)))
def test_each_strategy_changes_texts_and_seldom_fails(name: str, changed: float) -> None:
    augmenter = only(name)
    for index, row in enumerate(SAMPLE):
        augmenter.augment(row["text"], row["json"], epoch=0, index=index, variant=0)
    rates = {outcome: count / len(SAMPLE) for (_, outcome), count in augmenter.counts.items()}
    print(name, rates)
    assert rates["applied"] > changed
    assert rates.get("rejected", 0) < 0.02
    assert sum(augmenter.counts.values()) == len(SAMPLE)


def test_the_order_of_calls_and_earlier_calls_do_not_matter() -> None:
    calls = [
        (row, epoch, index, variant) for index, row in enumerate(SAMPLE[:40]) for epoch in (0, 1) for variant in (0, 1)
    ]
    order = list(range(len(calls)))
    random.Random(5).shuffle(order)

    def run(indices: list[int]) -> list[tuple[str, Any]]:
        augmenter = Augmenter(probability=0.7, seed=3)
        done = {
            k: augmenter.augment(row["text"], row["json"], epoch=epoch, index=index, variant=variant)
            for k in indices
            for row, epoch, index, variant in [calls[k]]
        }
        return [done[k] for k in range(len(calls))]

    assert run(order) == run(list(range(len(calls))))


def test_seed_epoch_row_and_variant_each_matter() -> None:
    text, value = ROWS[0]["text"], ROWS[0]["json"]

    def many(seed: int = 0, epoch: int = 0, variant: int = 0, shift: int = 0) -> list[tuple[str, Any]]:
        augmenter = Augmenter(probability=0.7, seed=seed)
        return [augmenter.augment(text, value, epoch=epoch, index=k + shift, variant=variant) for k in range(20)]

    assert many() == many()
    assert all(many() != other for other in (many(seed=1), many(epoch=1), many(variant=1), many(shift=100)))


def test_strategies_draw_apart_so_that_leaving_one_out_keeps_the_others() -> None:
    text, value = "Quiero dos cajas de clavos", {"cant": 2, "unidad": "cajas", "prod": "clavos"}
    both = Augmenter(["synonyms", "case"], probability=1.0, probabilities={"case": 0.0})
    assert variants(both, text, value) == variants(only("synonyms"), text, value)


def test_probability_zero_changes_nothing() -> None:
    augmenter = Augmenter(probability=0.0)
    for row in SAMPLE:
        same = augmenter.augment(row["text"], row["json"], epoch=0, index=0, variant=0)
        assert same == (row["text"], row["json"])
    assert not augmenter.counts


def test_word_order_keeps_each_line_of_an_order_together() -> None:
    augmenter, moved = only("word_order"), 0
    for index, row in enumerate(ROWS[::3]):
        text, _ = augmenter.augment(row["text"], row["json"], epoch=0, index=index, variant=0)
        lines = [item["prod"] for item in row["json"]["items"]]
        start = min(row["text"].index(name) for name in lines)
        end = max(row["text"].index(name) + len(name) for name in lines)
        between = row["text"][start:end]
        if not re.search(r"\b(?:para|entrega|total|cliente|favor)\b", between):
            moved += text != row["text"]
            assert between in text, (row["text"], text)
    assert moved > 300


def test_quantity_and_price_are_never_swapped() -> None:
    text = "Pedido: taza azul, cantidad 3, precio 50. Cliente: Ana Ruiz. Total: 150"
    value = {"cliente": "Ana Ruiz", "items": [{"cant": 3, "prod": "taza azul", "precio": 50}], "total": 150}
    for changed in variants(only("word_order"), text, value):
        assert "aza azul, cantidad 3, precio 50" in changed
    assert len(variants(only("word_order"), text, value)) > 3
    for changed in variants(Augmenter(probability=1.0, probabilities={"misspelling": 0.0}), text, value):
        assert flat(changed).index("3") < flat(changed).index("precio")


def test_word_order_swaps_clauses_with_their_values_and_recases() -> None:
    text = "Quiero 2 tazas de barro, 3 platos. Para el 5 de mayo de 2025. Total: $80"
    value = {"items": [{"cant": 2, "prod": "tazas de barro"}, {"cant": 3, "prod": "platos"}], "total": 80}
    found = variants(only("word_order"), text, value)
    assert "Total: $80. Quiero 2 tazas de barro, 3 platos. Para el 5 de mayo de 2025" in found
    assert all("uiero 2 tazas de barro, 3 platos" in changed for changed in found)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("text", ["son 1.000 pesos", "SKU A-1.2,3 y B.7;C", "clave 007", "a las 10:30 del 3/4/2025"])
def test_digits_that_can_be_read_in_two_ways_are_left_alone(name: str, text: str) -> None:
    tokens = re.findall(r"\S*\d\S*", text)
    for changed in variants(only(name), text, {"total": 1000, "cant": 7}):
        assert all(token.casefold() in changed.casefold() for token in tokens), changed


def test_number_format_writes_every_form_of_the_locale_and_no_other() -> None:
    mexican = variants(only("number_format"), "total $1,250.50", {"total": 1250.5}, 300)
    forms = ["1,250.50", "1,250.5", "1250.50", "1250.5", "1 250.50", "1 250.5"]
    assert mexican == {f"total ${form}" for form in forms}
    spanish = variants(only("number_format", locale="es_ES"), "total 1.250,50 €", {"total": 1250.5}, 300)
    assert spanish == {f"total {form.translate(str.maketrans(',.', '.,'))} €" for form in forms}


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("quiero 3 tazas", {"cant": 3}, {"quiero 3 tazas", "quiero tres tazas"}),
        ("quiero Tres tazas", {"cant": 3}, {"quiero 3 tazas", "quiero Tres tazas"}),
        ("quiero una taza", {"cant": 1}, {"quiero una taza"}),
        ("con 5% menos", {"desc": 5}, {"con 5% menos"}),
        ("con 5 por ciento menos", {"desc": 5}, {"con 5 por ciento menos"}),
        ("a 5 pesos", {"precio": 5}, {"a 5 pesos", "a 5.00 pesos"}),
        ("el 5 de mayo de 2025", {"fecha": "2025-05-05", "cant": 5}, {"el 5 de mayo de 2025"}),
        ("3 focos de 60 W", {"cant": 60, "prod": "focos de 60 W"}, {"3 focos de 60 W"}),
        ("quiero 3 tazas", {"cant": 4}, {"quiero 3 tazas"}),
    ],
)
def test_number_format_touches_only_numbers_of_the_target(text: str, value: Any, expected: set[str]) -> None:
    assert variants(only("number_format"), text, value, 100) == expected


def test_units_negations_and_values_have_no_synonyms() -> None:
    table = Augmenter().thesaurus.table
    untouchable = {
        "no",
        "sin",
        "ni",
        "nunca",
        "kilo",
        "kilos",
        "caja",
        "cajas",
        "litro",
        "litros",
        "metros",
        "pesos",
        "menos",
    }
    assert untouchable.isdisjoint(table)
    text = "No quiero kilos, sin total; quiero Casa Pedido"
    for changed in variants(only("synonyms"), text, {"cliente": "Casa Pedido"}):
        assert changed.startswith("No ") and "kilos, sin " in changed and changed.endswith("Casa Pedido")


def test_synonyms_keep_the_capital_and_take_the_longest_phrase(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"me urge": ["preciso"], "urge": ["apura"]}), encoding="utf-8")
    augmenter = only("synonyms", synonyms=str(table))
    assert variants(augmenter, "Me urge un café", {}) == {"Me urge un café", "Preciso un café"}
    assert "ME APURA" not in variants(augmenter, "ME URGE", {})


def test_an_edit_that_loses_or_repeats_a_value_is_rejected_and_counted(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"quiero": ["quiero una"]}), encoding="utf-8")
    augmenter = only("synonyms", synonyms=str(table))
    text, value = "quiero una taza", {"cant": 1, "prod": "taza"}
    assert variants(augmenter, text, value) == {text}
    assert augmenter.counts["synonyms", "rejected"] > 20
    assert augmenter.counts["synonyms", "applied"] == 0


def test_case_and_white_space_stay_outside_values() -> None:
    text, value = "Hola, quiero 2 cajas de Papel Fino; para Ana Ruiz", {"prod": "Papel Fino", "cliente": "Ana Ruiz"}
    for name in ("case", "white_space", "punctuation", "synonyms"):
        found = variants(only(name), text, value)
        assert len(found) > 2, name
        assert all("Papel Fino" in changed and "Ana Ruiz" in changed for changed in found), name
    whole = variants(only("case", case_values=True), text, value)
    assert text.upper() in whole and text.lower() in whole


def test_strings_of_the_target_follow_a_text_whose_values_change_case() -> None:
    text, value = "Hola, quiero 2 cajas de Papel Fino para el 5/3/2025", {"prod": "Papel Fino", "fecha": "2025-03-05"}
    augmenter = only("case", case_values=True)
    pairs = dict(augmenter.augment(text, value, epoch=k, index=0, variant=1) for k in range(60))
    assert pairs[text.upper()] == {"prod": "PAPEL FINO", "fecha": "2025-03-05"}
    assert pairs[text.lower()] == {"prod": "papel fino", "fecha": "2025-03-05"}
    assert value["prod"] == "Papel Fino"


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("PAN DE AJO", "pan de ajo", "PAN DE AJO"),
        ("Pan y pan", "pan", "pan"),
        ("PAN  DE\nAJO", "pan de ajo", "PAN DE AJO"),
        ("PANES", "pan", "pan"),
        ("EL 5 DE MARZO", "2025-03-05", "2025-03-05"),
        ("UNA TAZA", ["taza", 1, None, True, {"a": "Una"}], ["TAZA", 1, None, True, {"a": "UNA"}]),
    ],
)
def test_as_written(text: str, value: Any, expected: Any) -> None:
    assert as_written(text, value) == expected


def test_punctuation_keeps_abbreviations() -> None:
    text = "Cliente: Dra. Ruiz, Av. Juárez. Total: 5"
    for changed in variants(only("punctuation"), text, {"total": 5}):
        assert "Dra. Ruiz, Av. Juárez" in changed


@pytest.mark.parametrize("value", [None, True, {"urgente": False, "nota": None}, [], {"intent": "alarm/set_alarm"}])
def test_values_that_no_text_states_stop_nothing(value: Any) -> None:
    augmenter = Augmenter(probability=1.0)
    assert len(variants(augmenter, "Hola, quiero una taza. Total: 5 pesos", value)) > 5
    assert not any(outcome == "rejected" for _, outcome in augmenter.counts)


@pytest.mark.parametrize("text", ["", " ", ".", "\n", "¿?", "ñ", "a" * 3000, "...", "1", "; , ."])
def test_odd_texts_pass(text: str) -> None:
    assert variants(Augmenter(probability=1.0), text, {"a": "ñ", "b": 1}, 10)


def test_decomposed_letters_are_composed_and_protected() -> None:
    found = variants(only("case"), "quiero cafe\u0301", {"prod": "café"})
    assert found and all(changed.endswith("café") for changed in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategies": ["sinonimos"]}, "'sinonimos'"),
        ({"probabilities": {"cases": 0.1}}, "'cases'"),
        ({"strategies": ["case"], "probabilities": {"synonyms": 0.1}}, "'synonyms'"),
        ({"locale": "en_US"}, "'en_US'"),
        ({"probability": 1.5}, "1.5"),
        ({"probabilities": {"case": -1}}, "-1"),
    ],
)
def test_impossible_settings_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Augmenter(**arguments)


@pytest.mark.parametrize("content", ["{", "[]", '{"a": "b"}', '{"a": []}', None])
def test_a_bad_file_of_synonyms_is_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "words.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(str(path))):
        only("synonyms", synonyms=str(path)).augment("hola", {}, epoch=0, index=0, variant=0)


def test_words_between_values_are_mistyped_and_values_are_not() -> None:
    text = "Quiero comprar dos cajas de clavos, envíenlas rápido"
    value = {"cant": 2, "unidad": "cajas", "prod": "clavos"}
    found = variants(only("misspelling"), text, value, 400)
    assert all("dos cajas" in changed and "clavos" in changed for changed in found)
    assert "Quiero comprar dos cajas de clavos, envienlas rapido" in found
    words = {changed.split(" ")[0] for changed in found}
    swapped, missing, doubled, beside, cut = ("Quireo", "Quero", "Quieero", "Quirro", "Quie")
    assert {"Quiero", swapped, missing, doubled, beside, cut} <= words


@pytest.mark.parametrize(
    "amount",
    ["setenta y cinco millones", "cuatrocientos dos", "dos mil uno", "millón y medio", "medio millón", "12 mil",
     "3.5 millones", "noventa y nueve por ciento", "docena y media", "nueve menos cuarto", "seiscientoz", "sin los 9",
     "cuarenta i dos", "veinti tres", "menos de 40", "al menos nueve", "entre 3 y 8", "de 20 a 30", "-7", "− 7",
     "7 bajo cero", "3 kilos y medio", "dos tercios", "40 60 80", "15 1200", "no más de 6", "excepto 2"],
)  # fmt: skip
@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "white_space"])
def test_an_amount_with_its_sign_and_comparison_stays_as_it_is(name: str, amount: str) -> None:
    text = f"Buenas, quiero vender {amount} sillas viejas. Entrega en Durango. Total: $90"
    for value in ({}, {"n": [2, 3, 5, 6, 7, 8, 9, 15, 20, 30, 40, 1200]}):
        augmenter = only(name)
        augmenter.counts.clear()
        found = variants(augmenter, text, value, 12)
        assert all(flat(amount) in flat(changed) for changed in found), (amount, found)


def test_a_row_whose_number_the_text_does_not_state_is_left_alone_and_counted() -> None:
    augmenter = Augmenter(probability=1.0)
    text = "Quiero tres tazas. Total: dos mil pesos"
    assert variants(augmenter, text, {"total": 2500}, 20) == {text}
    assert augmenter.counts == {("row", "unstated"): 20}
    assert len(variants(augmenter, text, {"total": 2000, "cant": 3}, 20)) > 5
    assert augmenter.counts["row", "unstated"] == 20


@pytest.mark.parametrize(
    ("text", "value", "never"),
    [
        ("Total $80. Importe neto $70", {}, ["monto", "importe $80", "total neto"]),
        ("Cliente: Rita. Vendedor: Saúl", {}, ["comprador", "solicitante", "interesado"]),
        ("Entrega el 3, salida el 2", {}, ["llegada", "recepción"]),
        ("Hay un descuento de $5", {"rebaja": 5}, ["rebaja"]),
        ("Importe total: $9", {"montoTotal": 9}, ["monto"]),
    ],
)
def test_a_label_is_not_reworded_where_another_one_could_be_meant(text: str, value: Any, never: list[str]) -> None:
    for changed in variants(only("synonyms"), text, value, 80):
        assert not any(words in changed.casefold() for words in never), changed


@pytest.mark.parametrize(
    "text",
    [
        "Eva quiere 4 tazas. Total: $80. Para el 3 de mayo. Raúl quiere 2. Total: $40",
        "Quiero 4 tazas. Para Eva Gil. Quiero 2 platos. Para Raúl Paz. Total: $90",
        "Quiero 4 tazas. Sin factura. Total: $80. Entrega en Lerdo",
        "Quiero 4 tazas. Recoge Eva Gil. Lo pide Raúl Paz. Total: $80",
        "Quiero 4 tazas. Total: $80. Luego 2 platos. Entrega en Lerdo",
    ],
)
def test_clauses_of_several_records_stay_where_they_are(text: str) -> None:
    augmenter = only("word_order")
    assert variants(augmenter, text, {}) == {text}
    assert augmenter.counts["word_order", "unsure"] == 60
