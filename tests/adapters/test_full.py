"""Full fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lit_llm.adapters import Full, parameter_totals
from lit_llm.errors import ConfigError


def test_everything_learns_but_what_is_frozen(open_base: Callable) -> None:
    trainable, total = parameter_totals(Full().wrap(open_base()))
    assert trainable == total
    network = Full(frozen=["embed_tokens", "layers.0"]).wrap(open_base())
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {n for n, _ in network.named_parameters() if n.startswith(("model.embed_", "model.layers.0."))}


def test_a_frozen_name_that_fits_nothing_is_refused(open_base: Callable) -> None:
    with pytest.raises(ConfigError, match=r"adapter\.frozen: 'embed_token' .*nearest: 'embed_tokens'"):
        Full(frozen=["embed_token"]).wrap(open_base())


def test_weights_of_another_architecture_are_refused(open_base: Callable, tmp_path: Path) -> None:
    Full().save(open_base("qwen2"), tmp_path)
    with pytest.raises(ConfigError, match="another architecture"):
        Full().load(open_base("qwen3"), tmp_path)
