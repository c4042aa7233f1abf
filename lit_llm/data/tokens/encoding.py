"""Examples become tokens within a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lit_llm.errors import DataError

if TYPE_CHECKING:
    from lit_llm.data.tokens.dataset import Example
    from lit_llm.data.tokens.prompting import ChatFormat, Encoded, Learn, Overflow


@dataclass(frozen=True)
class Encoder:
    """How the rows of a split are encoded.

    Attributes:
        form: how conversations are written.
        limit: most tokens of a row; None for any number.
        overflow: what becomes of a longer row.
        learn: what is learned from.
    """

    form: ChatFormat
    limit: int | None
    overflow: Overflow
    learn: Learn

    def encode(self, example: Example) -> Encoded | None:
        """Return the tokens of an example; None where it is to be dropped.

        Raises:
            DataError: if the example cannot be encoded, naming its place.
        """
        try:
            if self.limit is None:
                return self.form.encode(example.text, example.answer, self.learn, example.context)
            return self.form.fit(example.text, example.answer, self.limit, self.overflow, self.learn, example.context)
        except DataError as error:
            raise DataError(f"{example.place}: {error}") from None
