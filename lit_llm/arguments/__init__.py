"""The command line of the Lightning verbs: options, run files, and errors that fit on a few lines.

What is told before Lightning is imported stands in modules that import neither it nor PyTorch: ``early``, ``foreign``,
``here``, ``inputs``, ``run_files``, ``short_help``, ``verbs``. So that these can be had by themselves, this package
imports its other names when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_llm.arguments.parser import Parser, configuration_errors, unbuilt
    from lit_llm.arguments.run_data import open_data, open_parts
    from lit_llm.arguments.run_files import check_all

__all__ = ["Parser", "check_all", "configuration_errors", "open_data", "open_parts", "unbuilt"]

_HOMES = {"check_all": "run_files", "open_data": "run_data", "open_parts": "run_data"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'parser')}"), name)
