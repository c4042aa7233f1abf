"""What finds passages by their text."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from lit_llm.errors import ConfigError


class Hit(NamedTuple):
    """A passage that was found.

    Attributes:
        number: of the passage among those that were searched.
        score: how well it fits, which compares with other scores of the same question alone.
    """

    number: int
    score: float


Search = Callable[[Sequence[str], int], list[list[Hit]]]
"""Takes questions, and how many passages of each are wanted, and returns the best of each, the best first."""


class Retriever(ABC):
    """A way to find passages for a question by their text."""

    @abstractmethod
    def over(self, texts: Sequence[str]) -> Search:
        """Return what searches these texts; of equal scores the first text is first.

        Raises:
            ConfigError: if a package or a model is missing.
        """


def need(package: str, name: str) -> None:
    """Refuse what needs a package that is not installed.

    Args:
        package: as it is imported.
        name: of the class that needs it.

    Raises:
        ConfigError: if it is not there.
    """
    if importlib.util.find_spec(package) is None:
        raise ConfigError(f"{name} needs the package {package}, which is missing: pip install -e '.[retrieval]'")
