"""Time exact and approximate search of an index, in turns, and say what of the exact one the other finds.

    python -m lit_llm compress --run RUN --corpus FILE --output INDEX --approximate
    python scripts/benchmarks/search.py --index INDEX

Questions are the vectors of passages drawn at random, with noise whose length is ``--noise`` of theirs, so that none is
in the index; they are searched one by one, as they come in, and all at once. Printed are medians over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from lit_llm.retrieval import VectorIndex


def seconds(index: VectorIndex, asked: torch.Tensor, count: int, way: str, *, together: bool) -> float:
    """Return how long a question takes."""
    start = time.perf_counter()
    for questions in [asked] if together else asked[:, None]:
        index.search(questions, count, exact=way == "exact")
    return (time.perf_counter() - start) / len(asked)


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--count", type=int, default=10, help="passages that are wanted of each")
    parser.add_argument("--noise", type=float, default=0.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    index = VectorIndex(options.index)
    if not index.about.get("approximate"):
        parser.error(f"--index: {options.index} has no approximate search: compress it with --approximate")
    some = np.sort(np.random.default_rng(1).permutation(len(index))[: options.questions])
    torch.manual_seed(0)
    vectors = torch.from_numpy(np.array(index.flat[some])).float()
    noise = torch.nn.functional.normalize(torch.randn_like(vectors), dim=1) * vectors.norm(dim=1, keepdim=True)
    asked = vectors + options.noise * noise
    # One by one, an exact search reads the whole index each time.
    few = {"exact": asked[:5], "approximate": asked}
    found: dict[str, list[float]] = {name: [] for name in few}
    for _ in range(options.rounds):
        for name, rows in few.items():
            found[name].append(seconds(index, rows, options.count, name, together=False))
    whole, quick = (index.search(asked, options.count, exact=exact).scores for exact in (True, False))
    recall = float((quick >= whole[:, -1:] - 1e-6).double().mean())
    size = sum(path.stat().st_size for path in options.index.iterdir())
    print(f"{len(index):,} passages, {size / 2**20:,.0f} MiB: {size / len(index):,.0f} bytes a passage")
    middle = {name: statistics.median(values) for name, values in found.items()}
    for name, value in middle.items():
        at_once = seconds(index, asked, options.count, name, together=True)
        print(f"{name}: {1000 * value:.2f} ms a question, {1000 * at_once:.2f} ms of {len(asked)} at once")
    share = middle["approximate"] / middle["exact"]
    print(f"approximate: {share:.4f} of the exact one's time, recall@{options.count} {recall:.4f}")


if __name__ == "__main__":
    main()
