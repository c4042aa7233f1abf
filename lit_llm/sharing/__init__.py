"""What goes with weights that are handed on, so that other programs ask them as they were trained."""

from lit_llm.sharing.folder import answer_ends, as_trained
from lit_llm.sharing.texts import normalized, text_form
from lit_llm.sharing.writing import complete_folder, complete_trained, write_sidecar

__all__ = [
    "answer_ends",
    "as_trained",
    "complete_folder",
    "complete_trained",
    "normalized",
    "text_form",
    "write_sidecar",
]
