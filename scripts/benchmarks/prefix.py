"""Time prompts that begin alike, with what they share read once and read in every row, in one process, in turns.

python scripts/benchmarks/prefix.py --run checkpoints/extraction_tiny

Puts tokens before each prompt that are the same in all, as a long instruction or examples would be. Prints what
reading the prompts takes (one token is written) and what whole answers take. Exit status 1 if a text differs.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch
from inference import Loaded, begin, options

from lit_llm.generation import Generation, Generator, generate_rows


def prompts(loaded: Loaded, shared: int) -> list[list[int]]:
    """Return the prompts behind so many tokens of the first ones, which stand for an instruction."""
    pool = [token for row in loaded.rows for token in row.prompt]
    first = (pool * (1 + shared // max(1, len(pool))))[:shared]
    return [first + row.prompt for row in loaded.rows]


def compared(loaded: Loaded, shared: int, size: int, rounds: int, most: int) -> bool:
    """Print how much sooner answers of up to ``most`` tokens come; return whether they are the same."""
    rows = prompts(loaded, shared)
    seconds: dict[bool, list[float]] = {False: [], True: []}
    found: dict[bool, list[Generation]] = {}
    for turn in range(rounds + 1):
        for once in (False, True):
            generator = Generator(max_new_tokens=most, stop="json", share_prompt=once)
            start = time.perf_counter()
            found[once] = generate_rows(generator, loaded.model, loaded.tokenizer, rows, batch_size=size)
            if turn:  # the first is to warm up
                seconds[once].append(time.perf_counter() - start)
    ratio = statistics.median(a / b for a, b in zip(seconds[False], seconds[True], strict=True))
    equal = sum(a.text == b.text for a, b in zip(found[False], found[True], strict=True))
    each, once_read = (statistics.median(seconds[once]) for once in (False, True))
    print(
        f"{shared:>7}{size:>7}{most:>8}{each:>12.2f}{once_read:>12.2f}{ratio:>7.2f}×{equal:>8} of {len(rows)}",
        flush=True,
    )
    return equal == len(rows)


def main() -> int:
    """Measure and print."""
    parser = options(__doc__, rows=128, rounds=3, threads=1)
    parser.add_argument("--batch-size", type=int, default=32, help="rows decoded together (default 32)")
    parser.add_argument("--shared", type=int, nargs="+", default=[0, 100, 300], help="default 0 100 300")
    parser.add_argument("--max-new-tokens", type=int, default=128, help="longest answer (default 128)")
    arguments, loaded = begin(parser)
    print(f"{loaded.model.dtype}, {loaded.model.device.type}, {torch.get_num_threads()} threads")
    print(f"{'shared':>7}{'batch':>7}{'tokens':>8}{'each s':>12}{'once s':>12}{'ratio':>8}{'same texts':>14}")
    same = True
    for shared in arguments.shared:
        for most in (1, arguments.max_new_tokens):
            same &= compared(loaded, shared, arguments.batch_size, arguments.rounds, most)
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
