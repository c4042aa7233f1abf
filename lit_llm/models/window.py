"""One optimizer step's micro-batches: their loss, target tokens and rows, and whether the step may be taken."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lit_llm.batch import FILLER
from lit_llm.errors import UserError
from lit_llm.wording import some

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

SHOWN = 8
"""Ids of rows that an error lists."""

RANGES = "ranges."
"""What the names of ranges begin with that weights are rounded in."""


@dataclass
class Window:
    """What was seen since the last optimizer step.

    Attributes:
        rows: ids of each micro-batch.
        losses: summed loss of each micro-batch, kept on the device: reading it would make the CPU wait.
        tokens: target tokens of all of them.
    """

    rows: list[list[str]] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    tokens: float = 0.0

    def note(self, summed: Tensor, tokens: int) -> None:
        """Add a micro-batch's summed loss and its target tokens."""
        self.losses.append(summed.detach().float())
        self.tokens += tokens

    def loss(self, device: torch.device) -> Tensor:
        """Return the loss summed over all micro-batches."""
        total = torch.zeros((), device=device)
        for loss in self.losses:
            total = total + loss
        return total

    def over_all(self, strategy: Any, norm: Tensor) -> tuple[float, float, float]:
        """Return the summed loss and the target tokens of all processes, and how many have a gradient that is broken.

        One process may see what others do not, where each holds a part of the weights.
        """
        counted = torch.tensor(self.tokens, device=norm.device).double()
        noted = torch.stack([self.loss(norm.device).double(), counted, (~norm.isfinite()).double()])
        summed, tokens, broken = strategy.reduce(noted, reduce_op="sum").tolist()
        return summed, max(1.0, tokens), broken

    def suspects(self) -> list[str]:
        """Return the ids of the micro-batches whose loss is not finite; of all of them where none is."""
        paired = list(zip(self.rows, self.losses, strict=False))
        broken = [rows for rows, loss in paired if not torch.isfinite(loss)]
        return [row for rows in broken or self.rows for row in rows if row != FILLER]


def gradient_norm(gradients: list[Tensor], device: torch.device) -> Tensor:
    """Return the length of the whole gradient in float64; not finite where one number of it is not."""
    # Half precision would overflow, and float64 cannot be narrowed.
    wide = [torch.promote_types(gradient.dtype, torch.float32) for gradient in gradients]
    norms = [torch.linalg.vector_norm(one, dtype=kind).double() for one, kind in zip(gradients, wide, strict=True)]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros((), device=device).double()


def scaler_skips(trainer: Trainer) -> bool:
    """Return whether a gradient that is not finite means that float16 was scaled too far, which mends itself.

    The scaler leaves out such a step and halves its factor. Below 1 there is nothing left to scale back.
    """
    scaler: Any = getattr(trainer.precision_plugin, "scaler", None)
    return scaler is not None and scaler.get_scale() >= 1


def refuse_step(trainer: Trainer, module: nn.Module, window: Window, loss: float, norm: float) -> None:
    """Raise the error of a step that cannot be taken.

    Args:
        trainer: which is about to step.
        module: whose gradients are there.
        window: what was seen.
        loss: mean over the window and all processes.
        norm: of the gradient.

    Raises:
        UserError: that names step, rows and remedies.
    """
    broken = (name for name, w in module.named_parameters() if w.grad is not None and not w.grad.isfinite().all())
    rows = _of_all(window.suspects(), trainer.world_size)
    shown = some([repr(row) for row in rows], SHOWN)
    found = f"train/loss is {loss}, the gradient's norm {norm}" + "".join(f", first in {n}" for n in [*broken][:1])
    saved = Path(trainer.default_root_dir) / "last.ckpt"
    raise UserError(
        f"step {trainer.global_step + 1} was not taken, because it is not finite ({found}) on the rows {shown}: look "
        "at these rows, lower model.init_args.optimizer.init_args.lr or lengthen model.init_args.schedule.warmup, or "
        f"use trainer.precision 32-true; {saved.name} {_holds(saved)}"
    )


def refuse_weights(weights: dict[str, Tensor], step: int) -> None:
    """Raise an error where weights that are about to be saved are not finite; ranges are none before rounding begins.

    Raises:
        UserError: that names the first of them.
    """
    unset = {name for name, weight in weights.items() if name.startswith(RANGES) and weight.isnan().all()}
    floats = [(n, w) for n, w in weights.items() if n not in unset and w.is_floating_point() and w.numel()]
    if not floats:
        return
    finite = torch.stack([torch.stack(torch.aminmax(weight.detach())).isfinite().all() for _, weight in floats])
    if not bool(finite.all()):
        name = floats[int(finite.int().argmin())][0]
        raise UserError(
            f"{name} is not finite after step {step}, so that nothing is saved over what was good: lower "
            "model.init_args.optimizer.init_args.lr, or use trainer.precision 32-true, and go on with --ckpt_path last"
        )


def _holds(saved: Path) -> str:
    return "is of before it: go on from there with --ckpt_path last" if saved.exists() else "was not written yet"


def _of_all(rows: list[str], processes: int) -> list[str]:
    if processes == 1:
        return rows
    gathered: list[Any] = [None] * processes
    torch.distributed.all_gather_object(gathered, rows)
    return [row for part in gathered for row in part]
