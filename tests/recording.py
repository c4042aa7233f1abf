"""What tests put into a run through its configuration, to see from inside what happens."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch.callbacks import Callback

from lit_llm.adapters import LoRA
from lit_llm.batch import Batch
from lit_llm.errors import UserError


class RecordingAdamW(torch.optim.AdamW):
    """AdamW that saves every step's gradients to ``folder/<step>.pt`` on process 0.

    Args:
        params: weights.
        folder: where to write.
        lr: learning rate.
    """

    def __init__(self, params: Any, folder: str, lr: float = 1e-3) -> None:
        super().__init__(params, lr=lr)
        self.folder = Path(folder)
        self.count = 0

    def step(self, closure: Any = None) -> Any:
        loss = closure() if closure else None
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            grads = [p.grad.clone() for group in self.param_groups for p in group["params"] if p.grad is not None]
            torch.save(grads, self.folder / f"{self.count:03d}.pt")
        self.count += 1
        super().step()
        return loss


class RecordBatches(Callback):
    """Writes the row ids and texts of every training batch to a file, a line each.

    Args:
        path: the file; lines are added.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps([trainer.current_epoch, batch_idx, batch.ids, batch.texts]) + "\n")


class StopAt(Callback):
    """Ends the process, or raises, in the middle of an epoch.

    Args:
        batch: how many batches to let pass, over all epochs.
        how: ``SIGKILL`` or ``SIGINT``, sent to this process, or ``error``.
    """

    def __init__(self, batch: int, how: str) -> None:
        self.batch = batch
        self.how = how

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 != self.batch:
            return
        if self.how == "error":
            raise UserError("stopped for a test")
        os.kill(os.getpid(), signal.Signals[self.how])


class CountingLoRA(LoRA):
    """Notes how many batches it starts from."""

    seen: ClassVar[list[int]] = []

    def initialize(self, network: Any, batches: Iterable[Batch]) -> None:
        """Count them, then start."""
        found = list(batches)
        self.seen.append(len(found))
        super().initialize(network, found)


class Spoil(Callback):
    """Puts a number that is not finite into the gradient of some training batches, after their backward pass.

    Args:
        batches: which, counted from 0 over all epochs.
        ever: spoil every batch from the first of them on.
        value: what is put there, such as ``inf`` or ``nan``.
        process: the one process that does so.
    """

    def __init__(self, batches: list[int], ever: bool = False, value: str = "inf", process: int = 0) -> None:
        self.batches, self.ever, self.value, self.process = batches, ever, float(value), process

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        now = trainer.fit_loop.epoch_loop.total_batch_idx
        if trainer.global_rank == self.process and (now in self.batches or (self.ever and now > self.batches[0])):
            next(w for w in pl_module.parameters() if w.grad is not None).grad.view(-1)[-1] = self.value


class Meanwhile(Callback):
    """Stands for another process: writes a file as the training is set up, or keeps a batch waiting for ever.

    Args:
        path: of the file that is written; without it, the first batch waits.
    """

    def __init__(self, path: str | None = None) -> None:
        self.path = path

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        if self.path:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            Path(self.path).write_bytes(b"of another process")

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        while not self.path:
            (Path(trainer.default_root_dir).parent / "waiting").touch()
            time.sleep(1)
