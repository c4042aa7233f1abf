"""Quantizers: how weights are stored; one file per kind."""

from lit_llm.quantization.base import Quantizer
from lit_llm.quantization.nf4 import NF4

__all__ = ["NF4", "Quantizer"]
