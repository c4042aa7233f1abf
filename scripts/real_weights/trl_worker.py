#!/usr/bin/env python3
"""Train an adapter with TRL on given batches and print the loss of each step; runs in an environment of its own."""

from __future__ import annotations

import json
import sys
from typing import Any

from datasets import Dataset
from peft import PeftModel
from torch.utils.data import Sampler, SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer


class InOrder(SFTTrainer):
    """Meets rows in the order of the file."""

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Sampler[int]:
        return SequentialSampler(self.train_dataset)


def main(backbone: str, adapter: str, rows: str, settings: str) -> None:
    """Train and print.

    Args:
        backbone: folder of the base.
        adapter: folder of the adapter as it is before the first step.
        rows: JSON file of ``input_ids`` and ``labels`` of every row, in order.
        settings: JSON of what ``SFTConfig`` is given.
    """
    with open(rows, encoding="utf-8") as file:
        dataset = Dataset.from_list(json.load(file))
    base = AutoModelForCausalLM.from_pretrained(backbone, dtype="float32")
    trainer = InOrder(
        model=PeftModel.from_pretrained(base, adapter, is_trainable=True),
        args=SFTConfig(**json.loads(settings)),
        train_dataset=dataset,
        processing_class=AutoTokenizer.from_pretrained(backbone),
    )
    trainer.train()
    print("LOSSES", json.dumps([log["loss"] for log in trainer.state.log_history if "loss" in log]))


if __name__ == "__main__":
    main(*sys.argv[1:])
