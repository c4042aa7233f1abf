"""``docs/models.md`` is what ``check --full`` says of tiny models of every family."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.tables import models
from tests import families

NAMED = [*families.FAMILIES, *families.REFUSED]


def rows(page: str, family: str) -> list[list[str]]:
    """Return a family's rows of both tables, with the notes in place of their numbers."""
    notes = dict(re.findall(r"^(\d+)\. (.*)$", page, re.MULTILINE))
    lines = [line.split("|") for line in page.splitlines() if line.startswith(f"| {models.NAMES[family]} ")]
    return [[re.sub(r"\((\d+)\)", lambda found: notes[found[1]], cell.strip()) for cell in line] for line in lines]


def test_the_page_has_all_families(root: Path) -> None:
    page = (root / "docs/models.md").read_text(encoding="utf-8")
    assert set(models.NAMES) == set(NAMED)
    assert page.startswith(models.INTRO)
    assert all(rows(page, family) for family in NAMED)
    assert not any("**fails**" in cell for family in families.FAMILIES for row in rows(page, family) for cell in row)
    assert all({"yes"} != set(rows(page, family)[0][2:4]) for family in families.REFUSED)


@pytest.mark.slow
@pytest.mark.parametrize("family", NAMED)
def test_a_family_does_what_the_page_says(family: str, root: Path) -> None:
    made = models.page({family: models.tried(family)})
    found, wanted = rows(made, family), rows((root / "docs/models.md").read_text(encoding="utf-8"), family)
    assert found[0] == wanted[0]
    # The second table has columns for the layers of all families.
    assert [[cell for cell in row if cell] for row in found[1:]] == [[c for c in row if c] for row in wanted[1:]]
