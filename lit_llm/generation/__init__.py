"""Decoding: batches of prompts in, text out."""

from lit_llm.generation.constraint import Constraint, JsonSchemaConstraint
from lit_llm.generation.drafts import Draft, Lookup
from lit_llm.generation.engine import Generation, Generator, generate_rows
from lit_llm.generation.prompts import left_pad
from lit_llm.generation.stopping import Stop, json_end, stop_ids

__all__ = [
    "Constraint",
    "Draft",
    "Generation",
    "Generator",
    "JsonSchemaConstraint",
    "Lookup",
    "Stop",
    "generate_rows",
    "json_end",
    "left_pad",
    "stop_ids",
]
