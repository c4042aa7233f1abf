"""Guesses by a smaller model of the same family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lit_llm.errors import ConfigError
from lit_llm.generation.drafts import KEY, Draft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from lit_llm.batch import Prompt
    from lit_llm.generation.constraint import Texts
    from lit_llm.generation.drafts import Guess


class DraftModel(Draft):
    """Guesses what a smaller model with the same tokenizer would write, such as Qwen3-0.6B for 8B.

    It pays where a guess costs little beside a step of the large model, and the two agree (Leviathan et al. 2023:
    ``(1 - a ** (k + 1)) / (1 - a) / (1 + k * c)`` times as fast with ``k`` guesses of which a share ``a`` comes true
    and that cost ``c`` steps each).

    Args:
        backbone: the smaller model: hub id, folder, or a folder that ``export --merged`` has written.
        tokens: guessed at a time, at most.
        positions: of a batch in one step: with ``R`` rows running, at most ``positions / R - 1`` tokens are guessed.
    """

    def __init__(self, backbone: str, tokens: int = 4, positions: int = 64) -> None:
        super().__init__(tokens, positions)
        self.backbone = backbone
        self._model: Any = None
        self._vocabulary = math.inf

    def prepare(self, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
        """Open the smaller model where the large one is.

        Raises:
            ConfigError: if it has another tokenizer, or its rows cannot be of unlike length.
        """
        from lit_llm.generation.ragged import why_not_ragged
        from lit_llm.models.backbone import Loading, open_model, open_tokenizer

        place = model.get_input_embeddings().weight.device
        self._vocabulary = model.get_output_embeddings().weight.shape[0]
        if self._model is None:
            own = open_tokenizer(self.backbone, Loading())
            if own.get_vocab() != tokenizer.get_vocab():
                raise ConfigError(
                    f"{KEY}.backbone: {self.backbone!r} has another tokenizer than the base: "
                    "name a model of the same family"
                )
            opened = open_model(self.backbone, Loading(), model.dtype).eval()
            if reason := why_not_ragged(opened):
                raise ConfigError(f"{KEY}.backbone: {self.backbone!r} cannot guess, for {reason}: name another model")
            self._model = opened
        self._model.to(place)

    def start(self, prompt: Prompt) -> Guess:
        """See ``Draft.start``.

        Raises:
            ConfigError: if the prompts are not text, which no other model could read.
        """
        if prompt.input_ids is None:
            raise ConfigError(
                "a generator's draft: DraftModel reads tokens, and these prompts hold features: "
                "remove draft or name lit_llm.generation.Lookup"
            )
        return _Follower(self._model, prompt, self._vocabulary)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the model, which is opened again."""
        return {**self.__dict__, "_model": None}


class _Follower:
    """The smaller model's reading of one batch.

    The large model's embedding may have rows that no token has, and it may draw one of them: 0 is read instead.
    """

    def __init__(self, model: Any, prompt: Prompt, vocabulary: float) -> None:
        from lit_llm.generation.ragged import RaggedRows

        self.ragged = RaggedRows(model, prompt)
        self.vocabulary = vocabulary
        self.embedded = model.get_input_embeddings().weight.shape[0]
        self.rows = list(range(len(prompt.attention_mask)))
        self.read: dict[int, list[int]] = {row: [] for row in self.rows}
        """What has been read of each row, guesses of its own included."""

    def __call__(self, rows: Sequence[int], texts: Texts, counts: Sequence[int]) -> list[list[int]]:
        """See ``Draft.start``."""
        import torch

        if list(rows) != self.rows:
            places = {row: place for place, row in enumerate(self.rows)}
            self.ragged.keep(torch.tensor([places[row] for row in rows], device=self.ragged.first.device))
            self.rows = list(rows)
        known = [min(_alike(self.read[row], texts[row]), len(texts[row]) - 1) for row in rows]
        tokens = [
            [token if token < self.embedded else 0 for token in texts[row][start:]]
            for row, start in zip(rows, known, strict=True)
        ]
        guesses: list[list[int]] = [[] for _ in rows]
        for step in range(max(counts)):
            likeliest = self._likeliest(self.ragged.read(known, tokens), tokens)
            for place, token in enumerate(likeliest):
                if step < counts[place]:
                    guesses[place].append(token)
                # A row that has enough reads its last token again, and goes no further.
                if step + 1 < counts[place]:
                    known[place] += len(tokens[place])
                    tokens[place] = [token]
        if max(counts):
            self.read |= {row: [*texts[row], *guess[:-1]] for row, guess in zip(rows, guesses, strict=True)}
        return guesses

    def _likeliest(self, logits: Tensor, tokens: Sequence[Sequence[int]]) -> list[int]:
        """Return what follows the last token of each row, of the tokens that the large model has too."""
        import torch

        width = int(min(self.vocabulary, logits.shape[-1]))
        last = torch.tensor([len(row) - 1 for row in tokens], device=logits.device)
        return logits[torch.arange(len(last), device=logits.device), last, :width].argmax(-1).tolist()


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many tokens two texts have in common at their beginning."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
