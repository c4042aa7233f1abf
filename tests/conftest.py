"""What every test may use."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

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


LONGEST = ("test_sign_guide.py", "test_demo.py")
"""Files of minutes, which begin first, so that no process is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    """Start each test from one seed, in whatever order and process it runs."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep encoded rows where the tests end, and not where the user's are."""
    os.environ["LIT_LLM_CACHE"] = str(tmp_path_factory.mktemp("cache"))


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


@pytest.fixture(scope="session")
def qwen_tokenizer(real_data: Path) -> Any:
    """The real tokenizer of Qwen3; it is shared, so nothing may change it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(real_data / "tokenizers" / "qwen3")


@pytest.fixture(scope="session")
def short_runs(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of two steps on the tiny base: ``plain``, and ``aware`` of 4 bits."""
    from tests import short_runs

    folder = tmp_path_factory.mktemp("runs")
    rows = [{"id": f"r{k}", "text": f"quiero {k} panes", "json": {"n": k}} for k in range(8)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = str(folder / "rows.jsonl")
    data = {"train": file, "test": {"one": file}, "batch_size": 4}
    settings = {
        "backbone": str(root / "checkpoints/qwen3-tiny"),
        "generator": {"class_path": "lit_llm.generation.Generator", "init_args": {"max_new_tokens": 12}},
    }
    for name, qat in {"plain": None, "aware": {"class_path": "lit_llm.quantization.QAT"}}.items():
        short_runs.fit(folder / name, data, **settings, qat=qat)
    return folder
