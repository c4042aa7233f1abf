"""Quantization-aware training as other libraries do it, for comparison alone: the base is rounded, the adapter is not.

What is trained, ``round(W) + ΔW``, cannot be stored in few bits; what is deployed is ``round(W + ΔW)``, which is what
validation, test and prediction use here.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lit_llm.adapters import Adapter
from lit_llm.quantization import QAT


class BaseOnlyQAT(QAT):
    """Rounds the weight under an adapter while it learns, and leaves the adapter as it is."""

    def weight(self, layer: Any, bits: int, adapter: Adapter | None, log_ranges: Tensor | None = None) -> Tensor:
        """Return ``round(W) + ΔW`` in training, and the rounded merged weight otherwise, ``[out, in]``."""
        if adapter is None or not layer.training or not hasattr(layer, "get_base_layer"):
            return super().weight(layer, bits, adapter, log_ranges)
        own: Tensor = layer.get_base_layer().weight
        return self.format.rounded(own, bits, log_ranges) + (adapter.effective_weight(layer) - own)
