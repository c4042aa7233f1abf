"""Shows which weights learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lit_llm.adapters import parameter_totals, trainable_table
from lit_llm.callbacks.boards import table, writers
from lit_llm.terminal import show

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

HEADER = ["weights that learn", "shape", "tensors", "parameters"]


class TrainableTable(Callback):
    """Prints the weights that learn before the first step, by pattern of their names; TensorBoard has them too."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the table."""
        network: Any = pl_module.network
        trainable, total = parameter_totals(network)
        rows = [
            [row.pattern, "×".join(map(str, row.shape)), str(row.tensors), f"{row.parameters:,}"]
            for row in trainable_table(network)
        ]
        learned = [weight for weight in getattr(pl_module, "ranges", {}).values() if weight.requires_grad]
        if learned:
            count = sum(weight.numel() for weight in learned)
            rows.append(["ranges of groups of weights", "", str(len(learned)), f"{count:,}"])
            trainable, total = trainable + count, total + count
        rows.append([f"all ({trainable / max(total, 1):.2%} of {total:,})", "", "", f"{trainable:,}"])
        for writer in writers(trainer):
            writer.add_text("audit/trainable", table(HEADER, rows))
        if trainer.is_global_zero:
            from rich.console import Console

            show(Console(stderr=True), HEADER, [[row[0].removesuffix(".weight"), *row[1:]] for row in rows])
