"""Training that was stopped and taken up again, from what a checkpoint holds, ends at the same weights."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import torch

from lit_llm.adapters import Adapter


def test_resumed_training_is_exact(make: Callable[[], Adapter], prepared: Callable, train: Callable) -> None:
    adapter = make()
    straight = prepared(adapter)
    train(adapter, straight, range(1, 8), total=8)

    halted = prepared(adapter)
    optimizer = train(adapter, halted, range(1, 5), total=8)
    weights = {k: v.detach().clone() for k, v in halted.named_parameters() if v.requires_grad}
    # What a checkpoint does to the state: it must survive a load that runs no code.
    file = io.BytesIO()
    torch.save({"adapter": adapter.state_dict(halted), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    resumed_by = make()
    torch.manual_seed(0)
    resumed = without_data(resumed_by, prepared)
    resumed_by.load_state_dict(resumed, saved["adapter"])
    learned = {k: v for k, v in resumed.named_parameters() if v.requires_grad}
    assert learned.keys() == weights.keys()
    with torch.no_grad():
        for key, weight in learned.items():
            assert weight.shape == weights[key].shape
            weight.copy_(weights[key])
    optimizer = torch.optim.AdamW(learned.values(), lr=1e-2)
    optimizer.load_state_dict(copy.deepcopy(saved["optimizer"]))
    train(resumed_by, resumed, range(5, 8), total=8, optimizer=optimizer)
    for (name, a), (_, b) in zip(straight.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=lambda text, name=name: f"{name}: {text}")


def without_data(adapter: Adapter, prepared: Callable):
    """Wrap without the data that EVA saw: a resumed run does not look at it again."""
    needs_data = type(adapter).needs_data
    try:
        type(adapter).needs_data = property(lambda self: False)
        return prepared(adapter)
    finally:
        type(adapter).needs_data = needs_data
