"""Predicts a toy file; the tests run this as a process that they kill.

Arguments: run folder, seconds per batch, rows, and ``key=value`` pairs of the configuration's fingerprint. With
``--two`` there are two processes, the second of which is late at reading the files when the first takes them away.
"""

from __future__ import annotations

import sys
import time

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

from lit_llm.batch import FILLER, Prediction
from lit_llm.callbacks import PredictionWriter, predictions
from lit_llm.errors import UserError


class Model(LightningModule):
    def __init__(self, delay: float, settings: dict[str, str]) -> None:
        super().__init__()
        self.delay, self.settings = delay, settings

    def fingerprint(self) -> dict[str, str]:
        return self.settings

    def predict_step(self, batch: list[str], index: int) -> list[Prediction]:
        time.sleep(self.delay)
        return [row(name) for name in batch]


class Data(LightningDataModule):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = rows
        self.finished_ids: set[str] = set()

    def row_order(self) -> list[str]:
        return [f"row {i}" for i in range(self.rows)]

    def predict_dataloader(self):
        # Served backwards, as sorted batches are not in input order, with a row that only fills the last batch.
        order = [*reversed(self.row_order()), FILLER]
        batches = [order[i : i + 3] for i in range(0, len(order), 3)]
        left = [b for b in batches if not {name for name in b if name != FILLER} <= self.finished_ids]
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return torch.utils.data.DataLoader(left[rank::world], batch_size=None)


def row(name: str) -> Prediction:
    if name == FILLER:
        return Prediction("", "filler", "", "")
    number = int(name.split()[1])
    status, error = ("error", "out of memory") if number % 5 == 4 else ("ok", "")
    text = f'línea {number}\nsegunda, "con comillas"\r\ny una tercera; ""'
    return Prediction(
        name, text, f'{{"n":{number}}}', "\ud800", status, error, "x" * number, number, -number / 7, {"b": 1, "a": "ñ"}
    )


class Late(PredictionWriter):
    """A writer whose second process comes late to the files."""

    def on_predict_end(self, trainer, module):
        read = predictions.read_ids

        def late(path):
            time.sleep(0.3 * trainer.global_rank)
            return read(path)

        predictions.read_ids = late
        super().on_predict_end(trainer, module)


def main() -> int:
    root, delay, rows, *pairs = sys.argv[1:]
    settings = dict(pair.split("=") for pair in pairs if not pair.startswith("--"))
    devices = 2 if "--two" in pairs else 1
    trainer = Trainer(
        default_root_dir=root,
        callbacks=[Late()],
        accelerator="cpu",
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        logger=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )
    try:
        trainer.predict(Model(float(delay), settings), Data(int(rows)), return_predictions=False)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
