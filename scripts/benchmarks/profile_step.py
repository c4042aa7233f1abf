"""Print where a training step's time goes: products, casts, softmax and loss, attention, and what is not arithmetic.

    python scripts/benchmarks/profile_step.py                          # float32 and bfloat16
    python scripts/benchmarks/profile_step.py --precision 32-true --width 1024 --layers 8 --rows 4

The model is a Qwen3 of random weights under LoRA, the rows are random tokens of unlike lengths, and the trainer is
Lightning's, as in a run. Times are the operations' own, summed over all threads' waits; the rest of the step is Python,
Lightning and autograd. At the end, products of the same shapes are timed alone.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import defaultdict
from typing import Any

import torch
from bases import add_shape, bare_trainer, overrides
from lightning.pytorch import Callback, seed_everything
from torch.profiler import ProfilerActivity, profile

from lit_llm.adapters import LoRA
from lit_llm.batch import IGNORE, Batch
from lit_llm.models import CausalLM, Loading
from lit_llm.quiet import quiet

GROUPS: dict[str, tuple[str, ...]] = {
    "products": ("mm", "addmm", "bmm", "baddbmm", "linear", "matmul", "mkldnn_linear"),
    "attention": ("flash_attention", "scaled_dot_product"),
    "softmax and loss": ("softmax", "nll_loss", "logsumexp", "cross_entropy", "gather", "scatter", "max"),
    "copies and casts": (
        "copy_",
        "_to_copy",
        "clone",
        "cat",
        "contiguous",
        "index",
        "index_put",
        "empty_like",
        "slice",
    ),
    "random numbers": ("bernoulli", "random", "uniform", "normal"),
    "zeros": ("fill_", "zero_", "zeros", "new_zeros"),
    "optimizer": ("_fused_adam", "_foreach", "addcdiv", "addcmul", "lerp"),
    "norms": ("rms_norm", "rsqrt", "mean", "pow", "norm"),
    "products of elements": ("mul", "add", "sub", "div", "neg", "silu", "sigmoid", "exp", "sum", "cos", "sin"),
}
"""Names of operations, or their starts, by what they do; the first group that fits counts."""

ROUNDS = 5
"""How often each product is timed alone."""


def group_of(name: str) -> str:
    """Return the group of an operation of ATen."""
    plain = name.removeprefix("aten::").strip("_")
    for group, names in GROUPS.items():
        if plain in {known.strip("_") for known in names}:
            return group
    for group, names in GROUPS.items():
        if any(plain.startswith(known.strip("_")) for known in names):
            return group
    return "others"


def batches(options: argparse.Namespace, vocabulary: int, count: int) -> list[Batch]:
    """Return batches of random tokens whose last third is learned, lengths within a quarter of ``--length``."""
    draw = random.Random(0)
    found = []
    for number in range(count):
        width = draw.randrange(options.length * 3 // 4, options.length + 1, 8)
        ids = torch.randint(0, vocabulary, (options.rows, width))
        labels = ids.clone()
        labels[:, : width * 2 // 3] = IGNORE
        names = [f"{number}-{row}" for row in range(options.rows)]
        found.append(Batch(names, "train", "text", torch.ones_like(ids), labels, ids))
    return found


class Watch(Callback):
    """Times steps, and profiles those of the second half."""

    def __init__(self, steps: int) -> None:
        self.steps, self.seconds = steps, list[float]()
        self.profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Begin to count."""
        if batch_idx == self.steps:
            self.profiler.start()
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """End."""
        self.seconds.append(time.perf_counter() - self.start)
        if batch_idx == 2 * self.steps - 1:
            self.profiler.stop()


def measured(options: argparse.Namespace, precision: str) -> None:
    """Train, and print the table of one precision."""
    seed_everything(0, verbose=False)
    base = {"backbone": options.backbone} if options.backbone else {}
    model = CausalLM(
        **base,
        adapter=LoRA(dropout=options.dropout),
        loading=Loading() if options.backbone else Loading(random_init=True, config_overrides=overrides(options)),
        gradient_checkpointing=options.checkpointing,
    )
    watch = Watch(options.steps)
    with tempfile.TemporaryDirectory() as folder:
        trainer = bare_trainer(folder, 2 * options.steps, precision, watch)
        vocabulary = len(model.tokenizer) if options.backbone else options.vocabulary
        rows = batches(options, vocabulary, 2 * options.steps)
        trainer.fit(model, torch.utils.data.DataLoader(rows, batch_size=None))
    events = [e for e in watch.profiler.key_averages() if e.key.startswith("aten::")]
    spent: dict[str, float] = defaultdict(float)
    names: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for event in events:
        own = event.self_cpu_time_total / 1e3 / options.steps
        spent[group_of(event.key)] += own
        names[group_of(event.key)].append((own, f"{event.key.removeprefix('aten::')} ×{event.count // options.steps}"))
    plain = sorted(watch.seconds[2 : options.steps])
    whole = 1e3 * sum(watch.seconds[options.steps :]) / options.steps
    spent["Python, Lightning, autograd"] = whole - sum(spent.values())
    print(f"\n{precision}: {1e3 * plain[len(plain) // 2]:.0f} ms a step (median), {whole:.0f} ms while profiled")
    for group, milliseconds in sorted(spent.items(), key=lambda item: -item[1]):
        largest = ", ".join(f"{name} {own:.0f}" for own, name in sorted(names[group], reverse=True)[:4])
        print(f"{group:<28} {milliseconds:7.0f} ms {milliseconds / whole:6.1%}   {largest}")
    dtype = torch.bfloat16 if precision.startswith("bf16") else torch.float32
    bare, inside = against_bare(watch.profiler.key_averages(group_by_input_shape=True), dtype, options.steps)
    print(
        f"products of two matrices take {inside:.0f} ms, and {bare:.0f} ms alone: {bare / inside:.0%} of the bare rate"
    )


def against_bare(events: Any, dtype: torch.dtype, steps: int) -> tuple[float, float]:
    """Return the milliseconds a step that its products would take alone, the best of a few, and those they took."""
    bare = inside = 0.0
    for event in events:
        if event.key != "aten::mm":
            continue
        left, right = (torch.randn(shape, dtype=dtype) for shape in event.input_shapes[:2])
        best = min(_seconds(left, right) for _ in range(ROUNDS))
        bare += 1e3 * best * event.count / steps
        inside += event.self_cpu_time_total / 1e3 / steps
    return bare, inside


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    start = time.perf_counter()
    torch.mm(left, right)
    return time.perf_counter() - start


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", nargs="+", default=["32-true", "bf16-mixed"])
    add_shape(parser)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--length", type=int, default=128, help="tokens of the longest row")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--steps", type=int, default=6, help="steps that are timed, and as many that are profiled")
    options = parser.parse_args()
    if options.steps < 3:
        parser.error(f"--steps: {options.steps} are too few: the first two of 3 or more are left out")
    quiet()
    for precision in options.precision:
        measured(options, precision)


if __name__ == "__main__":
    main()
