"""Vectors in the place of tokens."""

from __future__ import annotations

import pytest
import torch

from lit_llm.models.compressing import filled


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_vectors_stand_in_their_slots_as_large_as_words(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    words = torch.nn.Embedding(50, 8).to(dtype)
    vectors = (torch.randn(3, 2, 8) * torch.tensor([100.0, 1.0, 0.0])[:, None, None]).to(dtype)
    ids = torch.arange(12).view(3, 4)
    slots = torch.tensor([[0, 1, 1, 0]] * 3).bool()
    plain = filled(words, ids, slots, vectors, level=False)
    level = filled(words, ids, slots, vectors, level=True)
    assert torch.equal(plain[slots].view(vectors.shape), vectors)
    assert torch.equal(plain[~slots], words(ids)[~slots]) and torch.equal(level[~slots], words(ids)[~slots])
    assert level.dtype == dtype
    found = level[slots].view(vectors.shape).float()
    size = words.weight.float().pow(2).mean().sqrt()
    close = {"rtol": 2e-2, "atol": 2e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found[:2].pow(2).mean(-1).sqrt(), size.expand(2, 2), **close)
    torch.testing.assert_close(
        torch.nn.functional.cosine_similarity(found[:2], vectors[:2].float(), dim=-1), torch.ones(2, 2), **close
    )
    assert not found[2].any(), "zeros are no vectors of any direction"
