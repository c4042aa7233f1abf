"""Drafts: cheap guesses of what comes next, which the model reads in one go and keeps as far as it agrees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.generation.constraint import Steering
from lit_llm.generation.prompts import unpadded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedTokenizerBase

    from lit_llm.batch import Prompt
    from lit_llm.generation.constraint import Mask, Texts

    Guess = Callable[[Sequence[int], Texts, Sequence[int]], list[list[int]]]

KEY = "a generator's draft.init_args"

BEGIN = -1
"""Stands before the first token of an answer in the table."""

ENTRIES = 2_000_000
"""Sequences that a table keeps; it learns nothing more once it is full."""

WORTH = 0.15
"""The share of guesses that have to come true: where fewer do, a guess is made at every eighth step alone."""

MEMORY = 512
"""Guessed tokens after which half of what came of earlier ones is forgotten."""


class Draft(ABC):
    """Guesses the next tokens of answers. What is guessed never changes an answer, only how fast it comes."""

    tokens: int
    """How many tokens are guessed at a time, at most."""

    positions: int
    """How many positions a batch may have in one step; guesses become shorter the more rows run."""

    def __init__(self, tokens: int, positions: int) -> None:
        require(tokens >= 1, "tokens", tokens, "at least 1")
        require(positions >= 1, "positions", positions, "at least 1")
        self.tokens = tokens
        self.positions = positions
        self._guessed = self._true = 0

    def prepare(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        """Get ready for a model; called again before each batch.

        Raises:
            ConfigError: if nothing can be guessed for this model.
        """
        return None

    @abstractmethod
    def start(self, prompt: Prompt) -> Guess:
        """Begin with a batch.

        Args:
            prompt: its rows.

        Returns:
            A function of places in the batch, the tokens that each row of the batch has generated, and how many are
            wanted for each place; it returns so many tokens or fewer that may follow. A place that is left out once
            is not asked for again.
        """

    def note(self, guessed: int, true: int) -> None:
        """Note how many tokens were guessed, and how many of them came true."""
        self._guessed += guessed
        self._true += true
        if self._guessed > MEMORY:
            self._guessed, self._true = self._guessed // 2, self._true // 2

    @property
    def learns(self) -> bool:
        """Whether answers teach it anything."""
        return False

    @property
    def pays(self) -> bool:
        """Whether enough guesses come true."""
        return self._guessed < MEMORY // 4 or self._true >= WORTH * self._guessed

    def learn(self, answer: Sequence[int]) -> None:
        """Note a finished answer, its end token included."""
        return None


class Lookup(Draft):
    """Guesses from other answers and from the prompt, without a model.

    A table holds what followed each sequence of tokens in the answers so far; where it is not sure, tokens are copied
    from the prompt behind the place where it says the same (Saxena 2023, prompt lookup decoding). Answers that are
    alike in form, such as records, come from the table, names and numbers from the prompt.

    Args:
        tokens: guessed at a time, at most.
        ngram: the longest sequence that is looked up.
        share: the table is believed where so large a part of what followed was one token.
        answers: learn from the answers of the training file and of the run itself; without it tokens are copied from
            prompts alone.
        positions: of a batch in one step: with ``R`` rows running, at most ``positions / R - 1`` tokens are guessed.

    Raises:
        ConfigError: if a value is impossible.
    """

    def __init__(
        self, tokens: int = 8, ngram: int = 4, share: float = 0.6, answers: bool = True, positions: int = 64
    ) -> None:
        super().__init__(tokens, positions)
        require(ngram >= 1, "ngram", ngram, "at least 1")
        require(0 < share <= 1, "share", share, "above 0 and at most 1")
        self.ngram = ngram
        self.share = share
        self.answers = answers
        self._lengths = range(ngram, 0, -2)
        self._followers: dict[tuple[int, ...], dict[int, int]] = {}

    @property
    def learns(self) -> bool:
        """See ``Draft.learns``."""
        return self.answers

    def start(self, prompt: Prompt) -> Guess:
        """See ``Draft.start``."""
        prompts = unpadded(prompt)
        places = [self._places(prompt) for prompt in prompts]

        def guess(rows: Sequence[int], texts: Texts, counts: Sequence[int]) -> list[list[int]]:
            """Return what may follow each of these rows."""
            return [
                self._guess(prompts[row], places[row], texts[row], count)
                for row, count in zip(rows, counts, strict=True)
            ]

        return guess

    def learn(self, answer: Sequence[int]) -> None:
        """See ``Draft.learn``."""
        if not self.answers:
            return
        padded = (*[BEGIN] * self.ngram, *answer)
        for at, token in enumerate(answer):
            for length in self._lengths:
                if len(self._followers) >= ENTRIES:
                    return
                context = padded[at + self.ngram - length : at + self.ngram]
                counts = self._followers.setdefault(context, {})
                counts[token] = counts.get(token, 0) + 1

    def _places(self, prompt: Sequence[int]) -> dict[tuple[int, ...], int]:
        """Return where each sequence of up to three tokens ended last in a prompt."""
        return {
            tuple(prompt[at - length : at]): at
            for length in range(1, min(3, self.ngram) + 1)
            for at in range(length, len(prompt))
        }

    def _guess(
        self, prompt: Sequence[int], places: dict[tuple[int, ...], int], text: Sequence[int], count: int
    ) -> list[int]:
        said = [*[BEGIN] * self.ngram, *text[-self.ngram :]]
        start, source = len(said), None
        while len(said) < start + count:
            token = self._likely(said)
            if token is None:
                source = source if source is not None else self._source(places, said)
                token = prompt[source] if source is not None and source < len(prompt) else None
            if token is None:
                break
            source = source + 1 if source is not None and source < len(prompt) and prompt[source] == token else None
            said.append(token)
        return said[start:]

    def _likely(self, said: Sequence[int]) -> int | None:
        """Return what followed the end of a text nearly always, by the longest sequence that is known."""
        for length in self._lengths:
            counts = self._followers.get(tuple(said[len(said) - length :]))
            if counts:
                token = max(counts, key=counts.__getitem__)
                return token if counts[token] >= self.share * sum(counts.values()) else None
        return None

    def _source(self, places: dict[tuple[int, ...], int], said: Sequence[int]) -> int | None:
        """Return where in the prompt stands what may follow: behind the longest sequence that both share."""
        for length in (3, 2, 1):
            if (found := places.get(tuple(said[len(said) - length :]))) is not None:
                return found
        return None


class Drafting:
    """What a draft does for one batch: how much is guessed, held to a grammar, and what came of it.

    Args:
        draft: which guesses.
        prompt: the rows.
        mask: of a constraint, which may know what has to follow; see ``Steering``.
    """

    def __init__(self, draft: Draft, prompt: Prompt, mask: Mask | None = None) -> None:
        self.draft = draft
        self._guess = draft.start(prompt)
        self._mask = mask if isinstance(mask, Steering) else None
        self._made: dict[int, tuple[int, int]] = {}
        self._steps = 0

    def __call__(self, rows: Sequence[int], texts: Texts, limits: Sequence[int]) -> list[list[int]]:
        """Return what may follow the texts of these rows, as much as it pays to read.

        Args:
            rows: places in the batch.
            texts: generated tokens of each row of the batch.
            limits: the longest answer of each row in tokens.
        """
        self._note(texts)
        self._steps += 1
        most = min(self.draft.tokens, self.draft.positions // len(rows) - 1)
        if most < 1 or not (self.draft.pays or self._steps % 8 == 0):
            return [[] for _ in rows]
        # The token after the last guess is read off too, so a guess at the limit would be of no use.
        counts = [max(0, min(most, limits[row] - len(texts[row]) - 1)) for row in rows]
        guesses = self._guess(rows, texts, counts)
        if self._mask:
            guesses = [
                self._mask.steer(row, texts[row], guess)[:count]
                for row, guess, count in zip(rows, guesses, counts, strict=True)
            ]
        self._made = {row: (len(texts[row]), len(guess)) for row, guess in zip(rows, guesses, strict=True)}
        return guesses

    def finish(self, texts: Texts, finished: Sequence[bool]) -> None:
        """Learn from the answers of the batch."""
        self._note(texts)
        for text, ends in zip(texts, finished, strict=True):
            if ends:
                self.draft.learn(text)

    def _note(self, texts: Texts) -> None:
        for row, (length, guessed) in self._made.items():
            self.draft.note(guessed, len(texts[row]) - length - 1)
        self._made = {}


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Refuse a setting of a draft that is impossible."""
    if not holds:
        raise ConfigError(f"{KEY}.{name}: {value!r} is not possible; it must be {expected}")
