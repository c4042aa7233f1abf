"""Make the table of docs/weights.md: the memory that training and answering take, by base.

python scripts/tables/memory.py

Nothing is downloaded and no GPU is needed; see `lit_llm.planning`.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from results import write

from lit_llm.adapters import Full, LoRA
from lit_llm.models import Loading
from lit_llm.models.base import adamw
from lit_llm.planning import Plan
from lit_llm.planning.known import QWEN3, WIDE
from lit_llm.quantization import NF4
from lit_llm.quiet import silent

GIB = 2**30
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/weights.md"
BASES = [f"Qwen/Qwen3-{size}" for size in QWEN3] + [f"Qwen/Qwen2.5-{size}" for size in WIDE]


def row(backbone: str) -> list[str]:
    """Return the cells of one base."""
    shared = Plan(backbone, Loading(), LoRA(), adamw, None, "bf16-mixed", False, 4, 512)
    plans = [
        shared.changed(quantizer=NF4(), checkpointing=True),
        shared.changed(quantizer=NF4()),
        shared.changed(checkpointing=True),
        shared,
        shared.changed(adapter=Full(), checkpointing=True),
    ]
    needs = [plan.memory().total for plan in plans]
    needs += [plan.answering(16, 1024).total for plan in (plans[1], shared.changed(merges=True))]
    return [backbone.partition("/")[2], *(f"{needed / GIB:.1f}" for needed in needs)]


def main() -> None:
    """Write the table."""
    head = ["base", "QLoRA ✓", "QLoRA", "LoRA ✓", "LoRA", "full ✓", "answering, NF4", "answering, 16 bits"]
    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = [row(backbone) for backbone in BASES]
    lines = [head, ["---"] * len(head), *rows]
    write("memory", "\n".join(f"| {' | '.join(line)} |" for line in lines), DOCUMENT)


if __name__ == "__main__":
    main()
