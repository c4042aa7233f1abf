"""Catalogues of hostile names."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lit_llm.catalogues import Catalogue, write_catalogue

HOSTILE = [
    *("Pan", "Pan ", "pan", "Pan dulce", "Pan dulce 500 g", "Panela", "PANELA", "Pañal", "Panal"),
    *('Leche "Lala"', 'Leche "', "a\\b", "a\\", "tab\there", "línea\nnueva", "\x7f", "😀 helado", "日本茶"),
    *("é", "e\u0301", "  dos  blancos  ", "x", "x" * 300, "-", "{text}", "null", "ｆｕｌｌ"),
]


@pytest.fixture
def hostile(tmp_path: Path) -> Catalogue:
    write_catalogue(HOSTILE, tmp_path / "hostile")
    return Catalogue(tmp_path / "hostile")


@pytest.fixture(scope="session")
def products() -> list[str]:
    """Names of two to five words, many of which begin alike."""
    rng = random.Random(0)
    words = [
        "Café",
        "Té",
        "Galleta",
        "Jabón",
        "Crema",
        "Arroz",
        "molido",
        "entero",
        "rojo",
        "verde",
        "de",
        "con",
        "miel",
    ]
    sizes = ["250 g", "500 g", "1 L", "x 6", ""]
    return sorted({" ".join([*rng.choices(words, k=rng.randint(1, 4)), rng.choice(sizes)]).strip() for _ in range(700)})
