"""What every model shares: backbone → adapter, optimizer, checkpoints, exact normalisation of the loss."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from lit_llm.adapters import Adapter, LoRA, causal_lm
from lit_llm.errors import ConfigError, UserError
from lit_llm.models.backbone import EMBEDDED, Loading, fingerprint, open_model, open_tokenizer, weight_dtype
from lit_llm.models.checkpoints import of_base, refuse_misfit
from lit_llm.models.head import AfterHead, after_head
from lit_llm.models.layers import Checkpointing, prepare_layers, refuse_layers
from lit_llm.models.pace import Pace, planned
from lit_llm.models.schedule import Schedule, parameter_groups
from lit_llm.models.start import first_batches, say_router_loss
from lit_llm.models.window import RANGES, Window, gradient_norm, refuse_step, refuse_weights, scaler_skips
from lit_llm.paths import at_home
from lit_llm.quantization import QAT, Quantizer, refusal, refuse_to_learn
from lit_llm.quantization.qat import Ranges
from lit_llm.seeding import derive, global_seed
from lit_llm.sharing import complete_trained
from lit_llm.version import __version__

# Annotations are evaluated here: postponed ones would make jsonargparse import what this block guards.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

OptimizerFactory = Callable[[Any], torch.optim.Optimizer]

ADAMW: dict[str, Any] = {"lr": 2e-4, "weight_decay": 0.01, "betas": (0.9, 0.95)}


def adamw(params: Any) -> torch.optim.Optimizer:
    """Return AdamW with the settings that fine-tuning starts from."""
    return torch.optim.AdamW(params, **ADAMW)


class LitLM(LightningModule):
    """A language model with an adapter, trained on batches of ``lit_llm.batch.Batch``.

    The gradient of an optimizer step is that of the mean loss over the target tokens of the whole accumulation window
    and all processes, however the window is cut into micro-batches.

    Args:
        backbone: hub id or folder of the base model.
        adapter: which weights learn; LoRA by default.
        loading: how the backbone is opened.
        quantizer: how the backbone's weights are stored, for QLoRA; by default as they are.
        qat: how weights are rounded while they learn, for quantization-aware training; by default they are not.
        optimizer: class and arguments of the optimizer.
        schedule: of the learning rate, per optimizer step.
        gradient_checkpointing: compute activations again in the backward pass, which saves memory: true for all layers,
            a share of them such as 0.5, or ``selective`` for what costs little in all of them.
        compile: compile the training of each decoder layer; it takes a minute at the start.
        label_smoothing: share of probability spread over the vocabulary in training.
        merge: add the adapter into the weights before ``test`` and ``predict``, which is faster; weights that are
            quantized take the memory of plain ones then.
    """

    takes_turns = False
    """Whether its backbone has several adapters, of which one computes at a time."""

    def __init__(
        self,
        backbone: str = EMBEDDED,
        adapter: Adapter | None = None,
        loading: Loading | None = None,
        quantizer: Quantizer | None = None,
        qat: QAT | None = None,
        optimizer: OptimizerFactory = adamw,
        schedule: Schedule | None = None,
        gradient_checkpointing: Checkpointing = False,
        compile: bool = False,
        label_smoothing: float = 0.0,
        merge: bool = False,
    ) -> None:
        super().__init__()
        if not callable(optimizer):
            raise ConfigError(
                f"model.init_args.optimizer: is {optimizer}, and something has to move the weights: leave it out for "
                "AdamW, or name one, such as class_path: torch.optim.AdamW"
            )
        if not 0 <= label_smoothing < 1:
            raise ConfigError(f"model.init_args.label_smoothing is {label_smoothing}: use 0 or more, and less than 1")
        self.backbone = at_home(backbone)
        self.adapter = adapter or LoRA()
        self.loading = loading or Loading()
        self.quantizer = quantizer
        self.qat = qat
        self.optimizer_factory = optimizer
        self.schedule = schedule or Schedule()
        refuse_layers(gradient_checkpointing, compile, self.adapter)
        self.gradient_checkpointing, self.compiled = gradient_checkpointing, compile
        self.label_smoothing, self.merge = label_smoothing, merge
        if refused := refusal(self.adapter, quantizer):
            raise ConfigError(
                f"model.init_args.adapter: {self.adapter.kind} does not go with {type(quantizer).__name__}: "
                f"{refused.reason}; use {refused.instead}"
            )
        if qat:
            qat.check(self.adapter, quantizer, self.loading.device_map)
        # Bits by the name of each layer that is rounded.
        self._rounded: dict[str, int] = {}
        self.ranges = Ranges()
        self.network: nn.Module | None = None
        self.after_head = AfterHead()
        # Adapter-only checkpoints lack the frozen weights; load_state_dict checks that nothing else is missing.
        self.strict_loading = False
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._base: str | None = None
        self._window, self.pace, self._stepped = Window(), Pace(), True

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The backbone's tokenizer, opened on first use."""
        if self._tokenizer is None:
            self._tokenizer = open_tokenizer(self.backbone, self.loading)
        return self._tokenizer

    @property
    def language_model(self) -> "PreTrainedModel":
        """The Hugging Face model under the adapter."""
        if self.network is None:
            raise UserError("model: the network is not built yet; call configure_model() first")
        return causal_lm(self.network)

    def configure_model(self) -> None:
        """Open the backbone and put the adapter on it; does nothing the second time."""
        if self.network is not None:
            return
        # Forked, so that random weights depend on the seed and not on what was drawn before.
        with torch.random.fork_rng():
            torch.manual_seed(derive(global_seed(), "weights"))
            precision = str(self.trainer.precision) if self._trainer else "32-true"
            dtype = weight_dtype(self.loading, precision, learns_whole=self.adapter.folder == "model")
            model = open_model(self.backbone, self.loading, dtype, self.quantizer)
            self.after_head = after_head(model)
            self._rounded = self.qat.plan(model) if self.qat else {}
            prepare_layers(model, self.gradient_checkpointing, self.compiled, self.takes_turns)
            if self.qat:
                self.ranges.update(self.qat.new_ranges(model, self._rounded))
            self.network = self.wrap(model)
        self._round(self.adapter)
        self.network.train()

    def wrap(self, model: "PreTrainedModel") -> nn.Module:
        """Put what learns on the backbone, in place, and return the network."""
        return self.adapter.wrap(model)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer over trainable weights, and a schedule that moves per optimizer step.

        Raises:
            ConfigError: if the optimizer cannot be made, or no gradient would pass through the backbone.
        """
        refuse_to_learn(self.language_model)
        say_router_loss(self.language_model.config)
        try:
            optimizer = self.optimizer_factory(parameter_groups(self.named_parameters(), self._scale))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"model.init_args.optimizer: {error}") from error
        for group in optimizer.param_groups:
            group["lr"] *= group.pop("lr_scale")
        if planned(self.trainer) == float("inf"):
            raise ConfigError("trainer.max_epochs: the schedule plans over the whole run: set max_epochs or max_steps")
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.schedule.factor(*self._place(step)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by epoch, batch and process, so that a resumed run draws what it would have drawn."""
        torch.manual_seed(derive(global_seed(), "step", self.current_epoch, batch_idx, self.global_rank))
        self._window.rows.append(list(batch.ids))
        if self.qat:
            self.log("train/weight_bits", float(self.qat.follow(*self._place(self.global_step))))

    def _place(self, step: int) -> tuple[int, Any]:
        """Return where an optimizer step stands in the schedule, and how many steps that has."""
        return self.pace.place(step, self.trainer), planned(self.trainer)

    def normalise_later(self, summed: Tensor, tokens: int) -> Tensor:
        """Note a micro-batch's summed loss and target tokens; the gradient is divided once per optimizer step."""
        self._window.note(summed, tokens)
        penalty = self.adapter.penalty(self.network) if self.network is not None else None
        return summed if penalty is None else summed + penalty * tokens

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Divide gradients by the target tokens of the window over all processes, before they are clipped.

        Raises:
            UserError: if loss or gradient is not finite; the step is not taken.
        """
        window, self._window = self._window, Window()
        gradients = [w.grad for w in self.parameters() if w.grad is not None]
        norm = gradient_norm(gradients, self.device)
        summed, tokens, broken = window.over_all(self.trainer.strategy, norm)
        # Lightning has divided by the accumulation constant, and DDP by the number of processes.
        scale = self.trainer.accumulate_grad_batches * self.trainer.world_size / tokens
        self._stepped = not broken
        if not math.isfinite(summed) or (broken and not scaler_skips(self.trainer)):
            refuse_step(self.trainer, self, window, summed / tokens, float(norm) * scale)
        if self.qat:
            self.qat.before_step()
        # Gradients were summed unscaled, because a window's number of tokens is known only at its end.
        torch._foreach_mul_(gradients, scale)
        self.log("train/loss", summed / tokens, prog_bar=True)
        self.log("train/grad_norm", (norm * scale).float())
        self.log("train/lr", optimizer.param_groups[0]["lr"])

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then let the adapter follow (AdaLoRA moves its ranks), before any callback writes a checkpoint."""
        super().optimizer_step(*args, **kwargs)
        # Of a step that float16's scaler has left out, the gradient means nothing.
        if self.network is not None and self._stepped:
            self.adapter.after_step(self.network, *self._place(self.global_step + 1))

    def on_fit_start(self) -> None:
        """Give an adapter that starts from data its training batches, unless the run is resumed."""
        if self.adapter.needs_data and not self.trainer.ckpt_path and self.network is not None:
            self.adapter.initialize(self.network, first_batches(self, self.adapter.start_batches))
            self._round(self.adapter)

    def on_test_start(self) -> None:
        """Merge the adapter if asked."""
        self.merge_if_asked()

    def on_predict_start(self) -> None:
        """Merge the adapter if asked."""
        self.merge_if_asked()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return the weights that learn, and nothing else."""
        learned = self._learned()
        return {k: v for k, v in super().state_dict(*args, **kwargs).items() if k in learned}

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load the weights that learn; raises ConfigError if one is missing or unknown, as of another adapter."""
        learned = self._learned()
        mine = {name: weight for name, weight in self.named_parameters() if name in learned}
        refuse_misfit(state_dict, mine, type(self.adapter).__name__)
        return super().load_state_dict(state_dict, strict=False, assign=assign)

    def _learned(self) -> set[str]:
        # Ranges that are only frozen do not learn, and are part of what was trained all the same.
        return {name for name, w in self.named_parameters() if w.requires_grad or name.startswith(RANGES)}

    def base_fingerprint(self) -> str:
        """Return a hash of the base weights, so that a checkpoint is not used on another base."""
        if self._base is None:
            self._base = fingerprint(self.backbone, self.loading, global_seed())
        return self._base

    def fingerprint(self) -> dict[str, str]:
        """Return what decides the text that this model writes, besides its trained weights."""
        return {
            "backbone": self.backbone,
            "base": self.base_fingerprint(),
            "adapter": type(self.adapter).__name__,
            "quantizer": self.quantizer.fingerprint() if self.quantizer else "",
            "precision": str(self.trainer.precision),
            "merge": str(self.merge),
            "qat": json.dumps(self.qat.settings()) if self.qat else "",
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add which base the weights belong to; raises UserError if one of them is not finite."""
        refuse_weights(checkpoint["state_dict"], self.global_step)
        checkpoint["lit_llm"] = {
            "version": __version__,
            "backbone": self.backbone,
            "base": self.base_fingerprint(),
            "adapter": self.adapter.state_dict(self.network) if self.network is not None else {},
            "pace": self.pace.state_dict(),
            "optimizers": [type(optimizer).__name__ for optimizer in self.trainer.optimizers],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another base.

        Raises:
            ConfigError: if the checkpoint was trained on another base than the configured one.
        """
        saved = of_base(checkpoint.get("lit_llm"), self.backbone, self.base_fingerprint())
        self.pace.load_state_dict(saved.get("pace", {}))
        if self.network is not None:
            self.adapter.load_state_dict(self.network, saved["adapter"])
            self._round(self.adapter)

    def save_adapter(self, folder: Path) -> None:
        """Write what was trained in the format of its own library, with tokenizer and fingerprints.

        Args:
            folder: is made; ``adapter_model.safetensors`` or a whole model for full fine-tuning.
        """
        if self.network is None:
            raise UserError("model: there is nothing to save before configure_model()")
        refuse_weights(self.state_dict(), self.global_step)
        self.adapter.save(self.network, folder)
        complete_trained(folder, self)

    def save_extras(self, folder: Path) -> None:
        """Write what learns beside the language model into a folder that is there; here that is nothing."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LitLM":
        # Weights that a device map has placed stay there.
        placed = self.network is not None and hasattr(self.language_model, "hf_device_map")
        return self if placed else super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _scale(self, name: str) -> float:
        return self.adapter.learning_rate_scale(name)

    def restore_weights(self) -> None:
        """Replace weights that a quantizer has stored by the numbers that they stand for; does nothing to others."""
        if self.quantizer:
            self.quantizer.restore(self.language_model)

    def stop_rounding(self) -> None:
        """Let layers compute with the weights that ``qat`` rounds, unrounded; does nothing without it."""
        if self.qat:
            self.qat.detach(self.language_model, self._rounded)

    def merge_adapter(self) -> "PreTrainedModel":
        """Fold the adapter into the backbone, in place, and return the plain model.

        Weights that a quantizer has stored become the numbers that they stand for first, which the adapter was trained
        on: merging into what is stored would round the result once more. Weights that ``qat`` has rounded are not
        rounded in the result.
        """
        self.restore_weights()
        self.stop_rounding()
        merged = self.adapter.merge(cast(nn.Module, self.network))
        self.network = merged
        return merged

    def merge_if_asked(self) -> None:
        """Merge the adapter where ``merge`` says so, as before a test or a prediction."""
        if self.merge and self.network is not None:
            self.merge_adapter()
            self._round(None)

    def _round(self, adapter: Adapter | None) -> None:
        """Let layers compute with rounded weights, merged with what an adapter has learned; again where it moved."""
        if self.qat:
            self.qat.attach(self.language_model, self._rounded, adapter, self.ranges)
