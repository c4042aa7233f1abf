"""What every quantizer has in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Quantizer(ABC):
    """Says how the weights of a backbone are stored while an adapter learns on top of them."""

    @abstractmethod
    def loading_config(self, dtype: torch.dtype) -> Any:
        """Return what ``from_pretrained`` takes as ``quantization_config``.

        Args:
            dtype: in which layers compute.
        """

    def after_loading(self, model: PreTrainedModel) -> None:  # noqa: B027
        """Change what has to be changed in a model that was just loaded."""

    def fingerprint(self) -> str:
        """Return what decides the numbers that stored weights stand for."""
        return f"{type(self).__name__} {json.dumps(vars(self))}"

    def restore(self, model: PreTrainedModel) -> None:
        """Replace stored weights, in place, by the plain numbers that they stand for: nothing is rounded anew."""
        if not getattr(model, "is_quantized", False):
            return
        from transformers.utils import logging

        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        try:
            model.dequantize()  # type: ignore[no-untyped-call]
        finally:
            logging.set_verbosity(verbosity)
