"""Prediction files for the verbs that read them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lit_llm.callbacks.prediction_file import COLUMNS

WORDS = ["in", "calli", "huei", "amo", "nicnequi", "tlen", "ipan", "altepetl", "tonalli", "xochitl", "tepetl", "atl"]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    """Write rows as ``predict`` does; what a row does not say is empty, its id its place."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        for number, row in enumerate(rows):
            meta = json.dumps(row.get("meta", {}), ensure_ascii=False)
            writer.writerow({"id": f"r{number}", "status": "ok"} | row | {"meta": meta})
    return str(path)


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., str]:
    """Write the predictions of a system that gets a share of the words wrong; the references are always the same."""

    def make(name: str, wrong: float, count: int = 250, **change: Any) -> str:
        rng, noise = random.Random(0), random.Random(name)
        rows = []
        for number in range(count):
            words = [rng.choice(WORDS) for _ in range(rng.randint(2, 15))]
            said = ["x" if noise.random() < wrong else word for word in words]
            meta = {"direction": "es-nah", "dialect": rng.choice(["huasteca", "clásico", "puebla"])}
            rows.append(
                {"text": f"es {number}", "prediction": " ".join(said), "reference": " ".join(words), "meta": meta}
            )
            rows[-1] |= change
        return write(tmp_path / f"{name}.csv", rows)

    return make
