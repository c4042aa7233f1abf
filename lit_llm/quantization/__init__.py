"""Quantizers: how weights are stored; one file per library."""

from lit_llm.quantization.base import Quantizer
from lit_llm.quantization.bitsandbytes import NF4, Int8
from lit_llm.quantization.support import refusal

__all__ = ["NF4", "Int8", "Quantizer", "refusal"]
