"""llama.cpp: files in its format GGUF, and what it answers itself."""

from lit_llm.llama_cpp.engine import Comparison, Engine, available, compared
from lit_llm.llama_cpp.families import GGUF_TYPES, GgufType, refusal
from lit_llm.llama_cpp.reading import opened
from lit_llm.llama_cpp.writing import write_gguf

__all__ = ["GGUF_TYPES", "Comparison", "Engine", "GgufType", "available", "compared", "opened", "refusal", "write_gguf"]
