#!/usr/bin/env python3
r"""What a base knew before: multiple-choice questions and plain text, asked of a base and of runs that started from it.

    scripts/real_weights/probe.py BASE RUN… --arc ARC.jsonl --text XQUAD.jsonl

For each, accuracy on the questions (``acc``: the choice of the highest log-likelihood after ``Question: …\nAnswer:``;
``acc_norm``: divided by its characters, both as lm-evaluation-harness defines them) and loss on plain text in nats per
token, with 95 % intervals of a bootstrap over questions and texts. Questions have ``question``, ``choices``,
``answer_index``, ``subset`` and ``split``, of which ``test`` is asked; texts are the different values of ``context``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lit_llm.models.backbone import Loading, open_model, open_tokenizer
from lit_llm.report import open_run

BATCH_TOKENS = 2048
"""Tokens of a batch, with its padding."""


def opened(path: str) -> tuple[Any, Any]:
    """Return network and tokenizer of a run folder or a base, in float32."""
    if (Path(path) / "config.yaml").exists():
        run = open_run(path)
        model: Any = run.model
        return model.network, model.tokenizer
    loading = Loading()
    return open_model(path, loading, torch.float32).eval(), open_tokenizer(path, loading)


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSONL file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


@torch.inference_mode()
def losses(network: Any, texts: Sequence[list[int]], learned: Sequence[int], label: str) -> np.ndarray:
    """Return the summed negative log-likelihood in nats of the end of each text.

    Args:
        network: a causal LM.
        texts: token ids.
        learned: of each text, how many tokens at its end count.
        label: for the progress that is printed.
    """
    found = np.zeros(len(texts))
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    done = 0
    while done < len(order):
        size = max(1, BATCH_TOKENS // len(texts[order[min(done + 32, len(order)) - 1]]))
        places = order[done : done + min(size, 32)]
        width = max(len(texts[place]) for place in places)
        ids = torch.tensor([texts[place] + [0] * (width - len(texts[place])) for place in places])
        mask = torch.tensor([[1] * len(texts[place]) + [0] * (width - len(texts[place])) for place in places])
        logits = network(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        nats = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        for row, place in enumerate(places):
            end = len(texts[place]) - 1
            found[place] = float(nats[row, end - learned[place] : end].double().sum())
        done += len(places)
        if done % 512 < len(places):
            print(f"{label}: {done} of {len(order)}", flush=True)
    return found


def questions(network: Any, tokenizer: Any, rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Return for each question whether ``acc`` and ``acc_norm`` are right, as 0 and 1."""
    texts, learned = [], []
    for row in rows:
        start = tokenizer(f"Question: {row['question']}\nAnswer:", add_special_tokens=False).input_ids
        for choice in row["choices"]:
            whole = tokenizer(f"Question: {row['question']}\nAnswer: {choice}", add_special_tokens=False).input_ids
            texts.append(whole)
            learned.append(len(whole) - len(start))
    nats = iter(losses(network, texts, learned, "choices"))
    found: dict[str, list[bool]] = {"acc": [], "acc_norm": []}
    for row in rows:
        sums = np.array([next(nats) for _ in row["choices"]])
        found["acc"].append(sums.argmin() == row["answer_index"])
        found["acc_norm"].append((sums / [len(choice) for choice in row["choices"]]).argmin() == row["answer_index"])
    return {name: np.array(values, dtype=float) for name, values in found.items()}


def interval(tops: np.ndarray, bottoms: np.ndarray, samples: int = 1000, seed: int = 12345) -> str:
    """Return the ratio of two sums and half its 95 % interval, from a bootstrap over rows."""
    drawn = np.random.default_rng(seed).choice(len(tops), size=(samples, len(tops)))
    ratios = np.sort(tops[drawn].sum(1) / bottoms[drawn].sum(1))
    half = (ratios[samples - samples // 40 - 1] - ratios[samples // 40]) / 2
    return f"{tops.sum() / bottoms.sum():.3f} ± {half:.3f}"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", help="folders of bases and runs")
    parser.add_argument("--arc", type=Path, required=True, help="JSONL of questions with choices")
    parser.add_argument("--text", type=Path, required=True, help="JSONL whose different values of context are read")
    parser.add_argument("--limit", type=int, help="so many questions of each subset, and texts")
    options = parser.parse_args()
    asked = [row for row in read(options.arc) if row.get("split", "test") == "test"]
    subsets = {name: [row for row in asked if row["subset"] == name] for name in sorted({r["subset"] for r in asked})}
    texts = list(dict.fromkeys(row["context"] for row in read(options.text) if row.get("lang", "en") == "en"))
    scores = [
        f"{name} {score} (n {len(rows[: options.limit])})"
        for name, rows in subsets.items()
        for score in ("acc", "acc_norm")
    ]
    head = ["", *scores, f"nats per token (n {len(texts[: options.limit])})"]
    lines = [f"| {' | '.join(head)} |", f"{'|---' * len(head)}|"]
    for path in options.paths:
        network, tokenizer = opened(path)
        cells = []
        for rows in subsets.values():
            for right in questions(network, tokenizer, rows[: options.limit]).values():
                cells.append(interval(right, np.ones_like(right)))
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in texts[: options.limit]]
        lengths = [len(one) - 1 for one in ids]
        cells.append(interval(losses(network, ids, lengths, "texts"), np.array(lengths, dtype=float)))
        lines.append(f"| {Path(path).name} | {' | '.join(cells)} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
