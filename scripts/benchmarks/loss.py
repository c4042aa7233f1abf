"""Compare the loss at labelled positions, in chunks, with plain cross-entropy over every position.

Both sides start from the same hidden states and end with gradients of states and head, in turns in one process for the
times, and each in a process of its own for the peak of memory. Prints values, the largest difference of the gradients,
and ratios.

    python scripts/benchmarks/loss.py --vocabulary 151936
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from processes import forget_peak, in_fresh_process, memory
from torch import Tensor, nn

from lit_llm.batch import IGNORE
from lit_llm.models.loss import chunked_cross_entropy, labelled_states

Gradients = tuple[Tensor, ...]


def inputs(options: argparse.Namespace) -> tuple[Tensor, nn.Linear, Tensor]:
    """Return hidden states ``[B, T, D]``, a head, and labels of which the last share of each row is learned."""
    torch.manual_seed(0)
    hidden = torch.randn(options.rows, options.length, options.width, requires_grad=True)
    head = nn.Linear(options.width, options.vocabulary, bias=False).requires_grad_(options.train_head)
    labels = torch.randint(0, options.vocabulary, (options.rows, options.length))
    labels[:, : int(options.length * (1 - options.labelled))] = IGNORE
    return hidden, head, labels


def gradients(loss: Tensor, hidden: Tensor, head: nn.Linear) -> tuple[Tensor, ...]:
    """Return the gradients of what learns."""
    return torch.autograd.grad(loss, [w for w in (hidden, head.weight) if w.requires_grad])


def plain(hidden: Tensor, head: nn.Linear, labels: Tensor) -> Gradients:
    """Logits of all positions, then cross-entropy that ignores the masked ones."""
    logits = head(hidden)[:, :-1].flatten(0, 1)
    loss = F.cross_entropy(logits.float(), labels[:, 1:].flatten(), reduction="sum", ignore_index=IGNORE)
    return loss.detach(), *gradients(loss, hidden, head)


def labelled(hidden: Tensor, head: nn.Linear, labels: Tensor) -> Gradients:
    """What lit_llm trains with."""
    states, targets = labelled_states(hidden, labels)
    loss = chunked_cross_entropy(states, targets, head)
    return loss.detach(), *gradients(loss, hidden, head)


def peak(side: Callable[..., Gradients], options: argparse.Namespace) -> int:
    """Return how far the side raises the resident memory of this process over that of its inputs, in bytes."""
    given = inputs(options)
    forget_peak()
    before = memory("VmRSS")
    side(*given)
    return memory("VmHWM") - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--labelled", type=float, default=0.3, help="share of positions that are learned")
    parser.add_argument("--train_head", action="store_true", help="the head learns too, as in full fine-tuning")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    given = inputs(options)
    theirs, ours = plain(*given), labelled(*given)
    print(f"loss: plain {theirs[0]:.4f}, labelled {ours[0]:.4f}")
    for name, a, b in zip(("states", "head"), theirs[1:], ours[1:], strict=False):
        print(f"gradient of {name}: largest difference {float((a - b).abs().max() / a.abs().max()):.1e} of its size")
    times: dict[str, list[float]] = {"plain": [], "labelled": []}
    for _ in range(options.repeats):
        for name, side in (("plain", plain), ("labelled", labelled)):
            start = time.perf_counter()
            side(*given)
            times[name].append(time.perf_counter() - start)
    ratios = [a / b for a, b in zip(times["plain"], times["labelled"], strict=True)]
    peaks = {name: in_fresh_process(peak, side, options) for name, side in (("plain", plain), ("labelled", labelled))}
    print(f"time: plain / labelled = {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
    print(
        f"peak memory above the inputs: plain {peaks['plain'] / 2**20:.0f} MiB, labelled "
        f"{peaks['labelled'] / 2**20:.0f} MiB, ratio {peaks['plain'] / peaks['labelled']:.1f}"
    )


if __name__ == "__main__":
    main()
