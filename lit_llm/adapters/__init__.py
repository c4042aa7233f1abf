"""Adapters: which weights of a backbone learn, how they are saved, loaded and merged."""

from lit_llm.adapters.adalora import AdaLoRA
from lit_llm.adapters.base import Adapter, TrainableRow, causal_lm, parameter_totals, trainable_table
from lit_llm.adapters.full import Full
from lit_llm.adapters.lora import DoRA, LoRA
from lit_llm.adapters.vera import VeRA

__all__ = [
    "AdaLoRA",
    "Adapter",
    "DoRA",
    "Full",
    "LoRA",
    "TrainableRow",
    "VeRA",
    "causal_lm",
    "parameter_totals",
    "trainable_table",
]
