"""What every test may use."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Set before transformers is imported: no test may wait for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

ROOT = Path(__file__).resolve().parent.parent


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Start each test from one seed, in whatever order and process it runs."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the project."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data and tokenizers, which the project does not contain."""
    folder = os.environ.get("LIT_LLM_REAL_DATA")
    if not folder:
        pytest.skip("LIT_LLM_REAL_DATA is not set")
    return Path(folder)
