"""Train with TRL on the batches that lit_llm met, in bfloat16, and print what it took; ``speed.py`` calls it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Watch(TrainerCallback):
    """Notes when the second half of the steps begins and ends."""

    def __init__(self, steps: int) -> None:
        self.half, self.start, self.end = steps // 2, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Look at the clock, once what was asked for is done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.end = time.perf_counter()
        if state.global_step == self.half:
            self.start = self.end


def main(file: Path) -> None:
    """Train and print.

    Args:
        file: JSON with ``base``, ``batches`` of token ids and labels, and a ``folder`` to write to.
    """
    given = json.loads(file.read_text(encoding="utf-8"))
    batches = given["batches"]
    rows = [{"input_ids": ids, "labels": labels} for batch in batches for ids, labels in batch]
    watch, has_gpu = Watch(len(batches)), torch.cuda.is_available()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(given["base"], dtype=torch.bfloat16),
        args=SFTConfig(
            output_dir=given["folder"],
            max_steps=len(batches),
            per_device_train_batch_size=len(batches[0]),
            learning_rate=2e-4,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to=[],
            use_cpu=not has_gpu,
            bf16=True,
            gradient_checkpointing=False,
            max_length=None,
            disable_tqdm=True,
            # So that batches are those of lit_llm.
            train_sampling_strategy="sequential",
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(given["base"]),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
        callbacks=[watch],
    )
    trainer.train()
    tokens = sum(len(ids) for batch in batches[watch.half :] for ids, _ in batch)
    peak = torch.cuda.max_memory_allocated() / 2**30 if has_gpu else 0.0
    print(json.dumps({"tokens_per_second": round(tokens / (watch.end - watch.start), 1), "peak_gib": round(peak, 3)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
