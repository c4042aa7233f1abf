"""How long `audit` takes over many pairs, and whether it finds what was planted among them.

    python scripts/benchmarks/audit.py                # 200,000 pairs, 100 exact and 100 near duplicates across splits

Texts are drawn from syllables, as long as sentences. Prints seconds, peak memory and what was found; the
seconds are those of one machine.
"""

from __future__ import annotations

import argparse
import random
import resource
import time

from lit_llm.data.hygiene.leakage import leakage
from lit_llm.data.tokens.dataset import Example

SYLLABLES = [c + v for c in "bcdfghjlmnpqrstvyz" for v in "aeiou"]
PLANTED = 100


def sentence(rng: random.Random) -> str:
    """Return an invented sentence of four to eighteen words."""
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(rng.randint(4, 18)))


def misspelt(rng: random.Random, text: str) -> str:
    """Double one letter."""
    at = rng.choice([k for k, letter in enumerate(text) if letter.isalpha()])
    return text[:at] + text[at] + text[at:]


def main() -> None:
    """Plant, audit and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=200_000, help="pairs in all (200,000)")
    options = parser.parse_args()
    rng = random.Random(0)
    pairs = [(sentence(rng), sentence(rng)) for _ in range(options.pairs - 2 * PLANTED)]
    exact = [(f"¡{a.upper()}!", sentence(rng)) for a, _ in rng.sample(pairs, PLANTED)]
    long = [pair for pair in pairs if len(pair[1]) > 60]
    near = [(sentence(rng), misspelt(rng, b)) for _, b in rng.sample(long, PLANTED)]
    texts = {"train": pairs, "test": [*exact, *near]}
    rows = {
        name: [Example(f"{name}-{k}", a, b, b, "", {}) for k, (a, b) in enumerate(split)]
        for name, split in texts.items()
    }
    sides = {side: {name: [pair[k] for pair in split] for name, split in texts.items()} for k, side in enumerate("ab")}
    begin = time.perf_counter()
    found = leakage(rows, sides)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{options.pairs:,} pairs, both sides: {seconds:.1f} s, peak memory {peak:.1f} GiB")
    for overlap in found.leaks:
        print(f"side {overlap.side}: {overlap.exact} exact and {overlap.near} near of {PLANTED} planted")


if __name__ == "__main__":
    main()
