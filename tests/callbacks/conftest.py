"""Small modules and data that train in a fraction of a second and record what they saw."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_llm.batch import IGNORE, Batch
from lit_llm.seeding import derive


class Net(LightningModule):
    """A linear layer with dropout, whose ``trace`` holds every batch, loss and validation in order."""

    def __init__(self, trace: Path | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 1)
        self.dropout = torch.nn.Dropout(0.5)
        self.trace: list[tuple] = []
        self.file = trace

    def note(self, *entry) -> None:
        self.trace.append(entry)
        if self.file:
            with self.file.open("a") as file:
                file.write(json.dumps(entry) + "\n")

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        torch.manual_seed(derive("step", self.current_epoch, index))

    def training_step(self, batch: Batch, index: int):
        rows = torch.tensor([[float(i)] * 4 for i in batch.ids])
        loss = self.layer(self.dropout(rows / 10)).square().mean()
        self.note("train", self.trainer.current_epoch, list(batch.ids), round(loss.item(), 9))
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: Batch, index: int):
        if not self.trainer.sanity_checking:
            torch.rand(3)  # as sampling in a validation would
            self.note("valid", self.trainer.global_step, index)
        self.log("val/score", self.layer.weight.detach().sum(), batch_size=1)
        return []

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=0.05)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.95**step)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def save_adapter(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        torch.save(self.layer.weight.detach().clone(), folder / "weight.pt")


class Loader:
    """Yields the batches that are left of the epoch that training is in."""

    def __init__(self, length: int, data: LightningDataModule) -> None:
        self.length, self.data = length, data

    def __len__(self) -> int:
        return self.length

    def __iter__(self):
        trainer = self.data.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        rows = list(range(2 * self.length))
        random.Random(trainer.current_epoch).shuffle(rows)
        for i in range(done, self.length):
            yield make_batch(rows[2 * i : 2 * i + 2])

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Data(LightningDataModule):
    """``batches`` training batches of two rows and two validation batches."""

    def __init__(self, batches: int = 7) -> None:
        super().__init__()
        self.batches = batches

    def train_dataloader(self):
        return Loader(self.batches, self)

    def val_dataloader(self):
        return torch.utils.data.DataLoader([0, 1], batch_size=1, collate_fn=lambda rows: make_batch(rows))


def make_batch(rows: list[int], width: int = 5, learned: int = 2) -> Batch:
    """Rows of ``width`` tokens of which the last ``learned`` are learned and every first is padding."""
    mask = torch.ones(len(rows), width, dtype=torch.long)
    mask[:, 0] = 0
    labels = torch.full((len(rows), width), IGNORE)
    labels[:, -learned:] = 1
    return Batch([str(r) for r in rows], "train", "toy", mask, labels, input_ids=labels.clamp(min=0))


def make_trainer(root: Path, callbacks: list, **options) -> Trainer:
    options = {"max_epochs": 3, "logger": False, "num_sanity_val_steps": 1} | options
    return Trainer(
        default_root_dir=root,
        callbacks=callbacks,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def forked(work: Callable[[], object]) -> int:
    """Run ``work`` in a child with a process group of its own and return its id; its exit code is that of ``work``."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        work()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        os._exit(code)


@pytest.fixture
def tiny():
    """The classes and functions above; importlib mode leaves no other way to share them."""
    from types import SimpleNamespace

    return SimpleNamespace(Net=Net, Data=Data, batch=make_batch, trainer=make_trainer, forked=forked)
