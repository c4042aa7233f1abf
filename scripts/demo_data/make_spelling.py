"""Make clips of spelled words: recorded signs of single letters, one after the other.

    python scripts/demo_data/make_spelling.py POSES checkpoints/spelling

POSES is a folder of ``.pose`` files, each named after what it shows, such as ``A.pose``. A clip shows one to four of
them, each brought to one size and place and then varied in speed, size, turn and place, with noise; its sentence names
them in order, between spaces. Clips of validation and test show three or four, in orders that no other clip has. Writes
``features.npy``, ``manifest.csv`` and ``report.json``, as ``prepare`` does, and prints the sizes of the splits.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lit_llm.data.clips import Clip, ClipChanges, read_clip
from lit_llm.data.clips.caching import Source, cache_clips
from lit_llm.errors import DataError

SIZES = {"train": 2000, "valid": 64, "test": 128}
LENGTHS = {"train": (1, 2, 3, 4), "valid": (3, 4), "test": (3, 4)}


def spelled(letters: list[Clip], rng: random.Random) -> Clip:
    """Return the clip of some letters, each varied on its own."""
    changes = ClipChanges()
    parts = [changes.apply(letter.values, rng, is_pose=True) for letter in letters]
    return Clip(np.concatenate(parts), is_pose=True)


def sources(letters: dict[str, Clip], sizes: dict[str, int], seed: int) -> Iterator[Source]:
    """Yield the clips of all splits; those of validation and test first, so that training can avoid them."""
    rng = random.Random(seed)
    unseen: set[tuple[str, ...]] = set()
    for split in ("test", "valid", "train"):
        for number in range(sizes[split]):
            word: tuple[str, ...] | None = None
            # A word may be spelled again in training, where no two clips of it are the same.
            while word is None or word in unseen:
                word = tuple(rng.choices(sorted(letters), k=rng.choice(LENGTHS[split])))
            if split != "train":
                unseen.add(word)
            name = f"{split}-{number:04d}"
            facts = {"id": name, "text": " ".join(word), "lang": "English", "split": split, "video_id": name}
            yield Source(name, facts, lambda word=word: spelled([letters[letter] for letter in word], rng))  # type: ignore[misc]


def main() -> None:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, help="folder of .pose files, each named after what it shows")
    parser.add_argument("folder", type=Path, help="is made")
    parser.add_argument("--seed", type=int, default=0)
    for split, size in SIZES.items():
        parser.add_argument(f"--{split}", type=int, default=size, help="clips")
    options = parser.parse_args()
    sizes = {split: getattr(options, split) for split in SIZES}
    try:
        letters = {path.stem: read_clip(path) for path in sorted(options.poses.glob("*.pose"))}
    except DataError as error:
        sys.exit(f"error: {error}")
    words, unseen = (sum(len(letters) ** length for length in LENGTHS["test"]), sizes["valid"] + sizes["test"])
    if words <= unseen:
        sys.exit(
            f"error: {options.poses} holds {len(letters)} .pose files, which spell {words} words of three or four, and "
            f"{unseen} are held out: name a folder with more, or lower --valid and --test"
        )
    report = cache_clips(sources(letters, sizes, options.seed), options.folder)
    print(f"{report.kept} clips of {len(letters)} letters, {report.shortest} to {report.longest} frames")


if __name__ == "__main__":
    main()
