"""Write the shop's data: chatty Spanish orders whose products are names of a catalogue, the same bytes for a seed.

    python scripts/demo_data/make_shop.py configs/data/shop

What people write is not what is wanted: products come with words in another order or in other forms, and without their
size where there is one alone; days are named from the day on which the text was written; currencies have nicknames,
quantities are words, and many fields are null. Texts have several paragraphs, pictures and chatter that states nothing.
A third of the catalogue's names is in no training text; brands and people are made up.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lit_llm.moments import phrases

NAMES = 500
UNSEEN = 1 / 3
"""Share of the names that no training text means."""

VERBATIM = 0.25
"""Share of the mentions that are as the catalogue has them."""

SIZES = {"train": 320, "valid": 50, "test_seen": 60, "test_unseen": 60}

KINDS = {
    "Galleta": (["avena", "vainilla", "coco", "nuez"], ["6 Und", "12 Und", "300 g"]),
    "Jabón": (["lavanda", "limón", "glicerina", "neutro"], ["3 Und", "120 g", "500 ml"]),
    "Café": (["molido", "grano", "soluble", "descafeinado"], ["250 g", "500 g", "1 kg"]),
    "Crema": (["manos", "peinar", "humectante", "rosas"], ["90 ml", "250 ml", "400 ml"]),
    "Refresco": (["naranja", "toronja", "manzana", "cola"], ["355 ml", "600 ml", "2 L"]),
    "Arroz": (["integral", "blanco", "jazmín", "precocido"], ["500 g", "1 kg", "5 kg"]),
    "Queso": (["fresco", "manchego", "añejo", "rallado"], ["200 g", "400 g", "1 kg"]),
    "Champú": (["romero", "sábila", "anticaspa", "bebé"], ["200 ml", "400 ml", "750 ml"]),
    "Detergente": (["líquido", "polvo", "ropa", "trastes"], ["500 g", "1 kg", "3 L"]),
    "Mermelada": (["fresa", "zarzamora", "piña", "higo"], ["250 g", "450 g", "980 g"]),
}
SYLLABLES = [c + v for c in "bcdfglmnprstv" for v in "aeiou"]
PEOPLE = ["Adela", "Bruno", "Cleta", "Dario", "Elvia", "Fausto", "Gema", "Hilario", "Irma", "Julián", "Lidia", "Nereo"]
SURNAMES = ["Arce", "Bello", "Cota", "Dueñas", "Erosa", "Ficachi", "Gurría", "Haro", "Islas", "Jasso", "Limas", "Meza"]
STREETS = ["Calle del Tecolote", "Av. de los Sabinos", "Privada Jacaranda", "Calz. Nogal", "Cerrada del Molino"]
TOWNS = ["Tepelmeme", "Zautla", "Huautla", "Ixtlán", "Jamiltepec", "Cuicatlán", "Teotitlán", "Yanhuitlán"]
MONEY = {
    "MXN": ["pesos", "varos", "pesitos", "lana mexicana"],
    "USD": ["dólares", "verdes", "dolaritos", "billetes gringos"],
    "EUR": ["euros", "eurillos", "moneda europea"],
}
AMOUNTS = {1: ["un", "una pieza de"], 2: ["dos", "un par de"], 3: ["tres", "un trío de"], 4: ["cuatro", "4"], 5: ["5"]}
AMOUNTS |= {6: ["media docena de", "seis"], 7: ["siete"], 8: ["8", "ocho"], 10: ["diez", "10"], 12: ["una docena de"]}
WAYS = {
    "estándar": ["el envío normal está bien", "sin prisa, por el medio de siempre", "que sea envío estándar"],
    "exprés": ["que venga volando, por favor", "me urge, mándenlo exprés", "con el servicio más rápido que tengan"],
    "tienda": ["paso yo por él a la tienda", "lo recojo en el mostrador", "no hace falta que lo manden, yo voy"],
}
CHATTER = [
    "Ojalá estén todos bien por allá 🙌.",
    "La vez pasada todo llegó de maravilla, mil gracias.",
    "Perdonen la letra, escribo desde el camión 🚌.",
    "Mi vecina también les quiere comprar, luego le digo.",
    "¡Qué calor ha hecho estos días! 🥵",
    "No se apuren si tardan en contestar.",
    "Ayer los recomendé con mi cuñada.",
    "Por cierto, me gustó mucho la bolsa nueva.",
    "Como siempre, quedo al pendiente 😄.",
    "Ya saben que soy cliente de años.",
]
HELLO = ["Hola, buen día.", "¡Qué tal!", "Buenas tardes 🌻", "# Pedido", "Estimados:", "Oigan,"]
BYE = ["Saludos.", "¡Gracias! 🙏", "Quedo atenta.", "Un abrazo.", "Atte."]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "comprador": {
            "type": "object",
            "properties": {
                "nombre": {"type": ["string", "null"], "maxLength": 40},
                "correo": {"type": ["string", "null"], "maxLength": 60},
                "telefono": {"type": ["string", "null"], "maxLength": 20},
            },
            "required": ["nombre", "correo", "telefono"],
            "additionalProperties": False,
        },
        "direccion": {
            "type": ["object", "null"],
            "properties": {"calle": {"type": "string", "maxLength": 60}, "ciudad": {"type": "string", "maxLength": 40}},
            "required": ["calle", "ciudad"],
            "additionalProperties": False,
        },
        "compras": {
            "type": "array",
            "minItems": 1,
            "maxItems": 4,
            "items": {
                "type": "object",
                "properties": {
                    "producto": {"type": ["string", "null"], "maxLength": 60},
                    "cantidad": {"type": "integer", "minimum": 1, "maximum": 99},
                    "moneda": {"enum": ["MXN", "USD", "EUR", None]},
                    "descuento": {"type": ["string", "null"], "maxLength": 12},
                },
                "required": ["producto", "cantidad", "moneda", "descuento"],
                "additionalProperties": False,
            },
        },
        "envio": {
            "type": "object",
            "properties": {
                "forma": {"enum": ["estándar", "exprés", "tienda", None]},
                "antes_de": {"type": ["string", "null"], "format": "date", "maxLength": 10},
            },
            "required": ["forma", "antes_de"],
            "additionalProperties": False,
        },
    },
    "required": ["comprador", "direccion", "compras", "envio"],
    "additionalProperties": False,
}


def catalogue(rng: random.Random) -> list[str]:
    """Return the names of all products: kind, brand, variety and size."""
    found: dict[str, None] = {}
    brands = {kind: [_brand(rng) for _ in range(9)] for kind in KINDS}
    while len(found) < NAMES:
        kind = rng.choice(list(KINDS))
        varieties, sizes = KINDS[kind]
        found[f"{kind} {rng.choice(brands[kind])} {rng.choice(varieties)} {rng.choice(sizes)}"] = None
    return sorted(found)


def _brand(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize()


def sizes_of(names: list[str]) -> Counter[str]:
    """Return in how many sizes each product is sold, by its name without them."""
    return Counter(" ".join(name.split()[:3]) for name in names)


def mentioned(name: str, alone: bool, rng: random.Random) -> str:
    """Return a product as people write it; its size may be left out where there is one ``alone``."""
    if rng.random() < VERBATIM:
        return name
    kind, brand, variety, *size = name.split()
    ways: list[Callable[[], str]] = [
        lambda: f"{kind} {brand} {variety}",
        lambda: f"{kind} de {variety} {brand}",
        lambda: f"{kind} {variety} de {brand}",
        lambda: f"{brand} ({kind} {variety})",
        lambda: f"{kind} {brand} de {variety}",
    ]
    said = rng.choice(ways)()
    if not alone or rng.random() < 0.5:
        said = rng.choice([f"{said} de {' '.join(size)}", f"{said} {' '.join(size)}"])
    return rng.choice([str.lower, str.lower, lambda text: text, str.upper, _bare])(said)


def _bare(text: str) -> str:
    return text.translate(str.maketrans("áéíóúü", "aeiouu")).lower()


def order(products: list[str], sizes: Counter[str], rng: random.Random) -> dict[str, Any]:
    """Return one row: a text, the day on which it was written, and what it asks for."""
    written = datetime(2024, 1, 1) + timedelta(minutes=rng.randrange(60 * 24 * 600))
    value: dict[str, Any] = {"comprador": {"nombre": None, "correo": None, "telefono": None}, "direccion": None}
    lines = [_who(value["comprador"], rng), _where(value, rng), _what(products, sizes, value, rng)]
    lines += [_how(value, written.date(), rng)]
    chatter = rng.sample(CHATTER, rng.randint(2, 5))
    parts = [part for part in lines if part] + chatter
    rng.shuffle(parts)
    text = "\n\n".join([rng.choice(HELLO), *_paragraphs(parts, rng), rng.choice(BYE)])
    return {"text": text, "json": value, "received": written.isoformat(timespec="minutes")}


def _paragraphs(parts: list[str], rng: random.Random) -> list[str]:
    found: list[str] = []
    for part in parts:
        # A table stands by itself.
        if found and "|" not in part + found[-1] and rng.random() < 0.6:
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def _who(buyer: dict[str, Any], rng: random.Random) -> str:
    first, last = rng.choice(PEOPLE), rng.choice(SURNAMES)
    said = []
    if rng.random() < 0.7:
        buyer["nombre"] = f"{first} {last}"
        said.append(
            rng.choice([f"Soy {first} {last}.", f"Anótenlo a nombre de {first} {last}.", f"Compra: {first} {last}."])
        )
    if rng.random() < 0.5:
        buyer["correo"] = f"{_bare(first)}.{_bare(last)}{rng.randrange(100)}@example.com"
        said.append(rng.choice([f"Mi correo es {buyer['correo']}.", f"Escríbanme a {buyer['correo']}, por favor."]))
    if rng.random() < 0.4:
        buyer["telefono"] = f"{rng.randint(200, 999)}-{rng.randint(100, 999)}-{rng.randint(1000, 9999)}"
        said.append(rng.choice([f"Mi cel: {buyer['telefono']}.", f"Si hay dudas, al {buyer['telefono']}."]))
    return " ".join(said)


def _where(value: dict[str, Any], rng: random.Random) -> str:
    if rng.random() < 0.4:
        return ""
    street, town = f"{rng.choice(STREETS)} {rng.randint(1, 400)}", rng.choice(TOWNS)
    value["direccion"] = {"calle": street, "ciudad": town}
    return rng.choice([f"Vivo en {street}, {town}.", f"Dirección: {street}, en {town}.", f"Es para {town}, {street}."])


def _what(products: list[str], sizes: Counter[str], value: dict[str, Any], rng: random.Random) -> str:
    value["compras"] = bought = []
    said = []
    for name in rng.sample(products, rng.choice([1, 1, 2, 2, 3])):
        count = rng.choice(list(AMOUNTS))
        money = rng.choice([None, None, "MXN", "USD", "EUR"])
        code = f"VALE{rng.randint(10, 99)}" if rng.random() < 0.1 else None
        bought.append({"producto": name, "cantidad": count, "moneda": money, "descuento": code})
        what = mentioned(name, sizes[" ".join(name.split()[:3])] == 1, rng)
        said.append((rng.choice(AMOUNTS[count]), what, money and rng.choice(MONEY[money]), code))
    if rng.random() < 0.25:
        head = "| cuánto | qué | se paga en | vale |\n|---|---|---|---|\n"
        return head + "\n".join(f"| {n} | {what} | {money or '-'} | {code or '-'} |" for n, what, money, code in said)
    lines = []
    for amount, what, money, code in said:
        paid = f", y lo pago en {money}" if money else ""
        off = f" (tengo el vale {code})" if code else ""
        lines.append(rng.choice([f"Mándenme {amount} {what}{paid}{off}.", f"Quiero {amount} {what}{off}{paid}."]))
    return " ".join(lines)


def _how(value: dict[str, Any], today: date, rng: random.Random) -> str:
    way = rng.choice([None, *WAYS])
    value["envio"] = {"forma": way, "antes_de": None}
    said = [rng.choice(WAYS[way]).capitalize() + "."] if way else []
    if rng.random() < 0.6:
        day = today + timedelta(days=rng.randint(1, 20))
        value["envio"]["antes_de"] = day.isoformat()
        said.append(
            rng.choice(["Lo necesito a más tardar {}.", "Ojalá llegue antes de que acabe {}."]).format(
                rng.choice([*phrases(day, today), f"el {day:%d/%m/%Y}"])
            )
        )
    return " ".join(said)


def make_shop(folder: Path, sizes: dict[str, int] = SIZES, seed: int = 0) -> None:
    """Write the catalogue, the schema and a file for each split."""
    folder.mkdir(parents=True, exist_ok=True)
    names = catalogue(random.Random(f"{seed}/catalogue"))
    sold = sizes_of(names)
    held = set(random.Random(f"{seed}/unseen").sample(names, round(len(names) * UNSEEN)))
    (folder / "catalogue.csv").write_text("producto\n" + "\n".join(names) + "\n", encoding="utf-8")
    (folder / "schema.json").write_text(json.dumps(SCHEMA, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for split, count in sizes.items():
        rng = random.Random(f"{seed}/{split}")
        products = [name for name in names if (name in held) == (split == "test_unseen")]
        rows = [{"id": f"{split}-{at}"} | order(products, sold, rng) for at in range(count)]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{folder / split}.jsonl: {count} rows")


def main() -> None:
    """Write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    for name, size in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=f"rows of it ({size})")
    options = parser.parse_args()
    make_shop(options.folder, {name: getattr(options, name) for name in SIZES}, options.seed)


if __name__ == "__main__":
    main()
