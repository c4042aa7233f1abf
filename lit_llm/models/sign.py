"""The sign language model: frames of a clip go through an adaptor into the place of words."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from lit_llm.adapters.base import replace_file
from lit_llm.batch import FILLER, Batch, Features, Prediction, Prompt
from lit_llm.errors import ConfigError, UserError
from lit_llm.generation import Generation, Generator
from lit_llm.models.adaptor import TemporalAdaptor
from lit_llm.models.causal import CausalLM
from lit_llm.seeding import derive, global_seed

ADAPTOR = "adaptor.safetensors"
"""The file of an adaptor's weights, beside those of the adapter."""


class SignLM(CausalLM):
    """Translates clips of sign language: an adaptor turns frames into vectors among the prompt's words.

    The adaptor learns with the adapter's weights and is kept beside them. Each validation also answers with the clips
    of other rows, as ``val/rolled/<metric>``: a model whose score does not fall by it ignores what it sees.

    Args:
        hidden: width of the adaptor's convolutions.
        strides: of its convolutions; their product is ``data.init_args.downsample``.
        adaptor_dropout: probability of zeroing a value of the adaptor.
        adaptor_learning_rate: of the adaptor; by default the optimizer's.
        adaptor_from: run folder, such as one of ``SignAligner``, or exported folder, whose adaptor to start from.
        rolled: answer with other rows' clips too, in validation.
        **kwargs: as for ``CausalLM``.
    """

    def __init__(
        self,
        hidden: int = 768,
        strides: tuple[int, ...] = (2, 2),
        adaptor_dropout: float = 0.0,
        adaptor_learning_rate: float | None = None,
        adaptor_from: str | None = None,
        rolled: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not strides or min(strides) < 1:
            raise ConfigError(f"model.init_args.strides: {list(strides)}: name at least one, each 1 or more")
        self.hidden_size, self.strides = hidden, tuple(strides)
        self.adaptor_dropout, self.adaptor_learning_rate = adaptor_dropout, adaptor_learning_rate
        self.adaptor_from = adaptor_from
        self.rolled = rolled
        self.adaptor: TemporalAdaptor | None = None
        self._has_own_adaptor = False

    @property
    def downsample(self) -> int:
        """How many frames one vector stands for."""
        return math.prod(self.strides)

    def configure_model(self) -> None:
        """Open the backbone, put the adapter on it, and make the adaptor; does nothing the second time."""
        super().configure_model()
        if self.adaptor is not None:
            return
        # Without data, as when a run is exported, its checkpoint tells how many numbers a frame has.
        datamodule: Any = getattr(self._trainer, "datamodule", None)
        if datamodule is None:
            return
        if not hasattr(datamodule, "feature_size"):
            raise ConfigError("data.class_path: SignLM reads clips: use lit_llm.data.SignData")
        self._make_adaptor(datamodule.feature_size)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the base that a checkpoint belongs to, and make the adaptor where no data did."""
        super().on_load_checkpoint(checkpoint)
        self._has_own_adaptor = True
        norm = checkpoint["state_dict"].get("adaptor.norm.weight")
        if self.adaptor is None and self.network is not None and norm is not None:
            self._make_adaptor(len(norm))

    def on_fit_start(self) -> None:
        """Refuse an adapter that starts from data, which it would read as words.

        Raises:
            ConfigError: if the adapter does.
        """
        if self.adapter.needs_data:
            raise ConfigError(
                "model.init_args.adapter: its start is computed from the words of training rows, and clips are none: "
                "choose another init"
            )
        self._start_from_other()

    def on_validation_start(self) -> None:
        """Start from another run's adaptor where no checkpoint was loaded."""
        self._start_from_other()

    def on_test_start(self) -> None:
        """Start from another run's adaptor where no checkpoint was loaded; merge the adapter if asked."""
        self._start_from_other()
        super().on_test_start()

    def on_predict_start(self) -> None:
        """Start from another run's adaptor where no checkpoint was loaded; merge the adapter if asked."""
        self._start_from_other()
        super().on_predict_start()

    def hidden(self, batch: Batch) -> Tensor:
        """Return the last hidden states ``[B, T, D]`` of a batch, its clips in their slots."""
        if batch.features is None or batch.slots is None or batch.input_ids is None:
            raise UserError("data: the batch holds no clips: use lit_llm.data.SignData with SignLM")
        vectors, mask = self._vectors(batch.features)
        words = self._words(batch.input_ids)
        if int(batch.slots.sum()) != int(mask.sum()):
            raise ConfigError(
                f"data.init_args.downsample is {batch.features.downsample}, but the adaptor's strides "
                f"{list(self.strides)} shorten clips by {self.downsample}: make them agree"
            )
        embeds = words.masked_scatter(batch.slots[..., None], vectors[mask].to(words.dtype))
        return super().hidden(replace(batch, input_ids=None, inputs_embeds=embeds))

    def answers(self, batch: Batch, generator: Generator) -> list[Generation]:
        """Generate an answer for every clip of a batch; nothing for one without prompts."""
        if batch.features is None or batch.prompt is None:
            return []
        with torch.no_grad():
            prompt = self._embedded(batch.prompt, *self._vectors(batch.features))
        return super().answers(replace(batch, prompt=prompt), generator)

    def save_extras(self, folder: Path) -> None:
        """Write ``adaptor.safetensors`` into a folder that is there."""
        if self.adaptor is not None:
            replace_file(folder / ADAPTOR, dict(self.adaptor.state_dict()))

    def _make_adaptor(self, feature_size: int) -> None:
        weight: Tensor = self.language_model.get_input_embeddings().weight  # type: ignore[assignment]
        scale = float(weight.detach().float().pow(2).mean().sqrt())
        with torch.random.fork_rng():
            torch.manual_seed(derive(global_seed(), "adaptor"))
            self.adaptor = TemporalAdaptor(
                feature_size, weight.shape[1], self.hidden_size, self.strides, scale, self.adaptor_dropout
            )

    def _start_from_other(self) -> None:
        # Only once a checkpoint would have been loaded: a run that goes on, or answers, has an adaptor of its own.
        if self.adaptor_from and not self._has_own_adaptor:
            self._start_from(Path(self.adaptor_from))
        self._has_own_adaptor = True

    def _start_from(self, run: Path) -> None:
        from safetensors.torch import load_file

        path = next((path for part in ("adapter", "model", "") if (path := run / part / ADAPTOR).exists()), None)
        if path is None:
            raise ConfigError(
                f"model.init_args.adaptor_from: there is no {ADAPTOR} in {run}: name a run, or its export"
            )
        try:
            cast(TemporalAdaptor, self.adaptor).load_state_dict(load_file(path))
        except RuntimeError as error:
            raise ConfigError(
                f"model.init_args.adaptor_from: {path} has another shape: use its run's hidden, strides and features "
                f"({str(error).splitlines()[-1].strip()})"
            ) from error

    def _evaluate(self, batch: Batch, *, generate: bool) -> list[Prediction]:
        found = super()._evaluate(batch, generate=generate)
        # In validation alone, where someone watches a run.
        if generate and self.rolled and self.trainer.validating:
            key = f"{batch.split}/rolled"
            # Made on every process, also where no row takes part: scores are gathered over all of them.
            self._metrics_of(key, batch.task)
            if sum(row_id != FILLER for row_id in batch.ids) > 1:
                self._measure(batch, self.answers(self._rolled(batch), self.generator), key)
        return found

    def _rolled(self, batch: Batch) -> Batch:
        """Return a batch whose rows have each other's clips."""
        features = batch.features
        if features is None:
            return batch
        values, mask = features.values.roll(1, 0), features.mask.roll(1, 0)
        return replace(batch, features=replace(features, values=values, mask=mask))

    def _vectors(self, features: Features) -> tuple[Tensor, Tensor]:
        if self.adaptor is None:
            raise UserError("model: the adaptor is not built yet; call configure_model() first")
        vectors, mask = self.adaptor(features.values, features.mask)
        return vectors, mask

    def _words(self, ids: Tensor) -> Tensor:
        words: Tensor = self.language_model.get_input_embeddings()(ids)
        return words

    def _embedded(self, prompt: Prompt, vectors: Tensor, mask: Tensor) -> Prompt:
        """Return a prompt of embeddings in which each row's vectors stand in the place of its slots."""
        if prompt.input_ids is None or prompt.slots is None:
            return prompt
        words, kept = self._words(prompt.input_ids), prompt.attention_mask.bool() & ~prompt.slots
        # Another row's clip may be longer or shorter than the slots, so rows are put together anew.
        first = prompt.slots.int().argmax(1).tolist()
        rows = [
            torch.cat([w[:at][k[:at]], v[m].to(w.dtype), w[at:][k[at:]]])
            for w, k, v, m, at in zip(words, kept, vectors, mask, first, strict=True)
        ]
        return _left_padded(rows)

    def _scale(self, name: str) -> float:
        if not name.startswith("adaptor."):
            return super()._scale(name)
        if self.adaptor_learning_rate is None:
            return 1.0
        # The optimizer's own rate is known only from one that has been made.
        made = self.optimizer_factory([torch.nn.Parameter(torch.zeros(1))])
        return self.adaptor_learning_rate / float(made.param_groups[0]["lr"])


def _left_padded(rows: list[Tensor]) -> Prompt:
    width = max(map(len, rows))
    embeds = torch.stack([torch.cat([row.new_zeros(width - len(row), row.shape[1]), row]) for row in rows])
    places = torch.arange(width, device=embeds.device)
    lengths = torch.tensor([len(row) for row in rows], device=embeds.device)
    return Prompt(attention_mask=(places >= width - lengths[:, None]).long(), inputs_embeds=embeds)
