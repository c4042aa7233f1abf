"""Train with TRL on prepared rows and print losses, seconds and peak memory; ``step.py`` calls it."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import PeftModel
from processes import forget_peak, memory
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Watch(TrainerCallback):
    """Notes the seconds of each step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.loaded = 0

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Note what the loaded model takes."""
        self.loaded = memory("VmRSS")
        forget_peak()
        self.start = time.perf_counter()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note a step, with the time of its batch."""
        self.seconds.append(time.perf_counter() - self.start)
        self.start = time.perf_counter()


def main(folder: Path, precision: str, way: str) -> None:
    """Train and print.

    Args:
        folder: where ``step.py`` has put everything.
        precision: of Lightning's names.
        way: ``default``, ``grouped`` by length, or ``same`` batches as lit_llm.
    """
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    batches = json.loads((folder / "batches.json").read_text(encoding="utf-8"))
    rows = [{"input_ids": ids, "labels": labels} for batch in batches for ids, labels in batch]
    if way != "same":
        random.Random(1).shuffle(rows)
    base = AutoModelForCausalLM.from_pretrained(settings["backbone"], dtype="float32")
    watch = Watch()
    trainer = SFTTrainer(
        model=PeftModel.from_pretrained(base, str(folder / "adapter"), is_trainable=True),
        args=SFTConfig(
            output_dir=str(folder / "trl"),
            max_steps=settings["steps"],
            per_device_train_batch_size=settings["batch"],
            learning_rate=2e-4,
            weight_decay=0.01,
            adam_beta2=0.95,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=precision == "bf16-mixed",
            gradient_checkpointing=False,
            max_length=None,
            disable_tqdm=True,
            train_sampling_strategy={"same": "sequential", "grouped": "group_by_length", "default": "random"}[way],
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(settings["backbone"]),
        callbacks=[watch],
    )
    trainer.train()
    peak = memory("VmHWM") - watch.loaded
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    print(json.dumps({"losses": losses, "seconds": watch.seconds, "peak": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
