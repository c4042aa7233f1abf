"""What the weights of a network take in memory, as they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def loaded_bytes(network: nn.Module) -> int:
    """Return the bytes of parameters and buffers, each once, of bitsandbytes' scales, and of QAT's rounded copies."""
    found: dict[int, Tensor] = {}
    for module in network.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        # A layer that QAT rounds keeps the result while it answers.
        copy = getattr(vars(module).get("forward"), "kept", None)
        for tensor in [
            *own,
            *(scale for holder in (*own, getattr(module, "state", None)) for scale in _scales(holder)),
            *([] if copy is None else [copy]),
        ]:
            found[id(tensor)] = tensor
    return sum(tensor.numel() * tensor.element_size() for tensor in found.values())


def _scales(holder: Any) -> list[Tensor]:
    """Return what bitsandbytes keeps beside a weight, or, after the first forward pass, in the state of its layer."""
    state = getattr(holder, "quant_state", None)
    if state is not None:
        return [state.absmax, state.code, *([state.state2.absmax, state.state2.code] if state.nested else [])]
    scales = getattr(holder, "SCB", None)
    return [] if scales is None else [scales]
