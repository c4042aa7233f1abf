"""Schedules hit their landmarks, and weight decay spares norms and biases."""

from __future__ import annotations

from itertools import pairwise

import pytest
from torch import nn

from lit_llm.errors import ConfigError
from lit_llm.models.schedule import Schedule, parameter_groups


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("cosine", 10, 1.0),
        ("cosine", 55, 0.5),
        ("cosine", 100, 0.0),
        ("linear", 55, 0.5),
        ("linear", 100, 0.0),
        ("constant", 99, 1.0),
        ("wsd", 79, 1.0),
        ("wsd", 90, 0.5),
        ("wsd", 100, 0.0),
    ],
)
@pytest.mark.parametrize("warmup", [10, 0.1])
def test_landmarks(name: str, step: int, expected: float, warmup: float) -> None:
    schedule = Schedule(name=name, warmup=warmup)  # type: ignore[arg-type]
    assert schedule.factor(step, 100) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["cosine", "linear", "constant", "wsd"])
def test_warm_up_rises_evenly_and_the_end_is_kept(name: str) -> None:
    schedule = Schedule(name=name, warmup=10, final=0.1)  # type: ignore[arg-type]
    rise = [schedule.factor(step, 100) for step in range(11)]
    gaps = [b - a for a, b in pairwise(rise)]
    assert rise[0] > 0
    assert max(gaps) - min(gaps) < 1e-9
    assert schedule.factor(200, 100) == pytest.approx(1.0 if name == "constant" else 0.1)


@pytest.mark.parametrize("wrong", [{"warmup": -1}, {"final": 2.0}, {"decay": 0.0}])
def test_impossible_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"model\.init_args\.schedule"):
        Schedule(**wrong)  # type: ignore[arg-type]


def test_no_decay_on_norms_and_biases() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 2, bias=False))
    net[2].requires_grad_(False)
    groups = parameter_groups(net.named_parameters(), lambda name: 4.0 if name == "0.weight" else 1.0)
    found = {(g.get("weight_decay"), g["lr_scale"]): len(g["params"]) for g in groups}
    assert found == {(None, 4.0): 1, (0.0, 1.0): 3}
