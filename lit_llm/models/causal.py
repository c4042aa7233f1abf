"""The causal language model: a batch becomes a loss, or text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from lit_llm.batch import FILLER, Batch, Prediction, as_text
from lit_llm.errors import ConfigError
from lit_llm.generation import Constraint, Generation, Generator
from lit_llm.metrics import FieldScore, TextMetric
from lit_llm.models.base import LitLM
from lit_llm.models.loss import chunked_cross_entropy, labelled_states
from lit_llm.models.packing import refuse_packing
from lit_llm.results import place

TAUGHT = 3_000
"""Training answers, evenly spread over the file, that guesses are learned from."""


class CausalLM(LitLM):
    """Fine-tunes a causal language model and answers with it.

    Validation and test give ``val/loss`` and ``test/<file>/loss``, the mean over target tokens, their exponential
    ``perplexity``, and the metrics of what is generated, as ``val/<metric>`` and ``test/<file>/<metric>``.

    Args:
        generator: how answers are generated.
        also: further ways to generate by name, measured beside the first as ``val/<name>/<metric>``.
        metrics: what is measured on generated answers.
        generate_every: validations between two that generate; the others give the loss alone.
        **kwargs: as for ``LitLM``.
    """

    writes_text = True
    """Whether it can be asked."""

    def __init__(
        self,
        generator: Generator | None = None,
        also: dict[str, Generator] | None = None,
        metrics: list[TextMetric] | None = None,
        generate_every: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if generate_every < 1:
            raise ConfigError(f"model.init_args.generate_every is {generate_every}: use 1 or more")
        self.generator = generator or Generator()
        self.also = also or {}
        self.metrics = metrics or []
        self.generate_every = generate_every
        # A copy of each metric for every split and way of generating; no part of the network, hence a plain dict.
        self._measured: dict[str, list[TextMetric]] = {}
        self._losses: dict[str, Tensor] = {}
        self._validations = 0
        self._taught: set[int] = set()

    @property
    def constraints(self) -> dict[str, Constraint]:
        """What holds answers to a grammar, by the key of its generator."""
        ways = {"generator": self.generator, **{f"also.{name}": generator for name, generator in self.also.items()}}
        return {f"model.init_args.{key}": way.constraint for key, way in ways.items() if way.constraint}

    @property
    def main_metric(self) -> str:
        """Name of the logged number that tells best how good the model is; the loss of a mixture."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        task = getattr(datamodule, "main_task", None)
        main = [metric.main for metric in self.metrics if metric.task == task]
        return f"val/{main[0]}" if main and main[0] else "val/loss"

    def configure_model(self) -> None:
        """Open the backbone, and refuse one that cannot generate as is set."""
        super().configure_model()
        for generator in (self.generator, *self.also.values()):
            if generator.draft:
                generator.prepare(self.language_model, self.tokenizer)

    def on_fit_start(self) -> None:
        """Refuse rows that the backbone could not tell apart; see ``LitLM`` for what else happens."""
        if getattr(getattr(self.trainer, "datamodule", None), "packing", False):
            refuse_packing(self.language_model)
        super().on_fit_start()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add where the schedule of generating validations stands."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["lit_llm"]["validations"] = self._validations

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with that schedule."""
        super().on_load_checkpoint(checkpoint)
        self._validations = checkpoint["lit_llm"].get("validations", 0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the summed loss of a micro-batch; it is normalised over the window before the optimizer steps."""
        summed, tokens = self.summed_loss(batch, self.label_smoothing)
        return self.normalise_later(summed, tokens)

    def summed_loss(self, batch: Batch, label_smoothing: float = 0.0) -> tuple[Tensor, int]:
        """Return the cross-entropy summed over target tokens, and their number."""
        states, targets = labelled_states(self.hidden(batch), batch.labels)
        head = self.language_model.get_output_embeddings()
        return chunked_cross_entropy(states, targets, head, label_smoothing, after=self.after_head), len(targets)

    def hidden(self, batch: Batch) -> Tensor:
        """Return the last hidden states ``[B, T, D]`` of a batch."""
        # Padding stands on the right, where causal attention never looks; kernels for a causal mask alone are faster.
        inputs: dict[str, Any] = {"attention_mask": None, "position_ids": batch.position_ids}
        given = (
            {"input_ids": batch.input_ids} if batch.inputs_embeds is None else {"inputs_embeds": batch.inputs_embeds}
        )
        decoder = self.language_model.base_model
        return decoder(**inputs, **given, use_cache=False).last_hidden_state  # type: ignore[no-any-return]

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the text that this model writes, besides its trained weights."""
        settings = {k: v for k, v in vars(self.generator).items() if isinstance(v, str | int | float)}
        # How fast an answer comes is no part of it.
        settings.pop("share_prompt", None)
        constraint = type(self.generator.constraint).__name__
        return super().fingerprint() | {"generator": json.dumps(settings, sort_keys=True), "constraint": constraint}

    def on_validation_epoch_start(self) -> None:
        """Forget the rows of the validation before."""
        self._reset()

    def on_test_epoch_start(self) -> None:
        """Forget rows measured before."""
        self._reset()

    def validation_step(  # type: ignore[override]
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> list[Prediction]:
        """Measure the loss, and the generated answers when they are due."""
        due = not self.trainer.sanity_checking and self._validations % self.generate_every == 0
        return self._evaluate(batch, generate=due)

    def test_step(  # type: ignore[override]
        self, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> list[Prediction]:
        """Measure the loss and the generated answers."""
        return self._evaluate(batch, generate=True)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> list[Prediction]:
        """Answer the rows of a batch."""
        if batch.failed:
            return _failures(batch)
        if batch.prompt is None:
            return []
        return self.predictions(batch, self.answers(batch, self.generator))

    def on_validation_epoch_end(self) -> None:
        """Log the validation's loss and metrics."""
        self._log_epoch("val")
        self._validations += not self.trainer.sanity_checking

    def on_test_epoch_end(self) -> None:
        """Log each test file's loss and metrics."""
        self._log_epoch("test")

    def signatures(self) -> dict[str, dict[str, str]]:
        """Return how the scores of the rows measured last were made, by task and score.

        Where splits differ in it, as in their number of references, each has its own, as ``<split>/<score>``.
        """
        found: dict[str, dict[str, dict[str, str]]] = {}
        for key, metrics in self._measured.items():
            for metric in metrics:
                for score, signature in metric.signatures().items():
                    found.setdefault(metric.task, {}).setdefault(score, {})[key] = signature
        return {task: _where_they_differ(scores) for task, scores in found.items()}

    def per_field(self) -> dict[str, dict[str, FieldScore]]:
        """Return the score of each field by split, for the rows measured since the epoch began."""
        named = {key: metric for key, metrics in self._measured.items() for metric in metrics}
        return {key: metric.per_field() for key, metric in named.items()}

    def answers(self, batch: Batch, generator: Generator) -> list[Generation]:
        """Generate an answer for every row of a batch; nothing for one without prompts."""
        if self.network is None or batch.prompt is None:
            return []
        self._teach(generator)
        facts = [meta | {"source": text} for meta, text in zip(batch.meta, batch.texts, strict=True)]
        given = generator.generate(self.network, self.tokenizer, batch.prompt, facts)
        # Rows that only even out processes have no facts to settle by.
        rows = zip(batch.ids, given, batch.meta, strict=True)
        return [answer if row_id == FILLER else self._settled(answer, meta) for row_id, answer, meta in rows]

    def predictions(self, batch: Batch, answers: list[Generation]) -> list[Prediction]:
        """Return the rows of predictions.csv for generated answers; rows that only fill a batch are left out."""
        rows = []
        for i, (row_id, answer) in enumerate(zip(batch.ids, answers, strict=True)):
            if row_id == FILLER:
                continue
            final, status, error = self._postprocess(answer.text, batch.meta[i] | answer.notes)
            if not answer.finished:
                status, error = "length", f"stopped at {answer.new_tokens} tokens"
            rows.append(
                Prediction(
                    id=row_id,
                    text=batch.texts[i],
                    prediction=final if status != "invalid" else "",
                    reference=as_text(batch.references[i]),
                    status=status,
                    error=error,
                    raw=answer.text,
                    new_tokens=answer.new_tokens,
                    score=answer.score,
                    meta={"split": batch.split} | _shown(batch.meta[i]) | answer.notes,
                )
            )
        return rows

    def _teach(self, generator: Generator) -> None:
        """Let guesses begin with what training answers look like, once."""
        known = getattr(getattr(self._trainer, "datamodule", None), "training_answers", None)
        if generator.draft and generator.draft.learns and known and id(generator) not in self._taught:
            self._taught.add(id(generator))
            for answer in known(TAUGHT):
                generator.draft.learn(answer)

    def _evaluate(self, batch: Batch, *, generate: bool) -> list[Prediction]:
        summed, tokens = self.summed_loss(batch)
        # In float64: a float32 sum over a large split loses the digits that two checkpoints differ in.
        noted = torch.stack([summed.double(), torch.tensor(float(tokens), device=summed.device).double()])
        self._losses[batch.split] = self._losses.get(batch.split, torch.zeros_like(noted)) + noted
        if not generate or batch.prompt is None:
            return []
        answers = self.answers(batch, self.generator)
        self._measure(batch, answers, batch.split)
        for name, generator in self.also.items():
            self._measure(batch, self.answers(batch, generator), f"{batch.split}/{name}")
        return self.predictions(batch, answers)

    def _measure(self, batch: Batch, answers: list[Generation], key: str) -> None:
        real = [i for i, row_id in enumerate(batch.ids) if row_id != FILLER]
        texts, references = [answers[i].text for i in real], [batch.references[i] for i in real]
        meta = [
            batch.meta[i]
            | answers[i].notes
            | {"id": batch.ids[i], "source": batch.texts[i], "finished": answers[i].finished}
            for i in real
        ]
        for metric in self._metrics_of(key, batch.task):
            metric.update(texts, references, meta)

    def _metrics_of(self, key: str, task: str) -> list[TextMetric]:
        if key not in self._measured:
            mine = [cast(TextMetric, metric.clone()) for metric in self.metrics if metric.task == task]
            self._measured[key] = [metric.to(self.device) for metric in mine]
        return self._measured[key]

    def _reset(self) -> None:
        self._losses = {}
        self._measured = {}

    def _log_epoch(self, prefix: str) -> None:
        losses: dict[str, Tensor] = {}
        for split, noted in self._losses.items():
            name = "/".join([*place(prefix, split), "loss"])
            losses[name] = self.trainer.strategy.reduce(noted, reduce_op="sum")
        if prefix == "val" and losses:
            losses = {"val/loss": torch.stack(list(losses.values())).sum(0)} | losses
        for name, (summed, tokens) in losses.items():
            if tokens > 0:
                mean = summed / tokens
                self.log(name, mean, prog_bar=name == "val/loss")
                self.log(f"{name.removesuffix('loss')}perplexity", mean.exp())
        for key, metrics in self._measured.items():
            split, *way = key.split("/")
            for metric in metrics:
                for name, value in metric.compute().items():
                    shown = name == "field_f1" and prefix == "val"
                    self.log("/".join([*place(prefix, split), *way, name]), float(value), prog_bar=shown)

    def _settled(self, answer: Generation, meta: dict[str, Any]) -> Generation:
        datamodule: Any = getattr(self._trainer, "datamodule", None)
        if not hasattr(datamodule, "settled"):
            return answer
        text, notes = datamodule.settled(answer.text, meta)
        return replace(answer, text=text, notes=notes)

    def _postprocess(self, raw: str, meta: dict[str, Any]) -> tuple[str, str, str]:
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        return datamodule.postprocess(raw, meta) if datamodule is not None else (raw, "ok", "")


def _failures(batch: Batch) -> list[Prediction]:
    """Return the rows of predictions.csv for a batch that cannot be answered."""
    rows = zip(batch.ids, batch.texts, batch.references, batch.failed, batch.meta, strict=True)
    return [
        Prediction(
            id=row_id,
            text=text,
            prediction="",
            reference=as_text(reference),
            status="error",
            error=reason,
            meta={"split": batch.split} | _shown(meta),
        )
        for row_id, text, reference, reason, meta in rows
        if row_id != FILLER
    ]


def _shown(meta: dict[str, Any]) -> dict[str, Any]:
    """Return a row's meta without what says nothing about the row that its status does not, and would fill the file."""
    return {name: value for name, value in meta.items() if name not in ("schema", "catalogues")}


def _where_they_differ(scores: dict[str, dict[str, str]]) -> dict[str, str]:
    """Return one value for a score where all splits agree, else one for each split."""
    found: dict[str, str] = {}
    for score, by_split in scores.items():
        alike = len(set(by_split.values())) == 1
        found |= {score if alike else f"{split}/{score}": value for split, value in by_split.items()}
    return found
