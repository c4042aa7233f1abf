"""What models do to the logits of their heads is measured, and the loss is theirs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_llm.batch import IGNORE, Batch
from lit_llm.errors import ConfigError
from lit_llm.models import CausalLM
from lit_llm.models.head import AfterHead, after_head

SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
FAMILIES: dict[str, tuple[dict[str, Any], AfterHead]] = {
    "Qwen3": ({"head_dim": 8}, AfterHead()),
    "Granite": ({"logits_scaling": 6.0}, AfterHead(1 / 6)),
    "GraniteMoe": ({"logits_scaling": 16.0, "num_local_experts": 4}, AfterHead(1 / 16)),
    "Cohere": ({"logit_scale": 0.3}, AfterHead(0.3)),
    "Cohere2": ({"logit_scale": 1.7}, AfterHead(1.7)),
    "Gemma2": ({"head_dim": 8, "final_logit_softcapping": 5.0}, AfterHead(cap=5.0)),
    "RecurrentGemma": ({"logits_soft_cap": 3.0}, AfterHead(cap=3.0)),
    "OPT": ({"ffn_dim": 48, "word_embed_proj_dim": 32}, AfterHead()),
}


def build(family: str, **changed: Any) -> PreTrainedModel:
    config = getattr(transformers, f"{family}Config")(**SHAPE | FAMILIES.get(family, ({}, None))[0] | changed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    for weight in model.get_output_embeddings().parameters():
        weight.data *= 100
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_factor_and_cap_are_found(family: str, dtype: torch.dtype) -> None:
    found, wanted = after_head(build(family).to(dtype)), FAMILIES[family][1]
    assert found.scale == pytest.approx(wanted.scale, rel=1e-6)
    assert found.cap == (None if wanted.cap is None else pytest.approx(wanted.cap, rel=1e-6))


@pytest.mark.parametrize("family", ["Granite", "Cohere2", "Gemma2", "Qwen3"])
def test_the_loss_is_the_models_own(family: str, tmp_path: Any) -> None:
    base = build(family)
    base.save_pretrained(tmp_path)
    model = CausalLM(backbone=str(tmp_path))
    model.loading.attn_implementation = "eager"
    model.configure_model()
    ids = torch.randint(3, 64, (2, 9))
    batch = Batch(["a", "b"], "train", "text", torch.ones_like(ids), ids.masked_fill(ids % 3 == 0, IGNORE), ids)
    summed, tokens = model.summed_loss(batch)
    theirs = base.eval()(input_ids=ids, labels=batch.labels).loss
    torch.testing.assert_close(summed / tokens, theirs, rtol=1e-5, atol=1e-5)


def test_a_base_that_bends_its_hidden_states_is_refused_before_training(tmp_path: Any) -> None:
    build("MiniCPM3", num_key_value_heads=4).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"MiniCPM3ForCausalLM .*not given the decoder's last hidden states as"):
        CausalLM(backbone=str(tmp_path)).configure_model()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda logits: logits + 1, "more than a factor"),
        (lambda logits: logits.clamp(-9, 9), "more than a factor"),
        (lambda logits: logits * torch.linspace(1, 2, logits.shape[-1]), "more than a factor"),
        (lambda logits: -logits, "multiplies the logits of its head by -1"),
        (lambda logits: logits[..., :-1], "turns 28 logits"),
    ],
)
def test_another_change_of_logits_is_refused(change: Any, reason: str) -> None:
    model = build("Qwen3")
    plain = model.forward

    def changed(**inputs: Any) -> Any:
        answer = plain(**inputs)
        answer.logits = change(answer.logits)
        return answer

    model.forward = changed
    with pytest.raises(ConfigError, match=reason):
        after_head(model)


def test_the_model_computes_as_before() -> None:
    model = build("Gemma2").eval()
    ids = torch.arange(3, 9)[None]
    head: nn.Module = model.get_output_embeddings()
    head.forward = own = head.forward
    before = model(ids).logits
    after_head(model)
    torch.testing.assert_close(model(ids).logits, before, rtol=0, atol=0)
    assert vars(head)["forward"] == own and "forward" not in vars(model.base_model)
