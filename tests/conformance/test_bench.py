"""The smaller copy on which a large base's training is tried."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_llm.conformance import bench as benches
from lit_llm.conformance import conformance
from lit_llm.errors import UserError
from lit_llm.models import Loading
from tests import families

LONG = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 16,
    "long_factor": [2.0] * 16,
    "original_max_position_embeddings": 512,
}
LARGE: dict[str, dict[str, Any]] = {
    "qwen3": {"head_dim": 32, "num_attention_heads": 8},
    "qwen3_5": {"num_hidden_layers": 8},
    "qwen3_next": {"num_experts": 32, "num_experts_per_tok": 10},
    "granitemoe": {"num_local_experts": 16, "num_experts_per_tok": 8},
    "phi3": {"hidden_size": 256, "num_attention_heads": 8, "num_key_value_heads": 8, "rope_parameters": LONG},
}


@pytest.mark.parametrize("family", LARGE)
def test_a_copy_has_the_same_architecture_and_fewer_weights(family: str) -> None:
    config = families.config(family, **{"num_hidden_layers": 12, "intermediate_size": 4096} | LARGE[family])
    with torch.device("meta"):
        large = AutoModelForCausalLM.from_config(config)
    small = benches._smaller(large, Loading())
    assert type(small) is type(large)
    assert small.num_parameters() < large.num_parameters() / 2
    assert small.config.num_hidden_layers == 4
    kinds = getattr(large.config, "layer_types", None)
    assert not kinds or small.config.layer_types == kinds[:4]
    with torch.no_grad():
        assert bool(torch.isfinite(small(torch.arange(12)[None]).logits).all())


def test_it_is_said_when_a_copy_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "LARGE", 1000)
    found = conformance(str(families.folder(tmp_path, "llama")), Loading(), full=True)
    line = next(finding for finding in found if finding.check == "training on")
    assert line.state == "ok" and line.text.startswith("a smaller copy with random weights: LlamaForCausalLM")


def test_one_that_cannot_be_made_smaller_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benches, "LARGE", 1000)
    opened = benches.Bench(str(families.folder(tmp_path, "mamba")), Loading(attn_implementation="eager"))
    with opened as bench, pytest.raises(UserError, match="its architecture cannot be made smaller"):
        _ = bench.folder
