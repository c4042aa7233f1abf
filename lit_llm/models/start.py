"""What happens once, when training starts."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from lightning.pytorch.utilities import rank_zero_info

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

    from lit_llm.batch import Batch


def first_batches(module: LightningModule, wanted: int) -> list[Batch]:
    """Return the first training batches, on the module's device; an epoch that has fewer is said."""
    datamodule: Any = module.trainer.datamodule  # type: ignore[attr-defined]
    found = [batch.to(module.device) for batch in islice(datamodule.train_dataloader(), wanted)]
    if len(found) < wanted:
        rank_zero_info(f"the adapter starts from all {len(found)} training batches, which are fewer than {wanted}")
    return found


def say_router_loss(config: Any) -> None:
    """Say of a base that asks for an auxiliary loss of its routers that it is left out."""
    text = config.get_text_config()
    share = getattr(text, "router_aux_loss_coef", 0)
    if getattr(text, "output_router_logits", False) and share:
        rank_zero_info(
            f"the base asks for a loss that balances its routers (router_aux_loss_coef: {share:g}); it is left out, "
            "because it depends on which rows share a micro-batch (docs/training.md)"
        )
