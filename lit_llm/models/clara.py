"""CLaRa: passages become a few vectors, which are found again by their question and read in the place of their text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lit_llm.adapters import Adapter
from lit_llm.adapters.peft_base import PeftAdapter
from lit_llm.adapters.together import adapter_parameters, let_learn, refuse_together, stop_dropout, wrap_together
from lit_llm.batch import IGNORE, Batch, Passages, Prediction
from lit_llm.errors import ConfigError
from lit_llm.generation import Generation, Generator
from lit_llm.models.causal import CausalLM
from lit_llm.models.choosing import (
    Reading,
    likeness,
    no_passages,
    of_rows,
    opened,
    read_all,
    read_best,
    read_found,
    read_passages,
    read_softly,
    rolled,
    with_ranking,
)
from lit_llm.models.compressing import KeptVectors, compress, compress_frozen, filled
from lit_llm.models.stages import (
    MEMORY,
    Stage,
    digest,
    refuse_of_one,
    refuse_reads,
    refuse_values,
    take_over,
    write_parts,
)
from lit_llm.quantization import refusal
from lit_llm.retrieval import VectorIndex
from lit_llm.seeding import derive, global_seed


class ClaraLM(CausalLM):
    """Answers questions from passages that it has compressed into vectors (https://arxiv.org/abs/2511.18659).

    One frozen backbone has several adapters. The **compressor** reads a passage and, behind it, as many learned memory
    vectors as the passage is to become; their last hidden states are what is kept of it. The **generator**, which is
    ``adapter``, reads those in the place of the passage's text. The **reasoner** turns a question into vectors that are
    like those of the passages that answer it.

    Stages are runs, each started from the one before. ``compress`` and ``instruct`` train compressor, generator and
    memory, and differ in their rows alone. ``end_to_end`` trains reasoner and generator; passages stay as they are,
    and are chosen by the cosine of vectors, which learns straight-through, from the loss of the answer alone.

    Args:
        stage: what is trained.
        rate: tokens that one vector stands for: a passage becomes ``passage_tokens`` // ``rate`` vectors.
        passage_tokens: most tokens of a passage.
        compressor: by default with the settings of ``adapter``.
        reasoner: by default with the settings of ``compressor``, from whose weights it starts.
        start_from: run folder of an earlier stage, whose parts are taken over.
        gap_weight: weight of the squared distance between the means of a passage's hidden states and of its vectors.
        temperature: of the choice among passages in training.
        rolled: answer with other rows' passages too, in validation.
        levelled: make vectors as large as word embeddings before they are read, with which tiny models learn sooner.
        **kwargs: as for ``CausalLM``.

    Raises:
        ConfigError: if a value is not possible, or settings do not go together.
    """

    takes_turns = True

    def __init__(
        self,
        stage: Stage = "compress",
        rate: int = 16,
        passage_tokens: int = 256,
        compressor: Adapter | None = None,
        reasoner: Adapter | None = None,
        start_from: str | None = None,
        gap_weight: float = 0.1,
        temperature: float = 0.02,
        rolled: bool = True,
        levelled: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_values(stage, rate, passage_tokens, temperature, gap_weight)
        self.stage, self.rate, self.passage_tokens = stage, rate, passage_tokens
        self.vectors = passage_tokens // rate
        compressor, reasoner = compressor or self.adapter, reasoner or compressor or self.adapter
        refuse_together({"adapter": self.adapter, "compressor": compressor, "reasoner": reasoner})
        self.adapter = self.adapter.named("generator")
        self.compressor = cast(PeftAdapter, compressor.named("compressor"))
        self.reasoner = cast(PeftAdapter, reasoner.named("reasoner"))
        for key, adapter in {"compressor": self.compressor, "reasoner": self.reasoner}.items():
            if refused := refusal(adapter, self.quantizer):
                raise ConfigError(f"model.init_args.{key}: {refused.reason}; use {refused.instead}")
        refuse_of_one({"qat": self.qat, "merge": self.merge, "compile": self.compiled})
        self.start_from = start_from
        self.gap_weight, self.temperature, self.rolled, self.levelled = gap_weight, temperature, rolled, levelled
        self.memory: nn.Parameter | None = None
        self._has_own_parts = False
        self._kept = KeptVectors()
        self._known: set[VectorIndex] = set()
        self._reading_of: tuple[Batch, Reading] | None = None

    @property
    def adapters(self) -> dict[str, PeftAdapter]:
        """The adapters that this stage has, by name, the one that writes answers first."""
        found = {"generator": cast(PeftAdapter, self.adapter), "compressor": self.compressor}
        return found | ({"reasoner": self.reasoner} if self.stage == "end_to_end" else {})

    @property
    def learning(self) -> set[str]:
        """The names of the adapters that learn in this stage."""
        return {"generator", "reasoner" if self.stage == "end_to_end" else "compressor"}

    def wrap(self, model: Any) -> nn.Module:
        """Put all adapters of the stage on the backbone, and make the memory vectors."""
        network = wrap_together(model, list(self.adapters.values()))
        let_learn(network, self.learning)
        if self.stage == "end_to_end":
            stop_dropout(network, "compressor")
        weight = model.get_input_embeddings().weight.detach()
        mean, spread = weight.float().mean(0), weight.float().std(0)
        with torch.random.fork_rng():
            torch.manual_seed(derive(global_seed(), "memory"))
            noise = torch.randn(self.vectors, weight.shape[1], device=mean.device)
        learns = self.stage != "end_to_end"
        self.memory = nn.Parameter((mean + spread * noise).to(weight.device), requires_grad=learns)
        return network

    def on_fit_start(self) -> None:
        """Start from another run's parts, unless this one goes on; refuse data that the stage cannot learn from.

        Raises:
            ConfigError: if the stage needs an earlier one and none is named, or the data says otherwise what is read.
        """
        super().on_fit_start()
        reads = getattr(getattr(self._trainer, "datamodule", None), "reads", None)
        refuse_reads(self.stage, reads, has_start=bool(self.start_from) or self._has_own_parts)
        self._take_over()

    def on_validation_start(self) -> None:
        """Start from another run's parts where no checkpoint was loaded."""
        self._take_over()

    def on_test_start(self) -> None:
        """Start from another run's parts where no checkpoint was loaded."""
        self._take_over()

    def on_predict_start(self) -> None:
        """Start from another run's parts where no checkpoint was loaded."""
        self._take_over()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another base; its parts are this run's own."""
        super().on_load_checkpoint(checkpoint)
        self._has_own_parts = True
        self._kept.clear()
        self._known.clear()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss of a micro-batch; it is normalised over the window before the optimizer steps.

        The distance between passages and their vectors is weighed by the target tokens of their row, as the loss is,
        so that neither depends on how a window is cut into micro-batches.
        """
        reading = self._read(batch)
        self._reading_of = batch, reading
        summed, tokens = self.summed_loss(batch, self.label_smoothing)
        self._reading_of = None
        loss = self.normalise_later(summed, tokens)
        if reading.gaps is None:
            return loss
        learned = (batch.labels[:, 1:] != IGNORE).sum(1)
        gap = (reading.gaps * learned).sum()
        self.log("train/gap", gap.detach() / max(1, tokens), batch_size=len(batch))
        return loss + self.gap_weight * gap

    def hidden(self, batch: Batch) -> Tensor:
        """Return the last hidden states ``[B, T, D]`` of a batch, the vectors of its passages in their slots."""
        if batch.input_ids is None or batch.slots is None:
            raise no_passages()
        embeds = self._filled(batch.input_ids, batch.slots, self._reading(batch))
        return super().hidden(replace(batch, input_ids=None, inputs_embeds=embeds))

    def answers(self, batch: Batch, generator: Generator) -> list[Generation]:
        """Generate an answer for every row of a batch; nothing for one without prompts."""
        prompt = batch.prompt
        if prompt is None:
            return []
        if prompt.input_ids is None or prompt.slots is None:
            raise no_passages()
        with torch.no_grad():
            embeds = self._filled(prompt.input_ids, prompt.slots, self._reading(batch))
        embedded = replace(prompt, input_ids=None, inputs_embeds=embeds, slots=None)
        return super().answers(replace(batch, prompt=embedded), generator)

    def predictions(self, batch: Batch, answers: list[Generation]) -> list[Prediction]:
        """Return the rows of predictions.csv; each names the passages that were read, and how like they were."""
        return [replace(row, meta=read_passages(row.meta)) for row in super().predictions(batch, answers)]

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the text that this model writes, besides its trained weights."""
        return super().fingerprint() | {"stage": self.stage, "vectors": f"{self.vectors} of {self.passage_tokens}"}

    def save_extras(self, folder: Path) -> None:
        """Write the other adapters and the memory into a folder that is there."""
        others = {name: adapter for name, adapter in self.adapters.items() if name != "generator"}
        about = {"stage": self.stage} | self._sizes()
        write_parts(folder, cast(nn.Module, self.network), others, cast(Tensor, self.memory), about)

    def merge_adapter(self) -> Any:
        """Refuse with a ConfigError: several adapters share the backbone."""
        raise ConfigError(
            "model: the adapters of ClaraLM share one backbone, so none of them can be merged into it; answer with the "
            "run itself"
        )

    def compress(self, ids: Tensor, mask: Tensor, adapter: str = "compressor") -> tuple[Tensor, Tensor]:
        """Turn texts into vectors; see ``lit_llm.models.compressing.compress``."""
        return compress(cast(nn.Module, self.network), cast(Tensor, self.memory), ids, mask, adapter)

    def compress_frozen(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Turn texts into vectors, the same for a text whatever stands beside it."""
        return compress_frozen(cast(nn.Module, self.network), cast(Tensor, self.memory), ids, mask)

    def asked(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Turn questions into the vectors ``[N, l, H]`` that passages are found by."""
        return self.compress(ids, mask, "reasoner" if self.stage == "end_to_end" else "compressor")[0]

    def vectors_from(self) -> dict[str, Any]:
        """Return what the vectors of a passage depend on, beside its tokens."""
        weights = digest(cast(nn.Module, self.network), "compressor", cast(Tensor, self.memory))
        stored = self.quantizer.fingerprint() if self.quantizer else ""
        return self._sizes() | {"quantizer": stored, "compressor": weights}

    def _sizes(self) -> dict[str, Any]:
        """Return what has to agree between stages."""
        own = {"rate": self.rate, "passage_tokens": self.passage_tokens, "levelled": self.levelled}
        return own | {"base": self.base_fingerprint()}

    def _learned(self) -> set[str]:
        # What does not learn in this stage has learned in an earlier one, and is part of the run.
        adapters = {id(part) for _, parts in adapter_parameters(cast(nn.Module, self.network)) for part in parts}
        return {name for name, part in self.named_parameters() if id(part) in adapters or name == MEMORY}

    def _take_over(self) -> None:
        # Only once a checkpoint would have been loaded: a run that goes on, or answers, has parts of its own.
        if self.start_from and not self._has_own_parts:
            network, memory = cast(nn.Module, self.network), cast(nn.Parameter, self.memory)
            taken = take_over(Path(self.start_from), network, self.adapters, memory, self._sizes())
            rank_zero_info(f"taken over from {self.start_from}: {', '.join(taken)}")
            self._kept.clear()
        self._has_own_parts = True

    def _reading(self, batch: Batch) -> Reading:
        """Return what a batch is read from, computed once for the loss and the answers of it."""
        known = self._reading_of
        if known is not None and known[0] is batch:
            return known[1]
        return self._read(batch)

    def _read(self, batch: Batch) -> Reading:
        passages = batch.passages
        if passages is None:
            raise no_passages()
        if passages.index:
            asked = self.asked(passages.question_ids, passages.question_mask)
            return read_found(self._index(passages.index), asked, passages.reads)
        (vectors, gaps), rows = self._vectors_of(passages), passages.rows
        count = min(passages.reads, rows.shape[1])
        if not count:
            return read_all(vectors, rows, gaps)
        asked = self.asked(passages.question_ids, passages.question_mask)
        scores = likeness(asked, vectors, rows)
        if self.training:
            return read_softly(vectors, rows, scores, count, self.temperature)
        return read_best(vectors, rows, scores, count)

    def _index(self, folder: str) -> VectorIndex:
        """Return an index that this model has made."""
        index = opened(folder)
        if index not in self._known:
            index.refuse_foreign(self.vectors_from())
            self._known.add(index)
        return index

    def _vectors_of(self, passages: Passages) -> tuple[Tensor, Tensor | None]:
        """Return the vectors ``[N, l, H]`` of passages, and their distances where those are learned from."""
        ids, mask = passages.input_ids, passages.attention_mask
        if self.training and self.stage != "end_to_end":
            return self.compress(ids, mask)
        is_kept = self.stage == "end_to_end"
        vectors = self._kept.of(passages, self.compress_frozen) if is_kept else self.compress_frozen(ids, mask)
        return (torch.zeros_like(vectors) if passages.blank else vectors), None

    def _filled(self, ids: Tensor, slots: Tensor, reading: Reading) -> Tensor:
        words = cast(nn.Embedding, self.language_model.get_input_embeddings())
        return filled(words, ids, slots, reading.vectors, self.levelled)

    def _evaluate(self, batch: Batch, *, generate: bool) -> list[Prediction]:
        if batch.passages is None:
            raise no_passages()
        with self._reading_once(batch) as seen:
            found = super()._evaluate(seen, generate=generate)
        # In validation alone, where someone watches a run.
        if generate and self.rolled and self.trainer.validating:
            key = f"{batch.split}/rolled"
            # Made on every process, also where no row takes part: scores are gathered over all of them.
            self._metrics_of(key, batch.task)
            other = rolled(batch)
            if other is not None:
                self._measure(*of_rows(other[0], self.answers(other[0], self.generator), other[1]), key)
        return found

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> list[Prediction]:
        """Answer the rows of a batch."""
        if batch.failed or batch.prompt is None:
            return super().predict_step(batch, batch_idx, dataloader_idx)
        with self._reading_once(batch) as seen:
            return super().predict_step(seen, batch_idx, dataloader_idx)

    @contextmanager
    def _reading_once(self, batch: Batch) -> Iterator[Batch]:
        """Yield a batch that says of each row what it is read from, which is computed once meanwhile."""
        with torch.no_grad():
            reading = self._read(batch)
        meta = batch.meta
        if reading.ranking is not None and reading.scores is not None and batch.passages is not None:
            facts = zip(meta, reading.ranking, reading.scores, strict=True)
            meta = [with_ranking(own, order, scores, batch.passages) for own, order, scores in facts]
        seen = replace(batch, meta=meta)
        self._reading_of = seen, reading
        try:
            yield seen
        finally:
            self._reading_of = None
