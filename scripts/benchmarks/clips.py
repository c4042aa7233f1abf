"""Measure how long a large manifest of clips takes to set up, and how much memory.

    python scripts/benchmarks/clips.py --clips 120000

Writes a manifest and an array of that many clips into a temporary folder; the array has no content, takes no space and
reads as zeros. Prints the seconds from the manifest to a data module that is ready to train, those from there to the
first batch, and the memory of the process: before the set-up, and its peak.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from lit_llm.data.clips import POINTS

WORDS = [
    f"{a}{b}{c}" for a in ("ka", "lo", "mi", "ter", "su") for b in ("na", "ri", "vo", "pel") for c in ("", "s", "do")
]
FRAMES = (22, 438)
"""Fewest and most frames of a clip; iSign's have 218 on average."""


def write(folder: Path, clips: int) -> None:
    """Write ``manifest.csv``, ``features.npy`` and ``features.json``."""
    rng = random.Random(0)
    start = 0
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "path", "text", "lang", "split", "video_id", "length", "key"])
        for at in range(clips):
            video = at // 20
            split = {0: "valid", 1: "test"}.get(video % 20, "train")
            length = round(rng.triangular(*FRAMES, 190))
            text = " ".join(rng.choices(WORDS, k=rng.randint(5, 19)))
            rows.writerow([f"v{video}-{at}", "features.npy", text, "English", split, f"v{video}", length, start])
            start += length
    size = 2 * len(POINTS)
    with (folder / "features.npy").open("wb") as array:
        np.lib.format.write_array_header_1_0(
            array, {"descr": np.dtype("float16").str, "fortran_order": False, "shape": (start, size)}
        )
        array.truncate(array.tell() + start * size * 2)
    (folder / "features.json").write_text(json.dumps({"kind": "pose", "points": POINTS}))


def peak() -> float:
    """Return the most memory that the process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=120_000)
    parser.add_argument("--tokenizer", default="checkpoints/qwen3-tiny", help="folder or hub id")
    options = parser.parse_args()
    from transformers import AutoTokenizer

    from lit_llm.data import ClipChanges, SignData

    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.clips)
        manifest = f"{folder}/manifest.csv"
        data = SignData(train=manifest, valid=manifest, changes=ClipChanges(), batch_size=4, overflow="drop")
        data.tokenizer = tokenizer
        before, start = peak(), time.perf_counter()
        data.setup("fit")
        ready = time.perf_counter()
        batch = next(iter(data.train_dataloader()))
        first = time.perf_counter()
        rows = ", ".join(f"{name} {len(split):,}" for name, split in data.splits.items())
        print(f"{options.clips:,} clips: {rows}; first batch {tuple(batch.features.values.shape)}")
        print(f"set-up {ready - start:.1f} s, then {first - ready:.1f} s to the first batch")
        print(f"memory {before:.0f} MiB before set-up, {peak():.0f} MiB at its peak")


if __name__ == "__main__":
    main()
