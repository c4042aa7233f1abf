"""Which number formats a run really computes in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scripts.gpu import sizes, speed


class Watch(TorchDispatchMode):
    """Notes the operations that give a tensor of a type.

    Args:
        dtype: the type.

    Attributes:
        seen: the names of these operations.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at what it gives."""
        out = func(*args, **(kwargs or {}))
        if any(isinstance(leaf, torch.Tensor) and leaf.dtype is self.dtype for leaf in tree_leaves(out)):
            self.seen.add(str(func))
        return out


def float16(folder: Path, tiny: bool) -> Mapping[str, Any]:
    """Train, answer and measure in float16, and fail where any operation gives a bfloat16 tensor."""
    if not torch.cuda.is_available():
        return {"skipped": "there is no GPU, and CPUs do not train in float16"}
    path = sizes.base(folder, sizes.NAMES[0], tiny)
    with Watch(torch.bfloat16) as watch:
        seen = speed.fit(path, folder / "float16", precision="16-mixed", steps=4, dtype="float16", tiny=tiny)
    # Weights are stored in bfloat16 here; reading and converting them is no computation.
    computed = sorted(name for name in watch.seen if not name.startswith(("aten._to_copy", "aten.empty", "aten.copy")))
    if computed:
        raise AssertionError(f"operations in bfloat16: {', '.join(computed[:10])}")
    return {"loss": seen["loss"], "operations_in_bfloat16": 0}
