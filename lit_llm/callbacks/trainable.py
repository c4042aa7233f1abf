"""Shows which weights learn, and how much of the backbone they reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning.pytorch.callbacks import Callback

from lit_llm.adapters import causal_lm, parameter_totals, trainable_table
from lit_llm.adapters.coverage import Share, coverage
from lit_llm.callbacks.boards import table, writers
from lit_llm.terminal import show

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

HEADER = ["weights that learn", "shape", "tensors", "parameters"]
KINDS = ["kind of layer", "weights", "adapted", "share"]


class TrainableTable(Callback):
    """Prints the weights that learn before the first step, and the share of each kind of layer that they reach.

    What learns is listed by pattern of its names. A weight is reached if it learns, or if something that learns is
    added to it. TensorBoard has both tables too.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the tables."""
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
        shares = coverage(network) if hasattr(causal_lm(network), "get_output_embeddings") else []
        head, kinds = kinds_table(shares)
        notes = left_out(shares, getattr(pl_module, "adapter", None), getattr(pl_module, "quantizer", None))
        for writer in writers(trainer):
            writer.add_text("audit/trainable", "\n\n".join([table(HEADER, rows), table(head, kinds), *notes]))
        if trainer.is_global_zero:
            from rich.console import Console

            console = Console(stderr=True)
            show(console, HEADER, [[row[0].removesuffix(".weight"), *row[1:]] for row in rows])
            if kinds:
                show(console, head, kinds)
            for note in notes:
                console.print(note, soft_wrap=True, markup=False, highlight=False)


def kinds_table(shares: list[Share]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of a table of kinds of layers, with a column for quantized weights where there are some."""
    stored = any(share.stored for share in shares)
    rows = []
    for share in shares:
        cells = [share.kind, f"{share.weights:,}", f"{share.adapted:,}", f"{share.adapted / share.weights:.0%}"]
        rows.append([*cells, f"{share.stored / share.weights:.0%}"] if stored else cells)
    return [*KINDS, "quantized"] if stored else KINDS, rows


def left_out(shares: list[Share], adapter: Any, quantizer: Any) -> list[str]:
    """Return what has to be said of experts that are not adapted, or not quantized."""
    experts = next((share for share in shares if share.kind == "experts"), None)
    if experts is None:
        return []
    part = f"the experts, {experts.weights / sum(share.weights for share in shares):.0%} of all weights"
    notes = []
    if not experts.adapted:
        reason = adapter.experts_left() if hasattr(adapter, "experts_left") else ""
        notes.append(f"{part}, do not learn: {reason or 'target_modules and target_parameters do not name them'}")
    if quantizer is not None and not experts.stored:
        notes.append(f"{part}, are not quantized: {type(quantizer).__name__} stores linear layers alone")
    return notes
