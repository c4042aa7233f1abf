"""What a run needs in memory, found out without weights or a GPU."""

from lit_llm.planning.fitting import Change, changes, largest
from lit_llm.planning.known import configuration
from lit_llm.planning.memory import Answering, Memory, Plan

__all__ = ["Answering", "Change", "Memory", "Plan", "changes", "configuration", "largest"]
