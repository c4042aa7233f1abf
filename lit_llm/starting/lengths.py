"""How many tokens rows and answers have, and which rows no run could read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lit_llm.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lit_llm.data.base import LMData
    from lit_llm.data.tokens.dataset import Example


@dataclass(frozen=True)
class Lengths:
    """Tokens of the rows of a file.

    Attributes:
        whole: of prompt and answer.
        answers: of the answer and the token that ends it.
    """

    whole: list[int]
    answers: list[int]


def measure(data: LMData, examples: Sequence[Example], most: int) -> tuple[Lengths, dict[int, str]]:
    """Return the lengths of all rows that can be encoded, and by their place why others cannot.

    Args:
        data: of the task, with a tokenizer.
        examples: its rows.
        most: tokens that the base reads.
    """
    whole, answers, refused = [], [], {}
    for place, sizes in enumerate(_sizes(data, examples)):
        if isinstance(sizes, str):
            refused[place] = sizes
        elif sizes[0] > most:
            refused[place] = (
                f"has {sizes[0]:,} tokens, and the base reads {most:,}; shorten it, or take another --backbone"
            )
        else:
            whole.append(sizes[0])
            answers.append(sizes[0] - sizes[1])
    return Lengths(whole, answers), refused


def _sizes(data: LMData, examples: Sequence[Example]) -> list[tuple[int, int] | str]:
    try:
        split = data.encode("all", list(examples))
        return list(zip(split.lengths(), split.lengths(prompt=True), strict=True))
    except (ConfigError, DataError):
        return [_size(data, example) for example in examples]


def _size(data: LMData, example: Example) -> tuple[int, int] | str:
    try:
        split = data.encode("all", [example])
    except (ConfigError, DataError) as error:
        return str(error).removeprefix(f"{example.place}: ")
    return split.lengths()[0], split.lengths(prompt=True)[0]
