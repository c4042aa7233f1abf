"""Make generated signs: clips of features whose signs stand in another order than the words of their sentence.

    python scripts/demo_data/make_signs.py checkpoints/signs

Twelve signs are the twelve ways from one of four poses to another, in a space of 24 numbers, five to seven frames long
and with noise: a single frame does not tell which sign it belongs to. A clip shows three to five of them; its sentence
names them from the last to the first. No two clips show the same signs in the same order. Writes an array of features
for each clip, ``manifest.csv`` for all splits, and prints their sizes.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from pathlib import Path

import numpy as np

WORDS = ["bird", "tree", "river", "house", "bread", "child", "night", "stone", "wind", "fire", "road", "moon"]
WAYS = list(itertools.permutations(range(4), 2))
SIZES = {"train": 3000, "valid": 64, "test": 64}
FEATURES = 24
NOISE = 0.3


def clip(signs: list[int], poses: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``[L, FEATURES]`` float32 frames of some signs, one after the other."""
    parts = []
    for sign in signs:
        way = np.linspace(0, 1, rng.integers(5, 8))[:, None]
        start, end = WAYS[sign]
        parts.append(poses[start] * (1 - way) + poses[end] * way)
    frames = np.concatenate(parts)
    return (frames + rng.normal(0, NOISE, frames.shape)).astype(np.float32)


def make_signs(folder: Path, sizes: dict[str, int], seed: int) -> None:
    """Write clips and their manifest."""
    rng = np.random.default_rng(seed)
    poses = rng.normal(0, 1, (4, FEATURES))
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    seen: set[tuple[int, ...]] = set()
    rows = []
    for split, size in sizes.items():
        while size:
            signs = [int(sign) for sign in rng.choice(len(WORDS), rng.integers(3, 6), replace=False)]
            if tuple(signs) in seen:
                continue
            seen.add(tuple(signs))
            size -= 1
            frames = clip(signs, poses, rng)
            name = f"{split}-{size:04d}"
            np.save(folder / "clips" / f"{name}.npy", frames)
            text = " ".join(WORDS[sign] for sign in reversed(signs))
            rows.append([name, f"clips/{name}.npy", text, "English", split, name, len(frames)])
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "text", "lang", "split", "video_id", "length"])
        writer.writerows(rows)


def main() -> None:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="is made")
    parser.add_argument("--seed", type=int, default=0)
    for split, size in SIZES.items():
        parser.add_argument(f"--{split}", type=int, default=size, help="clips")
    options = parser.parse_args()
    sizes = {split: getattr(options, split) for split in SIZES}
    make_signs(options.folder, sizes, options.seed)
    print(", ".join(f"{split}: {size}" for split, size in sizes.items()))


if __name__ == "__main__":
    main()
