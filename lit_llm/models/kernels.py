"""Kernels of linear attention for GPUs, where a model is on a CPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from inspect import signature
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

CHOOSER = "transformers.integrations.hub_kernels"
"""Where transformers takes a kernel of another package in place of a function of its own."""

PACKAGES = ("fla", "causal_conv1d", "mamba_ssm")
"""Which packages these are."""


def compute_where_placed(model: nn.Module) -> None:
    """Let layers on a CPU compute with transformers' own code, also where kernels for GPUs are installed.

    transformers takes ``flash-linear-attention`` and ``causal-conv1d`` wherever they can be imported, and these compute
    on GPUs alone: on a machine that has one, a model on the CPU, as when it is exported, would fail.
    """
    if not any(map(find_spec, PACKAGES)):
        return
    families = {type(part).__module__ for part in model.modules()}
    for namespace in (vars(sys.modules[name]) for name in families if name.startswith("transformers.models.")):
        for name, function in list(namespace.items()):
            if getattr(function, "__globals__", {}).get("__name__") == CHOOSER and hasattr(function, "__wrapped__"):
                namespace[name] = _either(function.__wrapped__, function)


def _either(plain: Callable[..., Any], chosen: Callable[..., Any]) -> Callable[..., Any]:
    known = signature(plain).parameters

    @wraps(plain)
    def compute(states: Any, *args: Any, **kwargs: Any) -> Any:
        """Call one of two functions by the device of the first tensor."""
        if states.device.type == "cpu":
            return plain(states, *args, **{key: value for key, value in kwargs.items() if key in known})
        return chosen(states, *args, **kwargs)

    return compute
