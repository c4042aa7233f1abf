"""What an adapter can do on a base whose weights are stored by a quantizer: the one table of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lit_llm.adapters import Adapter
    from lit_llm.quantization.base import Quantizer


class Refused(NamedTuple):
    """Why an adapter does not go with a base, and what does.

    Attributes:
        reason: what would go wrong.
        instead: what to set in its place.
    """

    reason: str
    instead: str


_WHOLE = Refused("it trains the weights themselves, which their quantizer fixes", "LoRA, or no quantizer")
_SCALES = Refused(
    "it measures its weights at every step, and bitsandbytes forgets the scales of 8-bit weights after the first",
    "NF4, or LoRA",
)
_MOVED = Refused("its start changes the frozen weights, which their quantizer fixes", "init: default, or eva")

REFUSED: dict[tuple[str, str], Refused] = {
    ("Full", "NF4"): _WHOLE,
    ("Full", "Int8"): _WHOLE,
    ("LoRA pissa", "NF4"): _MOVED,
    ("LoRA pissa", "Int8"): _MOVED,
    ("LoRA olora", "NF4"): _MOVED,
    ("LoRA olora", "Int8"): _MOVED,
    ("DoRA pissa", "NF4"): _MOVED,
    ("DoRA pissa", "Int8"): _MOVED,
    ("DoRA olora", "NF4"): _MOVED,
    ("DoRA olora", "Int8"): _MOVED,
    ("DoRA", "Int8"): _SCALES,
    ("DoRA eva", "Int8"): _SCALES,
}
"""By adapter, with its way to start where that is not its usual one, and base. All else trains and merges."""


def refusal(adapter: Adapter, quantizer: Quantizer | None) -> Refused | None:
    """Return why an adapter does not go with a quantizer; None where it does."""
    return REFUSED.get((adapter.kind, type(quantizer).__name__))
