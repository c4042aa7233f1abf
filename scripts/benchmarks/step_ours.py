"""Train with lit_llm on prepared rows and print losses, seconds and peak memory; ``step.py`` calls it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from bases import bare_trainer
from lightning.pytorch import Callback, seed_everything
from processes import forget_peak, memory

from lit_llm.adapters import LoRA
from lit_llm.data import ExtractionData
from lit_llm.models import CausalLM
from lit_llm.models.schedule import Schedule


class Watch(Callback):
    """Notes the loss and the seconds of each step."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.loaded = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Note what the loaded model takes."""
        self.loaded = memory("VmRSS")
        forget_peak()
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Note a step, with the time of its batch."""
        self.seconds.append(time.perf_counter() - self.start)
        self.losses.append(float(trainer.callback_metrics["train/loss"]))
        self.start = time.perf_counter()


def main(folder: Path, precision: str, switches: dict[str, dict[str, Any]]) -> None:
    """Train and print.

    Args:
        folder: that ``step.py`` has prepared.
        precision: the trainer's.
        switches: further settings of ``model`` and ``data``.
    """
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    seed_everything(0, verbose=False)
    r, watch = settings["r"], Watch()
    adapter = LoRA(r=r, alpha=2 * r, dropout=settings["dropout"], target_modules="all-linear")
    model_settings = {"schedule": Schedule("constant", warmup=0)} | switches.get("model", {})
    model = CausalLM(backbone=settings["backbone"], adapter=adapter, **model_settings)
    trainer = bare_trainer(str(folder / "ours"), settings["steps"], precision, watch)
    rows = str(folder / "rows.jsonl")
    data = ExtractionData(train=rows, batch_size=settings["batch"], max_length=4096, **switches.get("data", {}))
    data.tokenizer = model.tokenizer
    trainer.fit(model, datamodule=data)
    peak = memory("VmHWM") - watch.loaded
    print(json.dumps({"losses": watch.losses, "seconds": watch.seconds, "peak": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]) if sys.argv[3:] else {})
