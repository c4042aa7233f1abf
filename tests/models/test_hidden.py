"""Hidden states of a padded batch are those of its rows alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen2Config, Qwen3Config

from lit_llm.batch import IGNORE, Batch
from lit_llm.models import CausalLM

SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
SLIDING = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(
    "config",
    [Qwen3Config(**SHAPE, head_dim=8), Qwen2Config(**SHAPE), Qwen2Config(**SHAPE, **SLIDING), LlamaConfig(**SHAPE)],
    ids=["qwen3", "qwen2", "qwen2 with a sliding window", "llama"],
)
def test_padding_on_the_right_changes_no_real_position(config: PreTrainedConfig, attention: str) -> None:
    torch.manual_seed(0)
    model = CausalLM()
    network = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    model.network = network.double().eval()
    lengths = [11, 3, 1, 8]
    ids = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 64, (length,))
        mask[row, :length] = 1
    batch = Batch(["a", "b", "c", "d"], "train", "text", mask, torch.full_like(ids, IGNORE), ids)
    found = model.hidden(batch)
    for row, length in enumerate(lengths):
        alone = network.base_model(input_ids=ids[row : row + 1, :length]).last_hidden_state[0]
        torch.testing.assert_close(found[row, :length], alone, rtol=0, atol=1e-12)
