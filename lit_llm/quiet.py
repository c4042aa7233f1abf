"""Less noise: messages of libraries that are no use to a user."""

from __future__ import annotations

import logging
import os
import warnings


def quiet() -> None:
    """Silence messages of libraries that a user sees in each run and can do nothing about."""
    # Lightning calls jsonargparse, and transformers itself, by names that these have since deprecated.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", message=r"`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    # Lightning asks PyTorch's trees by a name that PyTorch has deprecated.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")
    # Metrics are gathered over processes before they are logged; to reduce them once more would change nothing.
    warnings.filterwarnings("ignore", message=r"It is recommended to use `self.log\(.*sync_dist=True")
    # Advertisements of a hosted service.
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(_no_tip)
    # The kernel is optional; without it, bitsandbytes uses its own.
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_no_kernel)
    # torchao tries every kernel that it knows, and uses names of PyTorch's that have since changed.
    logging.getLogger("torchao").addFilter(_no_attempt)
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)


def _no_attempt(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Failed to load")


def _no_tip(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("💡 Tip")


def _no_kernel(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Failed to load CPU gemm_4bit_forward")
