"""Callbacks of Lightning against what a run can be resumed with: refused, or told what is configured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    Callback,
    EarlyStopping,
    LearningRateFinder,
    ModelCheckpoint,
    ModelPruning,
    OnExceptionCheckpoint,
    SpikeDetection,
    StochasticWeightAveraging,
    WeightAveraging,
)
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from lit_llm.errors import ConfigError

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

REFUSED: dict[type[Callback], str] = {
    StochasticWeightAveraging: "copies the model before its weights are opened, so that it would average nothing: "
    "leave it out, and let model.init_args.schedule fall to a final of 0",
    WeightAveraging: "keeps a second copy of the whole base in every checkpoint, from which no run can go on, and "
    "adapter/ would hold other weights than were measured: leave it out",
    BaseFinetuning: "changes what learns amid a run: model.init_args.adapter says what learns, from the first step to "
    "the last",
    BatchSizeFinder: "trains with another batch size than config.yaml says, and a resumed run with yet another: set "
    "data.init_args.batch_size, or data.init_args.max_batch_tokens for batches of like cost",
    LearningRateFinder: "trains with another learning rate than config.yaml says: set "
    "model.init_args.optimizer.init_args.lr",
    SpikeDetection: "cannot be resumed, since it does not take up what it has seen: a step that is not finite is never "
    "taken, and trainer.gradient_clip_val holds back large ones",
    OnExceptionCheckpoint: "writes a checkpoint amid a step, from which no run can go on exactly: use "
    "lit_llm.callbacks.RunCheckpoint with every_n_steps, which keeps last.ckpt",
    ModelPruning: "puts masks on weights that neither adapter/ nor a checkpoint would hold: leave it out",
}
"""Why a callback, or one that is derived from it, cannot be part of a run."""


def check_callbacks(trainer: Trainer) -> None:
    """Refuse callbacks with which a run could not be resumed exactly, or would not do what they are for.

    Raises:
        ConfigError: that names the callback, the reason and what to use instead.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        for kind, reason in REFUSED.items():
            if isinstance(callback, kind):
                raise ConfigError(f"trainer.callbacks: {type(callback).__name__} {reason}")


def end_epoch(trainer: Trainer) -> None:
    """Let an epoch that was at its end be so where epochs are cut into more batches now.

    Lightning would take it for one of which some batches are left, and go on amid it.
    """
    progress: Any = trainer.fit_loop.epoch_loop.batch_progress
    if progress.is_last_batch and progress.current.ready and math.isfinite(trainer.num_training_batches):
        ended = int(trainer.num_training_batches)
        progress.current.ready = progress.current.started = progress.current.processed = ended
        progress.current.completed = ended


def write_again(trainer: Trainer) -> None:
    """Let ModelCheckpoint write the file of an epoch whose end is done again once more, not beside it as ``-v1``."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            callback._enable_version_counter = False


class Stopping:
    """Early stopping as it is configured now, with what it has seen so far.

    Lightning's callback takes its patience out of the checkpoint, and forgets that it has stopped the run.

    Args:
        trainer: whose callbacks have not been restored yet.
    """

    def __init__(self, trainer: Trainer) -> None:
        callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
        self._patience = {callback: callback.patience for callback in callbacks if isinstance(callback, EarlyStopping)}

    def apply(self, trainer: Trainer) -> None:
        """Set the configured patience again, and stop a run that had been stopped unless it may go on now."""
        logged: dict[str, Any] = {}
        for checkpoint in trainer.checkpoint_callbacks:
            logged |= getattr(checkpoint, "_logged", {})
        for callback, patience in self._patience.items():
            callback.patience = patience
            if callback.stopping_reason is EarlyStoppingReason.NOT_STOPPED:
                continue
            if _stops_still(callback, logged.get(callback.monitor)):
                _stop(trainer)
            else:
                callback.stopping_reason, callback.stopping_reason_message = EarlyStoppingReason.NOT_STOPPED, None


def _stop(trainer: Any) -> None:
    """Stop a run that is gone on with; an epoch whose end is still to come has it first, as it would have had."""
    progress, loop = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop
    if progress.processed >= progress.started:
        trainer.should_stop = True
        return
    begin = loop.on_run_start

    def stopped(data_fetcher: Any) -> None:
        begin(data_fetcher)
        trainer.should_stop = True
        del loop.on_run_start

    # Told so before, Lightning would not enter the epoch; told so here, it takes no batch of it.
    loop.on_run_start = stopped


def _stops_still(callback: EarlyStopping, last: Any) -> bool:
    """Return whether the settings of now stop a run where others did; ``last`` is the number that it waits for."""
    if callback.stopping_reason is EarlyStoppingReason.PATIENCE_EXHAUSTED:
        return callback.wait_count >= callback.patience
    if last is None:
        return True
    # The number has been counted already; only its limits are asked for once more.
    limits = EarlyStopping(
        callback.monitor,
        patience=10**9,
        mode=callback.mode,
        check_finite=callback.check_finite,
        stopping_threshold=callback.stopping_threshold,
        divergence_threshold=callback.divergence_threshold,
    )
    return limits._evaluate_stopping_criteria(last.squeeze())[0]
