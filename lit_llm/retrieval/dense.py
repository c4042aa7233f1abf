"""Passages found by a sentence encoder, which puts texts of like meaning side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lit_llm.errors import ConfigError
from lit_llm.retrieval.base import Hit, Retriever, Search, need

CELLS = 2**24
"""Most pairs of questions and passages whose scores are held at once."""


class Dense(Retriever):
    """The cosine between what a sentence encoder makes of a question and of a passage, by ``sentence-transformers``.

    Args:
        model: folder of the encoder, or its name on the hub.
        question_prefix: what stands before a question, such as ``"query: "`` for the models of E5.
        passage_prefix: what stands before a passage.
        batch_size: texts that are encoded at a time.

    Raises:
        ConfigError: if a value is not possible.
    """

    def __init__(self, model: str, question_prefix: str = "", passage_prefix: str = "", batch_size: int = 64) -> None:
        if batch_size < 1:
            raise ConfigError(f"Dense: batch_size is {batch_size}: use 1 or more")
        self.model, self.batch_size = model, batch_size
        self.question_prefix, self.passage_prefix = question_prefix, passage_prefix
        self._encoder: Any = None

    def over(self, texts: Sequence[str]) -> Search:
        """Return what searches these texts."""
        passages = self._encode(texts, self.passage_prefix)

        def search(questions: Sequence[str], count: int) -> list[list[Hit]]:
            """Return the best texts of each question."""
            asked = self._encode(questions, self.question_prefix)
            found: list[list[Hit]] = []
            # Of many questions about many passages, all scores at once would fill the memory.
            for some in asked.split(max(1, CELLS // max(1, len(passages)))):
                scores = some @ passages.T
                order = scores.argsort(dim=1, descending=True, stable=True)[:, :count]
                found += [
                    [Hit(number, float(row[number])) for number in best]
                    for best, row in zip(order.tolist(), scores, strict=True)
                ]
            return found

        return search

    def _encode(self, texts: Sequence[str], prefix: str) -> Any:
        """Return ``[N, D]`` float32 of length 1."""
        if self._encoder is None:
            self._encoder = self._opened()
        options = {"batch_size": self.batch_size, "convert_to_tensor": True, "normalize_embeddings": True}
        found = self._encoder.encode([prefix + text for text in texts], show_progress_bar=False, **options)
        return found.float().cpu()

    def _opened(self) -> Any:
        need("sentence_transformers", "Dense")
        from sentence_transformers import SentenceTransformer

        path = Path(self.model)
        is_encoder = any((path / name).is_file() for name in ("modules.json", "config.json"))
        if (path.exists() or path.is_absolute()) and not is_encoder:
            raise ConfigError(f"Dense: model: {self.model} is no folder of a sentence encoder: it lacks modules.json")
        try:
            return SentenceTransformer(self.model)
        except (OSError, ValueError) as error:
            raise ConfigError(f"Dense: model {self.model!r} cannot be opened: {error}") from error
