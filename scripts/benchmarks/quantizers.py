"""Compare bases whose weights are stored in bfloat16, NF4 and 8 bits, and rounded in training: bytes, memory, time.

    python scripts/benchmarks/quantizers.py

Layers have the shapes of Qwen3-0.6B's, with random weights. Prints, relative to bfloat16: the bytes that the linear
layers hold once loaded, the memory at the peak of a LoRA training step (each time in a process of its own), and the
time of a step; medians over turns, in each of which every base is measured once. "full, float32" trains every weight,
for comparison.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from processes import forget_peak, in_fresh_process, memory
from torch import nn

from lit_llm.adapters import Full, LoRA
from lit_llm.batch import Batch
from lit_llm.models import CausalLM, Loading
from lit_llm.quantization import NF4, QAT, Int8
from lit_llm.quantization.memory import loaded_bytes

SHAPE = {
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
"""Of Qwen3-0.6B."""

BASES: dict[str, Callable[[], dict[str, Any]]] = {
    "bf16": dict,
    "nf4": lambda: {"quantizer": NF4()},
    "int8": lambda: {"quantizer": Int8()},
    "qat int4": lambda: {"qat": QAT(bits=4)},
    "full, float32": lambda: {"adapter": Full(), "loading": Loading(dtype="float32")},
}


def opened(folder: str, base: str) -> CausalLM:
    """Return the model on a base, ready to train."""
    settings: dict[str, Any] = {
        "adapter": LoRA(r=16, target_modules="all-linear"),
        "loading": Loading(dtype="bfloat16"),
    }
    model = CausalLM(backbone=folder, **settings | BASES[base]())
    model.configure_model()
    return model


def stepper(model: CausalLM, rows: int, length: int) -> Callable[[], None]:
    """Return what makes one training step."""
    ids = torch.randint(0, 1024, (rows, length), generator=torch.Generator().manual_seed(0))
    shared: dict[str, Any] = {"ids": [""] * rows, "split": "train", "task": "none"}
    batch = Batch(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids.clone(), **shared)
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            summed, tokens = model.summed_loss(batch)
        (summed / tokens).backward()
        optimizer.step()

    return step


def linear_bytes(model: CausalLM) -> int:
    """Return the bytes of the linear layers' weights and scales, without those of an adapter and the head."""
    network = model.language_model
    head = network.get_output_embeddings()
    return sum(
        loaded_bytes(module)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and module is not head and "lora_" not in name
    )


def peak(folder: str, base: str, rows: int, length: int) -> tuple[int, int]:
    """Return the bytes of the linear layers, and the resident memory of base and two steps over an empty process's."""
    torch.set_num_threads(1)
    # What libraries load on first use belongs to no base.
    stepper(opened(folder, base), 1, 4)()
    gc.collect()
    # Memory that was freed stays with the process until it is asked for.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    before = memory("VmRSS")
    model = opened(folder, base)
    forget_peak()
    step = stepper(model, rows, length)
    step()
    step()
    return linear_bytes(model), memory("VmHWM") - before


def write_base(folder: str, layers: int) -> None:
    """Write a model of random weights with the tiny base's tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tiny = "checkpoints/qwen3-tiny"
    config = AutoConfig.from_pretrained(tiny)
    for key, value in {**SHAPE, "num_hidden_layers": layers, "layer_types": ["full_attention"] * layers}.items():
        setattr(config, key, value)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)


def main() -> None:
    """Measure every base and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_base(folder, options.layers)
        peaks: dict[str, list[tuple[int, int]]] = {base: [] for base in BASES}
        for _ in range(options.turns):
            for base in BASES:
                peaks[base].append(in_fresh_process(peak, folder, base, options.rows, options.length))
        steps = {base: stepper(opened(folder, base), options.rows, options.length) for base in BASES}
        seconds: dict[str, list[float]] = {base: [] for base in BASES}
        for turn in range(options.turns + 1):
            for base, step in steps.items():
                start = time.perf_counter()
                step()
                if turn:
                    seconds[base].append(time.perf_counter() - start)
    times = {base: statistics.median(values) for base, values in seconds.items()}
    found = {base: statistics.median_low(values) for base, values in peaks.items()}
    print(f"{options.layers} layers, {options.rows} x {options.length} tokens, relative to bf16")
    print("base            loaded bytes  memory of a step  time of a step")
    ratio = partial(_ratio, found, times)
    for base in BASES:
        print(f"{base:<15} {ratio(base)}")


def _ratio(found: dict[str, tuple[int, int]], times: dict[str, float], base: str) -> str:
    loaded, step = (found[base][at] / found["bf16"][at] for at in (0, 1))
    return f"{loaded:>12.3f}  {step:>16.2f}  {times[base] / times['bf16']:>14.2f}"


if __name__ == "__main__":
    main()
