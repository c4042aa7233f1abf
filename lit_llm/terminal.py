"""Tables that a terminal of any width shows whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, JustifyMethod
    from rich.text import Text

NARROWEST = 20
"""Characters that a column of texts is not made narrower than, while another can go below."""

FRAME = 3
"""Characters that a column takes besides its text."""


def show(
    console: Console,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    labels: int = 1,
    texts: Collection[int] = (),
    left: Collection[int] = (),
    title: str = "",
    styles: Mapping[int, str] | None = None,
    sections: Collection[int] = (),
) -> None:
    """Print a table; columns that do not fit beside the others follow in a second one below, and nothing is cut.

    Args:
        console: where to print.
        head: titles of the columns.
        rows: cells of each row.
        labels: how many first columns say what a row is; every block repeats them.
        texts: further columns of texts, which may take several lines; all others hold numbers, on the right.
        left: columns of one line that stand on the left, such as bars whose blanks at the end count.
        title: of the table.
        styles: styles of rows by number.
        sections: numbers of rows before which a line is drawn.
    """
    from rich.table import Table

    texts = {*range(labels), *texts}
    widths = [max(map(_width, column)) for column in zip(head, *rows, strict=True)]
    # Labels keep their width where half of the room is enough for them.
    own = [min(width, max(NARROWEST, console.width // 2 - FRAME)) for width in widths[:labels]]
    room = console.width - 1 - sum(own) - FRAME * labels
    least = [min(width, NARROWEST if i in texts else room - FRAME) for i, width in enumerate(widths)]
    if title:
        console.print(_plain(title), style="italic", soft_wrap=True)
    for block in _blocks(least, labels, room):
        table = Table()
        for i in block:
            side: JustifyMethod = "left" if i in texts or i in left else "right"
            fixed = None if i in texts else least[i]
            table.add_column(_plain(head[i]), justify=side, overflow="fold", min_width=fixed)
        for number, row in enumerate(rows):
            if number in sections:
                table.add_section()
            table.add_row(*(_plain(row[i]) for i in block), style=(styles or {}).get(number))
        console.print(table)


def _blocks(least: Sequence[int], labels: int, room: int) -> list[list[int]]:
    """Return which columns stand together beside the labels, in so much room."""
    blocks: list[list[int]] = []
    left = 0
    for column in range(labels, len(least)):
        needed = least[column] + FRAME
        if not blocks or needed > left:
            blocks.append(list(range(labels)))
            left = room
        blocks[-1].append(column)
        left -= needed
    return blocks or [list(range(labels))]


def _plain(text: str) -> Text:
    from rich.text import Text

    # Names of fields hold brackets, which are markup elsewhere.
    return Text(text, overflow="fold")


def _width(text: str) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, text.splitlines()), default=0)
