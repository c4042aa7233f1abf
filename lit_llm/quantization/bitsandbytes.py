"""Weights in 4 bits for QLoRA (Dettmers et al. 2023) or in 8 (LLM.int8, Dettmers et al. 2022), by bitsandbytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from lit_llm.quantization.base import Quantizer

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class NF4(Quantizer):
    """Stores the weights of linear layers in NormalFloat 4, on a GPU or a CPU.

    Embeddings, norms, the output head and fused experts stay as they are; a run says how much that is.

    Args:
        double_quant: quantize the scales too, which saves 0.4 bits per weight.
        kind: ``nf4``, or ``fp4`` for 4-bit floats.
        skip: names of linear layers to leave as they are, besides the head.
    """

    def __init__(
        self, double_quant: bool = True, kind: Literal["nf4", "fp4"] = "nf4", skip: list[str] | None = None
    ) -> None:
        self.double_quant = double_quant
        self.kind = kind
        self.skip = skip

    def loading_config(self, dtype: torch.dtype) -> Any:
        """Return a ``BitsAndBytesConfig`` whose layers compute in ``dtype``."""
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=self.kind,
            bnb_4bit_use_double_quant=self.double_quant,
            bnb_4bit_compute_dtype=dtype,
            llm_int8_skip_modules=_with_head(self.skip),
        )

    def after_loading(self, model: PreTrainedModel) -> None:
        """Keep bitsandbytes from packing weights anew in eval mode on a CPU, after which they cannot be read back."""
        from bitsandbytes.nn.modules import Linear4bit

        for module in model.modules():
            if isinstance(module, Linear4bit):
                module.support_avx512bf16_for_cpu = False


class Int8(Quantizer):
    """Stores the weights of linear layers in 8 bits with a scale for each row, on a GPU or a CPU.

    Embeddings, norms, the output head and fused experts stay as they are. Outside of training, the inputs of layers
    are rounded to 8 bits too, but for those above ``threshold``; so a validation differs a little from training.

    Args:
        threshold: inputs larger than this are multiplied in 16 bits.
        skip: names of linear layers to leave as they are, besides the head.
    """

    def __init__(self, threshold: float = 6.0, skip: list[str] | None = None) -> None:
        self.threshold = threshold
        self.skip = skip

    def loading_config(self, dtype: torch.dtype) -> Any:
        """Return a ``BitsAndBytesConfig``; layers compute in the dtype of what they are given."""
        from transformers import BitsAndBytesConfig

        return BitsAndBytesConfig(
            load_in_8bit=True, llm_int8_threshold=self.threshold, llm_int8_skip_modules=_with_head(self.skip)
        )


def _with_head(skip: list[str] | None) -> list[str] | None:
    """Return names to skip with the head among them, which transformers leaves out only where no name is given."""
    return [*skip, "lm_head"] if skip else None
