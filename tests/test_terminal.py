"""Tables show every cell whole, at any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lit_llm.terminal import show

HEAD = ["metric", "conocido", "frases nuevas que nadie ha visto", "n", "ejemplo"]
ROWS = [
    ["field_f1", "0.981", "1,234,567.125", "7", "[bold]no es marca[/bold]"],
    ["direction/es-nah/una_variante_muy_larga/chrfpp", "100.000", "0.000", "12", "日本語 y más palabras que caben"],
    ["líneas[].items[].cantidad", "0.5", "-3", "", "pedidos/enero.jsonl:123 ≈ pedidos/marzo.jsonl:4567"],
]


def cells(printed: str, columns: int) -> dict[str, list[str]]:
    """Return the cells under each title, with the lines of one cell joined; white space is left out."""
    found: dict[str, list[str]] = {}
    titles: list[str] = []
    for line in printed.splitlines():
        if line.startswith("┏"):
            titles = []
        elif line.startswith("┃"):
            parts = [part.strip() for part in line.strip("┃").split("┃")]
            titles = [a + b for a, b in zip(titles or [""] * len(parts), parts, strict=True)]
        elif line.startswith("│"):
            for title, part in zip(titles, line.strip("│").split("│"), strict=True):
                found.setdefault(title.replace(" ", ""), []).append(part.strip())
    assert len(found) == columns
    return {title: ["".join(parts).replace(" ", "")] for title, parts in found.items()}


@pytest.mark.parametrize("width", [44, 60, 80, 120, 200])
def test_every_cell_is_whole_at_every_width(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    show(console, HEAD, ROWS, texts={4}, sections={1})
    printed = console.file.getvalue()
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= width
    found = cells(printed, len(HEAD))
    for title, *column in zip(HEAD, *ROWS, strict=True):
        (shown,) = found[title.replace(" ", "")]
        whole = "".join(column).replace(" ", "")
        # The labels are said again in every block.
        assert shown == whole * (len(shown) // max(len(whole), 1))


def test_a_number_stays_on_one_line_and_what_has_no_room_goes_below() -> None:
    console = Console(file=io.StringIO(), width=60)
    show(console, HEAD[:3], [row[:3] for row in ROWS])
    printed = console.file.getvalue()
    assert printed.count("field_f1") == 2
    assert all(number in printed for row in ROWS for number in row[1:3])
