"""What a run that goes on must share with the one that was stopped."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from lit_llm.errors import ConfigError


class Progress:
    """Where in an epoch a run was stopped, and in which plan of batches.

    A position is a number of batches, so that amid an epoch it means something in the same plan alone.
    """

    def __init__(self) -> None:
        self._plan = ""
        self._length = 0
        self._stopped_in: str | None = None

    def check(self, plan: str, length: int) -> None:
        """Take up a plan of batches.

        Args:
            plan: its fingerprint.
            length: batches in an epoch.

        Raises:
            ConfigError: if the run to resume stopped amid an epoch of another plan.
        """
        if self._stopped_in not in (None, plan):
            raise ConfigError(
                "data: the run to resume stopped amid an epoch, and these settings cut that epoch into other batches: "
                "resume with its batch_size, max_batch_tokens, pad_to_multiple_of, changes, accumulate_grad_batches, "
                "devices and rows, or from a checkpoint at the end of an epoch"
            )
        self._plan, self._length = plan, length

    def state_dict(self, batches: int) -> dict[str, Any]:
        """Return the plan and whether it is left amid an epoch.

        Args:
            batches: of the epoch that are done.
        """
        return {"plan": self._plan, "amid_epoch": bool(self._length and batches % self._length)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what ``state_dict`` returned; a checkpoint of an earlier version says nothing."""
        self._stopped_in = state["plan"] if state.get("amid_epoch") else None


def check_same_rows(mine: dict[str, Any], saved: dict[str, Any], *, trains: bool) -> None:
    """Check the data of this run against that of a checkpoint.

    Args:
        mine: state of this run's data.
        saved: that of the checkpoint.
        trains: whether this run trains.

    Raises:
        ConfigError: if the checkpoint was trained with another template, or resumes over other rows.
    """
    if saved["template"] != mine["template"]:
        raise ConfigError(
            f"data: the checkpoint was trained with template {saved['template']}, this configuration writes "
            f"{mine['template']}: use the chat_template, system, instruction and tokenizer of the run's config.yaml"
        )
    if trains and saved["rows"] != mine["rows"]:
        raise ConfigError(
            f"data.init_args.train: the run to resume had {saved['rows']} rows in an epoch, this one has "
            f"{mine['rows']}: resume with the same file and augmentation_factor, or start a new run"
        )
    # Checkpoints of an earlier version do not say it.
    if trains and saved.get("content", mine["content"]) != mine["content"]:
        raise ConfigError(
            f"data.init_args.train: the run to resume was trained on other rows (content {saved['content']}, here "
            f"{mine['content']}): resume with the file as it was, read as it was, or start a new run"
        )
    if trains and saved.get("valid", mine.get("valid")) != mine.get("valid"):
        rank_zero_info(
            "data.init_args.valid: the run so far was measured on other rows: scores before and after cannot be "
            "compared, and best.ckpt stays until it is beaten on these"
        )


def check_validated(trainer: Any, batches: int) -> None:
    """Refuse to wait for a validation that an epoch is too short for.

    Args:
        trainer: Lightning's, or None.
        batches: of an epoch, on one process.

    Raises:
        ConfigError: with the number of batches.
    """
    every = getattr(trainer, "val_check_interval", None)
    if not isinstance(every, int) or trainer.check_val_every_n_epoch is None:
        return
    limit = trainer.limit_train_batches
    most = min(batches, limit if isinstance(limit, int) else int(batches * limit))
    if every > most:
        raise ConfigError(
            f"trainer.val_check_interval is {every} batches, and an epoch has {most}: use {most} or less, a share such "
            "as 1.0, or set trainer.check_val_every_n_epoch to null, which counts on over epochs"
        )
