"""What a tensor is, for code that replaces a library's products by its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def is_plain(weight: Any) -> bool:
    """Tell whether a weight lies whole and unpacked on its device, or stands for one that does."""
    return type(weight) in (Tensor, nn.Parameter) or type(weight).__name__ == "FakeTensor"


def product_dtype(x: Tensor) -> torch.dtype:
    """Return what products with ``x`` are computed in: autocast's dtype where it is on, else its own."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
