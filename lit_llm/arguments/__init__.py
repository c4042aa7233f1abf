"""The command line of the Lightning verbs: options, run files, and errors that fit on a few lines."""

from lit_llm.arguments.parser import Parser, configuration_errors, unbuilt
from lit_llm.arguments.run_data import open_data
from lit_llm.arguments.run_files import check_all

__all__ = ["Parser", "check_all", "configuration_errors", "open_data", "unbuilt"]
