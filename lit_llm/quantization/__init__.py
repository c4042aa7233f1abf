"""Quantizers: how weights are stored; one file per library."""

from lit_llm.quantization.base import Quantizer
from lit_llm.quantization.bitsandbytes import NF4, Int8
from lit_llm.quantization.blocks import BlockFormat
from lit_llm.quantization.integers import IntFormat
from lit_llm.quantization.packed import refuse_stored_otherwise, refuse_to_learn, unpacked
from lit_llm.quantization.qat import QAT
from lit_llm.quantization.support import refusal

__all__ = [
    "NF4",
    "QAT",
    "BlockFormat",
    "Int8",
    "IntFormat",
    "Quantizer",
    "refusal",
    "refuse_stored_otherwise",
    "refuse_to_learn",
    "unpacked",
]
