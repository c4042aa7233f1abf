"""Less noise: messages of libraries that are no use to a user."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LIGHTNING = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")
"""Who says what Lightning does."""

TOKENIZERS = ("transformers.tokenization_utils_base", "transformers.tokenization_utils")
"""Who compares a text with the length that a tokenizer was made for."""


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
    for name in LIGHTNING:
        logging.getLogger(name).addFilter(_no_tip)
    # The kernel is optional; without it, bitsandbytes uses its own.
    logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(_no_kernel)
    # torchao tries every kernel that it knows, and uses names of PyTorch's that have since changed.
    logging.getLogger("torchao").addFilter(_no_attempt)
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    # How long a row may be is checked here, and said of the row.
    for name in TOKENIZERS:
        logging.getLogger(name).addFilter(_no_length)
    # Kernels for linear attention are for GPUs; only there can a user gain by installing them.
    logging.getLogger("transformers.integrations.hub_kernels").addFilter(_on_a_gpu)


@contextmanager
def silent() -> Iterator[None]:
    """Let the libraries say nothing but warnings meanwhile, and show no progress of loading."""
    from transformers.utils import logging as transformers_logging

    loggers = [logging.getLogger(name) for name in LIGHTNING]
    levels, shown = [logger.level for logger in loggers], transformers_logging.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if shown:
            transformers_logging.enable_progress_bar()


def _on_a_gpu(record: logging.LogRecord) -> bool:
    if "falling back to its reference PyTorch implementation" not in record.getMessage():
        return True
    import torch

    return torch.cuda.is_available()


def _no_attempt(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Failed to load")


def _no_length(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Token indices sequence length is longer")


def _no_tip(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("💡 Tip")


def _no_kernel(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Failed to load CPU gemm_4bit_forward")
