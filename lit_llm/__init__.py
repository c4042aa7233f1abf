"""lit_llm: fine-tune Qwen3-family language models from YAML files, with PyTorch Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lit_llm.version import __version__

if TYPE_CHECKING:
    from lit_llm.report.answering import Answerer

__all__ = ["__version__", "load"]


def load(run: str | Path, checkpoint: str = "best") -> Answerer:
    """Open a trained run, from any folder, to ask it in Python.

    ``load("checkpoints/extraction_tiny").answer(["Quiero 2 tortas"])`` returns a ``lit_llm.batch.Prediction`` for each
    text: what ``predict`` would write.

    Args:
        run: folder of the run.
        checkpoint: ``best``, ``last``, or ``none`` for the base as it is.

    Raises:
        ConfigError: if the folder holds no run, or its checkpoint does not fit.
    """
    # Here, because `import lit_llm` must not load PyTorch.
    from lit_llm.report.answering import Answerer

    return Answerer(run, checkpoint)
