"""What it costs to hold names to a catalogue of a million while answers are written, beside answers that are free.

    python scripts/benchmarks/catalogue.py --run checkpoints/extraction_tiny --field 'items[].prod'

Makes names, lays them out as a catalogue, opens it in a fresh process and looks a name up; then answers the same rows
without a constraint, with the schema alone and with the schema and the catalogue, in turns. Answers differ in length,
so what compares is the time of a token. Exit status 1 if a name is written that is not in the catalogue.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inference import Loaded, load

from lit_llm.catalogues import Catalogue, field_path, names_at, write_catalogue
from lit_llm.generation import Generation, Generator, JsonSchemaConstraint, generate_rows
from lit_llm.quiet import quiet

SYLLABLES = [c + v for c in "bcdfglmnprstv" for v in "aeiou"]
KINDS = ["Galleta", "Jabón", "Café", "Crema", "Refresco", "Arroz", "Queso", "Champú", "Pan", "Aceite"]
OPEN = """
import sys, time
from pathlib import Path
from lit_llm.catalogues import Catalogue
begin = time.perf_counter()
catalogue = Catalogue(Path(sys.argv[1]))
found = sys.argv[2] in catalogue
print(time.perf_counter() - begin, found)
"""


def names(count: int) -> Iterator[str]:
    """Yield names of products, of which many begin alike; each is another."""
    rng = random.Random(0)
    seen: set[str] = set()
    while len(seen) < count:
        brand = "".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize()
        taste = "".join(rng.choices(SYLLABLES, k=2))
        name = f"{rng.choice(KINDS)} {brand} {taste} {rng.choice([50, 100, 250, 500, 900])} {rng.choice(['g', 'ml'])}"
        if name not in seen:
            seen.add(name)
            yield name


def answered(
    loaded: Loaded, generator: Generator, meta: list[dict[str, Any]], batch: int
) -> tuple[float, list[Generation]]:
    """Return the seconds of a token, and the answers."""
    begin = time.perf_counter()
    prompts = [row.prompt for row in loaded.rows]
    answers = generate_rows(generator, loaded.model, loaded.tokenizer, prompts, meta, batch)
    return (time.perf_counter() - begin) / sum(answer.new_tokens for answer in answers), answers


def main() -> None:
    """Build, answer and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", help="folder of a run of extraction")
    parser.add_argument("--backbone", default="checkpoints/qwen3-tiny", help="or a base, with --data and --schema")
    parser.add_argument("--data", default="configs/data/orders/test_known.jsonl")
    parser.add_argument("--schema", default="configs/data/orders/schema.json")
    parser.add_argument("--field", default="items[].prod", help="whose values are names")
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="answer on the CPU even where there is a GPU")
    options = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "catalogue"
        begin = time.perf_counter()
        count = write_catalogue(names(options.names), place)
        size = sum(file.stat().st_size for file in place.iterdir())
        print(f"{count:,} names laid out in {time.perf_counter() - begin:.1f} s: {size / 2**20:.0f} MiB on disk")
        name = next(names(1))
        opened = subprocess.run(
            [sys.executable, "-c", OPEN, str(place), name], capture_output=True, text=True, check=True
        )
        seconds, found = opened.stdout.split()
        print(f"opened and one name looked up in {float(seconds) * 1000:.1f} ms (found: {found})")
        compare(load(options), place, options)


def compare(loaded: Loaded, place: Path, options: argparse.Namespace) -> None:
    """Answer in three ways, in turns, and print the time of a token of each."""
    catalogue, path = Catalogue.opened(str(place)), field_path(options.field, "--field")
    schemas = [{} if row.schema is None else {"schema": row.schema} for row in loaded.rows]
    rule = {options.field: {"folder": str(place), "missing": None, "most_distance": 1.0}}
    held = {"stop": "json", "max_new_tokens": 160, "constraint": JsonSchemaConstraint()}
    ways: dict[str, tuple[Generator, list[dict[str, Any]]]] = {
        "free": (Generator(max_new_tokens=160, stop="json"), schemas),
        "schema": (Generator(**held), schemas),
        "catalogue": (Generator(**held), [own | {"catalogues": rule} for own in schemas]),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(options.rounds + 1):
        for way, (generator, meta) in ways.items():
            seconds, answers = answered(loaded, generator, meta, options.batch)
            # The first round fills caches, of all three; it is printed apart.
            if turn:
                times[way].append(seconds)
            else:
                print(f"first time, {way}: {seconds * 1000:.3f} ms a token")
    whole = [json.loads(answer.text) for answer in answers if answer.finished]
    written = [name for value in whole for name in names_at(value, path)]
    for way, found in times.items():
        ratio = statistics.median(found) / statistics.median(times["free"])
        print(f"{way}: {statistics.median(found) * 1000:.3f} ms a token, {ratio:.2f}x free")
    wrong = [name for name in written if name not in catalogue]
    print(f"{len(written)} names written in {len(whole)} whole answers, {len(wrong)} of them not in the catalogue")
    sys.exit(1 if wrong or not written else 0)


if __name__ == "__main__":
    main()
